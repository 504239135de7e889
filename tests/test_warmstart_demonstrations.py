"""Demonstrations: played for real, rendered as the gateway records, renamed throughout."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gateway_fakes import ScriptedEngine, opened, tiny_tokenizer

from tac_rl.agents.base import AgentLimits, Ending, Workplace
from tac_rl.agents.toolcall import ToolCallAgent
from tac_rl.config.sandbox import SandboxSection
from tac_rl.gateway.renderer import Renderer
from tac_rl.learning.warmstart.demonstrations import (
    Demonstration,
    load,
    play_clean,
    play_sloppy,
    players,
    save,
)
from tac_rl.learning.warmstart.drills import Drills
from tac_rl.learning.warmstart.episodes import Renaming, to_episode, tool_call
from tac_rl.learning.warmstart.recipe import WORDS
from tac_rl.sandboxes.base import SandboxSpec
from tac_rl.sandboxes.select import make_limits, make_provider
from tac_rl.serving.base import Completion, Sampling
from tac_rl.tasks.layout import lay_out
from tac_rl.tasks.packages import SPLITS, load_package, split_seed

TASKS = Path(__file__).parent.parent / "tasks"
PACKAGES = [load_package(TASKS / name) for name in ("hr-onboarding-folder", "pm-close-sprint")]


class FluentEngine(ScriptedEngine):
    """A fake engine: says its script in the tokens that the tokenizer itself would choose."""

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        ids = self.tokenizer.encode(self.script.pop(0) + "<|im_end|>", add_special_tokens=False)
        return Completion(tuple(ids), (0.0,) * len(ids), "stop")


@pytest.fixture(scope="module")
def played() -> tuple[list[Demonstration], list[Demonstration]]:
    """24 clean and 160 sloppy demonstrations of two packages."""

    async def run() -> tuple[list[Demonstration], list[Demonstration]]:
        section = SandboxSection()
        provider = make_provider(section)
        try:
            async with players(provider, make_limits(section), None, 2, seed=1) as stage:
                clean = await play_clean(PACKAGES, 12, stage)
                return clean, await play_sloppy(PACKAGES, 80, lambda package: 0.4, clean, stage)
        finally:
            await provider.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(tiny_tokenizer())


def test_clean_demonstrations_make_no_mistake_and_sloppy_ones_as_often_as_asked(played: Any) -> None:
    clean, sloppy = played
    assert len(clean) == 24
    assert not any(d.mistakes for d in clean)
    assert 0.25 < np.mean([not d.mistakes for d in sloppy]) < 0.55


def test_demonstrations_come_from_seeds_that_nothing_else_draws(played: Any) -> None:
    others = [range(split_seed(s, 0), split_seed(s, 2**32 - 1) + 1) for s in SPLITS if s != "warmstart"]
    assert not any(d.seed in seeds for d in (*played[0], *played[1]) for seeds in others)


def test_demonstrations_survive_the_disk(played: Any, tmp_path: Path) -> None:
    save(played[1], tmp_path / "deep" / "sloppy.jsonl")
    assert load(tmp_path / "deep" / "sloppy.jsonl") == played[1]


@pytest.mark.parametrize("number", range(2))
def test_a_rendered_demonstration_is_what_the_gateway_records_of_such_an_agent(
    played: Any, renderer: Renderer, number: int
) -> None:
    demonstration = played[0][number]
    package = PACKAGES[number]
    script = [tool_call("bash", {"command": command}) for command in demonstration.commands]

    async def run() -> Any:
        section = SandboxSection()
        provider = make_provider(section)
        engine = FluentEngine(tiny_tokenizer(), [*script, tool_call("finish", {})])
        try:
            sandbox = await provider.start(SandboxSpec("warmstart-test", make_limits(section)))
            instance = package.instantiate(demonstration.seed)
            await lay_out(instance, sandbox)
            async with opened(engine) as (gateway, session):
                report = await ToolCallAgent().work(
                    instance.instruction,
                    Workplace(sandbox),
                    session.endpoint,
                    AgentLimits(),
                    lambda step: None,
                )
                return report, await gateway.close(session)
        finally:
            await provider.close()

    report, recording = asyncio.run(run())
    assert report.ending is Ending.FINISHED
    (row,) = recording.rows
    episode = to_episode(demonstration, renderer)
    assert tuple(episode.token_ids.tolist()) == row.token_ids
    assert tuple(episode.written.tolist()) == row.sampled


def test_renaming_exchanges_names_throughout_and_nothing_else(played: Any, renderer: Renderer) -> None:
    episodes = [to_episode(d, renderer) for d in played[0]]
    token_of = {word: renderer.text_ids(word)[0] for word in WORDS}
    names = set(token_of.values())
    renaming = Renaming(episodes, token_of, renderer.vocabulary_size)
    rng = random.Random(3)
    for episode in episodes:
        renamed = renaming(episode, rng)
        pairs = set(zip(episode.token_ids.tolist(), renamed.token_ids.tolist(), strict=True))
        assert len(pairs) == len(set(episode.token_ids.tolist()))  # one new name for each old one
        assert any(old != new for old, new in pairs), renderer.text(episode.token_ids.tolist())
        assert all(old in names and new in names for old, new in pairs if old != new)
        assert (renamed.written == episode.written).all()


def test_drills_can_be_answered_from_what_stands_before(renderer: Renderer) -> None:
    drills = Drills(renderer, [renderer.text_ids(word)[0] for word in WORDS])
    rng = random.Random(4)
    for _ in range(50):
        row = drills(rng)
        asked = int(row.written.argmax())
        assert set(row.token_ids[row.written].tolist()) <= set(row.token_ids[:asked].tolist())
