"""The recipe on a small budget: it really learns."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tac_rl.config.loading import parse_config
from tac_rl.config.warmstart import WarmstartConfig
from tac_rl.errors import ConfigError
from tac_rl.gateway.renderer import Renderer
from tac_rl.learning.warmstart.demonstrations import Demonstration, load, save
from tac_rl.learning.warmstart.episodes import Episode, to_episode
from tac_rl.learning.warmstart.model import load_model, new_model
from tac_rl.learning.warmstart.recipe import rebuild
from tac_rl.tasks.packages import OURS, choose_packages

TASKS = Path(__file__).parent.parent / "tasks"


def small(folder: Path, **changes: Any) -> WarmstartConfig:
    document = {
        "out": str(folder / "policy"),
        "work": str(folder / "work"),
        "threads": 1,
        "tasks": {"path": str(TASKS), "include": ["research-shortlist"]},
        "model": {"hidden": 128, "layers": 2, "heads": 4, "intermediate": 256},
        "demonstrations": {"clean": 40, "sloppy": 30, "completion": {1: 0.5, 2: 0.5, 3: 0.5}},
        "drill": {"tokens": 120_000, "batch_tokens": 1024, "drills": 1.0},
        "clean": {"tokens": 100_000, "batch_tokens": 1024, "drills": 0.15},
        "sloppy": {"tokens": 8_000, "batch_tokens": 1024, "matrix_rate": 0.004, "other_rate": 6.0e-4},
    }
    return parse_config(WarmstartConfig, {**document, **changes}, source="test")


def exact_turns(model: Any, episodes: list[Episode]) -> float:
    """Share of turns that greedy decoding would write token by token, each given the true history."""
    hits = []
    for episode in episodes:
        ids = torch.from_numpy(episode.token_ids)
        with torch.no_grad():
            greedy = model(input_ids=ids[None, :-1]).logits[0].argmax(-1).numpy()
        right = greedy == episode.token_ids[1:]
        written = episode.written[1:]
        starts = np.flatnonzero(written & ~np.concatenate([[False], written[:-1]]))
        for start in starts:
            length = int(np.argmin(np.append(written[start:], False)))
            hits.append(bool(right[start : start + length].all()))
    return float(np.mean(hits))


def test_demonstrations_of_other_packages_are_refused(tmp_path: Path) -> None:
    config = small(tmp_path)
    packages, _ = choose_packages(config.tasks, OURS)
    other = Demonstration("admin-other", 1, "go", ("ls",), ("",), 0, ())
    for name in ("clean", "sloppy"):
        save([other], config.work / f"{name}.jsonl")
    with pytest.raises(ConfigError, match="delete it"):
        asyncio.run(rebuild(config, packages, print))


def test_a_difficulty_without_a_share_is_told(tmp_path: Path) -> None:
    shares = {"clean": 1, "sloppy": 1, "completion": {2: 0.5}}
    config = small(tmp_path, demonstrations=shares)
    packages, _ = choose_packages(config.tasks, OURS)
    with pytest.raises(ConfigError, match="difficulty 1"):
        asyncio.run(rebuild(config, packages, print))


@pytest.mark.timeout(300)
def test_a_small_budget_teaches_a_package(tmp_path: Path) -> None:
    config = small(tmp_path)
    packages, _ = choose_packages(config.tasks, OURS)
    told: list[str] = []
    losses = asyncio.run(rebuild(config, packages, told.append))
    renderer = Renderer.from_path(config.out)
    fresh = new_model(config.model, renderer.vocabulary_size, end=1, pad=0, seed=1)
    clean = load_model(config.work / "clean_model")
    unseen = [to_episode(d, renderer) for d in load(config.work / "sloppy.jsonl") if not d.mistakes]
    assert np.mean(losses.clean[-10:]) < 0.2 * np.mean(losses.clean[:3])
    assert exact_turns(fresh, unseen) == 0.0
    assert exact_turns(clean, unseen) > 0.8

    # What is done is not done again: a second call goes on with the clean model.
    again = asyncio.run(rebuild(config, packages, told.append))
    assert not again.drill and not again.clean
    assert again.sloppy == pytest.approx(losses.sloppy, rel=1e-3)
