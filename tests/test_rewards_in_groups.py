"""A judge beside the checker over the groups of an iteration: what the learner and the run directory get."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from office_colleagues_fakes import Script, fake_openai
from test_rewards_ruler import BAD, NOBODY, honest, settings_for

from tac_rl.agents.base import AgentStep
from tac_rl.learning.base import GradedRollout, Group
from tac_rl.rewards.build import build_ruler
from tac_rl.rollouts.group import GroupResult
from tac_rl.rollouts.outcomes import Outcome
from tac_rl.rollouts.rewarding import Rewarder
from tac_rl.runs.reader import RunReader
from tac_rl.runs.records import RolloutRecord
from tac_rl.runs.store import RunStore

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of litellm


def made(group_id: str, attempts: dict[str, float]) -> tuple[Group, GroupResult]:
    """A group whose rollouts said one word each, and their checker's rewards."""
    plan = SimpleNamespace(
        instance=SimpleNamespace(instruction="Do it."), package=SimpleNamespace(rubric=None)
    )
    results, rollouts = [], []
    for number, (word, reward) in enumerate(attempts.items()):
        name = f"{group_id}-r{number}"
        step = AgentStep(1, f"{word} work of {group_id}", "bash", "ls", None)
        own = SimpleNamespace(**vars(plan), rollout_id=name)
        results.append(SimpleNamespace(plan=own, steps=(step,), outcome=Outcome.FINISHED, changes=()))
        rollouts.append(GradedRollout(name, reward, ()))
    fake = cast(GroupResult, SimpleNamespace(results=tuple(results)))
    return Group(group_id, "task", tuple(rollouts)), fake


def open_run(tmp_path: Path, groups: list[Group]) -> RunStore:
    store = RunStore.create(tmp_path, "judged", {}, iterations=1)
    store.begin_iteration(1, 0)
    for group in groups:
        for rollout in group.rollouts:
            store.record_rollout(
                RolloutRecord(
                    rollout_id=rollout.rollout_id, group_id=group.group_id, task="task", seed=1, split="train",
                    outcome="finished", version=0, iteration=1, score=rollout.reward, reward=rollout.reward,
                )
            )
    return store


def rewarded(
    tmp_path: Path, script: Script, made_groups: list[tuple[Group, GroupResult]], **fields: Any
) -> tuple[list[Group], dict[str, float]]:
    groups = [group for group, _ in made_groups]

    async def run() -> tuple[list[Group], dict[str, float]]:
        async with fake_openai(script) as fake:
            settings = settings_for(fake.url, **fields)
            ruler = await build_ruler(settings, NOBODY, own_context=4096, own_count=len)
            with open_run(tmp_path, groups) as store:
                rewarder = Rewarder(settings, ruler, store, seed=1)
                return await rewarder.reward(1, groups, [result for _, result in made_groups])

    return asyncio.run(run())


def order(group: Group) -> list[str]:
    return [r.rollout_id[-2:] for r in sorted(group.rollouts, key=lambda r: r.reward)]


TIED = {"fair": 0.5, "poor": 0.5, "good": 0.5}


def test_ties_are_broken_in_the_right_order_and_nothing_else_is_touched(tmp_path: Path) -> None:
    groups = [made(f"g{n}", TIED) for n in range(12)]
    groups.append(made("clear", {"fair": 0.0, "poor": 0.5, "good": 1.0}))
    after, metrics = rewarded(tmp_path, honest, groups, agreement_share=1.0)

    assert all(order(group) == ["r1", "r0", "r2"] for group in after[:-1])
    assert all(group.weight == 0.1 for group in after[:-1])
    assert after[-1] == groups[-1][0]
    assert (metrics["ruler_ties"], metrics["ruler_ties_broken"], metrics["ruler_failures"]) == (12, 12, 0)
    # The judge holds "fair" for better than "poor": one of three pairs is against the checker.
    assert (metrics["ruler_pairs"], metrics["ruler_pairs_agreed"]) == (3, 2)
    with RunReader(tmp_path / "judged") as run:
        stored = {r.rollout_id: r.reward for r in run.rollouts(iteration=1)}
        assert stored == {r.rollout_id: r.reward for group in after for r in group.rollouts}
        said = {j["group_id"]: j for j in run.judgements(1)}
    assert len(said) == 13
    assert [r["score"] for r in said["g0"]["rollouts"]] == [0.5, 0.1, 0.9]


def test_no_group_is_lost_to_any_bad_answer(tmp_path: Path) -> None:
    assert len(BAD) >= 10
    for number, (script, _) in enumerate(BAD.values()):
        folder = tmp_path / str(number)
        for mode in ("ties", "only"):
            (folder / mode).mkdir(parents=True)
            groups = [made("tied", TIED), made("clear", {"fair": 0.0, "good": 1.0})]
            after, metrics = rewarded(folder / mode, script, groups, mode=mode, retries=0, agreement_share=1.0)
            assert after == [group for group, _ in groups]
            assert metrics["ruler_failures"] == 2
            with RunReader(folder / mode / "judged") as run:
                [event] = run.events()
            assert event.kind == "judge_failed" and "no usable answer about 2 of 2 groups" in event.message


def test_a_judge_that_fails_again_and_again_is_left_alone_for_this_iteration(tmp_path: Path) -> None:
    groups = [made(f"g{n}", TIED) for n in range(9)]
    after, metrics = rewarded(tmp_path, lambda body: 500, groups, retries=0, give_up_after=2, concurrency=1)
    assert after == [group for group, _ in groups]
    assert (metrics["ruler_asked"], metrics["ruler_calls"], metrics["ruler_skipped"]) == (2, 2, 7)


def test_always_and_only_judge_every_group(tmp_path: Path) -> None:
    clear = {"fair": 0.6, "good": 0.5}
    for mode, expected in (("always", [0.58, 0.52]), ("only", [0.5, 0.9])):
        (tmp_path / mode).mkdir()
        [group], _ = rewarded(tmp_path / mode, honest, [made("g", clear)], mode=mode)
        assert [r.reward for r in group.rollouts] == pytest.approx(expected)


def test_agreement_is_measured_on_a_share_that_a_run_repeats(tmp_path: Path) -> None:
    groups = [made(f"g{n}", {"poor": 0.0, "good": 1.0}) for n in range(60)]
    shares = []
    for again in ("a", "b"):
        (tmp_path / again).mkdir()
        after, metrics = rewarded(tmp_path / again, honest, groups, agreement_share=0.25)
        assert after == [group for group, _ in groups]
        shares.append(metrics["ruler_asked"])
    assert shares[0] == shares[1] and 5 <= shares[0] <= 25
    with RunReader(tmp_path / "a" / "judged") as run:
        assert json.dumps(run.judgements(1))


def test_without_a_judge_rewards_are_the_checker_s(tmp_path: Path) -> None:
    groups = [made("g", TIED)[0]]

    async def run() -> tuple[list[Group], dict[str, float]]:
        with open_run(tmp_path, groups) as store:
            return await Rewarder(settings_for("http://x/v1", mode="off"), None, store, 1).reward(1, groups, [])

    assert asyncio.run(run()) == (groups, {})
    assert not (tmp_path / "judged" / "judgements").exists()
