"""Rows of a run, kept and dealt out again: pure logic and files."""

from dataclasses import replace
from pathlib import Path

import pytest
from learning_fixtures import random_groups

from tac_rl.config.learner import LearnerSection
from tac_rl.config.run import RunConfig
from tac_rl.errors import RunError
from tac_rl.learning.base import Group
from tac_rl.learning.identity import ModelIdentity, identity_of
from tac_rl.learning.recorded import RowKeeper, Traces, find_traces, load_rows, planned_stages
from tac_rl.learning.stages import Stage

MODEL = ModelIdentity("policies/mine", "base-1", "tokens-1")
SFT = Stage(
    1, "sft", 1, 4, LearnerSection.model_validate({"loss": "sft", "sft": {"min_reward": 0.6}}), "earlier"
)
DPO = Stage(
    2, "dpo", 5, 6, LearnerSection.model_validate({"loss": "dpo", "dpo": {"min_margin": 0.3}}), "earlier"
)


def renamed(groups: list[Group], prefix: str, task: str) -> list[Group]:
    return [
        replace(
            group,
            group_id=f"{prefix}{group.group_id}",
            task=task,
            rollouts=tuple(
                replace(
                    r,
                    rollout_id=f"{prefix}{r.rollout_id}",
                    rows=tuple(replace(row, rollout_id=f"{prefix}{r.rollout_id}") for row in r.rows),
                )
                for r in group.rollouts
            ),
        )
        for group in groups
    ]


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A run directory with the rows of three iterations; in the second no group has a success or a pair."""
    run = tmp_path / "earlier"
    run.mkdir()
    keeper = RowKeeper(run, MODEL)
    for n in (1, 2, 3):
        groups = renamed(random_groups(n), f"it{n}-", "tidy" if n == 1 else "sort")
        if n == 2:
            groups = [replace(g, rollouts=tuple(replace(r, reward=0.1) for r in g.rollouts)) for g in groups]
        keeper.keep(n, groups)
    return run


def traces(
    run: Path, stage: Stage = SFT, *, model: ModelIdentity = MODEL, heldout: tuple[str, ...] = ()
) -> Traces:
    return find_traces(run, stage, model, batch_groups=4, seed=1, heldout=heldout)


def test_rows_come_back_as_they_were_kept(earlier: Path) -> None:
    (first, *_), (same, *_) = (
        renamed(random_groups(1), "it1-", "tidy"),
        load_rows(earlier / "rows" / "it0001.npz"),
    )
    assert (same.group_id, same.task) == (first.group_id, first.task)
    for ours, theirs in zip(first.rollouts, same.rollouts, strict=True):
        assert theirs.reward == ours.reward
        (row,), (back,) = ours.rows, theirs.rows
        assert replace(back, logprobs=()) == replace(row, logprobs=())
        assert back.logprobs == pytest.approx(row.logprobs, rel=1e-6)
    assert sorted(file.name for file in (earlier / "rows").iterdir()) == [
        "it0001.npz", "it0002.npz", "it0003.npz", "model.json",
    ]  # fmt: skip


def test_each_pass_deals_out_every_useful_group_once_in_another_order(earlier: Path) -> None:
    found = traces(earlier)
    assert len(found.places) == 6 and found.batches == 2
    passes = [[g.group_id for at in (2 * n, 2 * n + 1) for g in found.batch(at)] for n in range(3)]
    useful = {f"it{n}-g{number}" for n in (1, 3) for number in range(3)}
    assert all(len(dealt) == 6 and set(dealt) == useful for dealt in passes)
    assert len({tuple(dealt) for dealt in passes}) > 1
    assert [g.group_id for g in traces(earlier).batch(3)] == [g.group_id for g in found.batch(3)]


def test_pairs_are_found_in_recorded_groups_too(earlier: Path) -> None:
    found = traces(earlier, DPO)
    assert 0 < len(found.places) <= 6 and found.rollouts % 2 == 0


def test_tasks_that_this_run_is_measured_on_are_left_out(earlier: Path) -> None:
    found = traces(earlier, heldout=("tidy",))
    assert {group.task for group in found.batch(0)} == {"sort"}
    with pytest.raises(RunError, match=r"none of its 9 groups .* rewards of at least 0\.6"):
        traces(earlier, heldout=("tidy", "sort"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (replace(MODEL, tokenizer="tokens-2", base="base-2"), "another tokenizer"),
        (
            replace(MODEL, base="base-2", path="policies/other"),
            r"another base model \(policies/mine, .*policies/other",
        ),
    ],
)
def test_rows_of_another_model_are_refused(earlier: Path, model: ModelIdentity, message: str) -> None:
    with pytest.raises(RunError, match=message):
        traces(earlier, model=model)


def test_a_model_that_was_moved_is_the_same(earlier: Path) -> None:
    assert traces(earlier, model=replace(MODEL, path="somewhere/else")).rollouts


def test_no_rows_and_damaged_rows_are_one_clear_error(earlier: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"holds no rows to learn from \(stage 1, from_run\)"):
        traces(tmp_path / "empty")
    file = earlier / "rows" / "it0003.npz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(RunError, match=r"it0003\.npz: damaged rows"):
        traces(earlier)
    file.unlink()
    (earlier / "rows" / "model.json").write_text("{}")
    with pytest.raises(RunError, match=r"model\.json: can't be read"):
        traces(earlier)


def test_a_stage_that_is_over_needs_its_run_no_more(tmp_path: Path) -> None:
    stages = [{"kind": "sft", "iterations": 2, "from_run": "gone"}, {"kind": "grpo", "iterations": 3}]
    config = RunConfig.model_validate({"stages": stages, "runs_dir": tmp_path})
    with pytest.raises(RunError, match="gone: no such run"):
        planned_stages(config, (), after=1)
    assert [stage["iterations"] for stage in planned_stages(config, (), after=2)] == [[1, 2], [3, 5]]


def test_the_tiny_policy_has_an_identity_that_follows_its_tokenizer(tmp_path: Path) -> None:
    tiny = Path("tac_rl/policies/tiny")
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before, copied = identity_of(tiny), identity_of(tmp_path)
    assert (copied.base, copied.tokenizer) == (before.base, before.tokenizer)
    text = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(text.replace('"version"', '"Version"', 1))
    assert identity_of(tmp_path).tokenizer != before.tokenizer
    assert identity_of(tmp_path).base == before.base
