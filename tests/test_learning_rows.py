"""Rows, advantages and batches: pure logic."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learning_fixtures import random_groups, random_row

from tac_rl.config.learner import LearnerSection
from tac_rl.errors import LearnerError
from tac_rl.learning.advantages import advantages_of, group_advantages
from tac_rl.learning.base import GradedRollout, Group, Row
from tac_rl.learning.batching import token_weights, train_rows
from tac_rl.learning.packing import micro_batches
from tac_rl.learning.rows import check_groups, read_groups, write_groups
from tac_rl.learning.stages import learning_rate

ROW = Row("r", (5, 6, 7), (False, True, True), (0.0, -1.0, -0.5), 0)


def group_of(row: Row, reward: float = 1.0) -> Group:
    return Group("g", "task", (GradedRollout("r", reward, (row,)),))


def test_groups_come_back_from_files_as_they_went_in(tmp_path: Path) -> None:
    groups = random_groups(2)
    empty = Group("nothing", "task", (GradedRollout("idle", 0.5, ()),))
    write_groups([*groups, empty], tmp_path / "rows")
    back = read_groups(tmp_path / "rows")
    assert [group.group_id for group in back] == ["g0", "g1", "g2", "nothing"]
    for ours, theirs in zip([*groups, empty], back, strict=True):
        for before, after in zip(ours.rollouts, theirs.rollouts, strict=True):
            assert (before.rollout_id, before.reward) == (after.rollout_id, after.reward)
            for row, same in zip(before.rows, after.rows, strict=True):
                assert replace(same, logprobs=()) == replace(row, logprobs=())
                assert same.logprobs == pytest.approx(row.logprobs, rel=1e-6)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (replace(ROW, sampled=(False, True)), "one per token"),
        (replace(ROW, logprobs=(0.0, math.nan, -0.5)), "log-probability of token 1"),
        (replace(ROW, logprobs=(0.0, -math.inf, -0.5)), "log-probability of token 1"),
        (replace(ROW, logprobs=(0.0, -1.0, 0.5)), "log-probability of token 2"),
        (replace(ROW, sampled=(True, True, True)), "first token"),
        (replace(ROW, token_ids=(5, -6, 7)), "negative"),
        (Row("r", (1,), (False,), (0.0,), 0), "1 tokens"),
    ],
)
def test_a_bad_row_is_refused_by_name(row: Row, message: str) -> None:
    with pytest.raises(LearnerError, match=f"group g, rollout r, row 0.*{message}"):
        check_groups([group_of(row)])


def test_a_reward_that_is_no_number_and_a_rollout_given_twice_are_refused() -> None:
    with pytest.raises(LearnerError, match="reward is nan"):
        check_groups([group_of(ROW, math.nan)])
    with pytest.raises(LearnerError, match="occurs twice"):
        check_groups([group_of(ROW), group_of(ROW)])


def test_rows_cut_short_on_disk_are_refused(tmp_path: Path) -> None:
    write_groups(random_groups(), tmp_path / "rows")
    file = tmp_path / "rows" / "rows.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(LearnerError, match="can't be read"):
        read_groups(tmp_path / "rows")


@pytest.mark.parametrize("reward", [0.7, 0.8, 0.85, 0.95, 1 / 3])
@pytest.mark.parametrize("size", range(1, 10))
def test_equal_rewards_have_no_advantages_whatever_the_rounding(reward: float, size: int) -> None:
    nearly = [reward + 1e-8 * (number % 2) for number in range(size)]
    assert group_advantages(nearly, scale=True) is None
    assert group_advantages(nearly, scale=False) is None


def test_advantages_are_centred_and_scaled_by_the_sample_deviation() -> None:
    assert group_advantages([0.0, 1.0], scale=False) == (-0.5, 0.5)
    assert group_advantages([0.0, 1.0], scale=True) == pytest.approx((-(0.5**0.5), 0.5**0.5))


def test_groups_without_variance_are_dropped_and_counted() -> None:
    groups = random_groups(0, groups=3)
    same = tuple(replace(rollout, reward=0.7) for rollout in groups[1].rollouts)
    kept = advantages_of([groups[0], replace(groups[1], rollouts=same), groups[2]], scale=True)
    assert [group.group_id for group in kept.groups] == ["g0", "g2"]
    assert kept.zero_variance_share == pytest.approx(1 / 3)
    assert advantages_of([], scale=True).zero_variance_share == 0.0


def test_micro_batches_hold_every_sampled_token_once_and_keep_to_the_budget() -> None:
    rows = train_rows(advantages_of(random_groups(3, groups=6, size=5), scale=True))
    total = sum(len(row.targets) for row in rows)
    for budget in (1, 60, 200, 10_000):
        batches = micro_batches(rows, budget)
        slots = [slot for batch in batches for slot in batch.slot_N.tolist()]
        assert slots == list(range(total))
        for batch in batches:
            assert batch.rows == 1 or len(batch.inputs_T) <= budget


def test_a_shared_prompt_is_packed_once_and_every_row_can_be_read_back() -> None:
    rows = train_rows(advantages_of(random_groups(5, groups=2, size=3), scale=True))
    (batch,) = micro_batches(rows, 10_000)
    assert len(batch.inputs_T) < sum(len(row.inputs) for row in rows)
    assert sum(segment.length for segment in batch.segments) == len(batch.inputs_T)
    pieces = batch.inputs_T.split([segment.length for segment in batch.segments])
    positions = batch.positions_T.split([segment.length for segment in batch.segments])
    suffixes = [number for number, segment in enumerate(batch.segments) if segment.after is not None]
    for row, number in zip(rows, suffixes, strict=True):
        after = batch.segments[number].after
        assert after is not None
        assert torch.cat([pieces[after], pieces[number]]).tolist() == row.inputs.tolist()
        assert torch.cat([positions[after], positions[number]]).tolist() == list(range(len(row.inputs)))
    predicted = torch.cat([row.inputs[row.positions] for row in rows])
    assert batch.inputs_T[batch.flat_N].tolist() == predicted.tolist()


def test_rows_that_are_a_prefix_of_one_another_share_all_they_have() -> None:
    short = replace(ROW, rollout_id="short")
    long = Row("long", (*ROW.token_ids, 8), (*ROW.sampled, True), (*ROW.logprobs, -1.0), 0)
    rollouts = (GradedRollout("short", 0.0, (short,)), GradedRollout("long", 1.0, (long,)))
    rows = train_rows(advantages_of([Group("g", "task", rollouts)], scale=True))
    (batch,) = micro_batches(rows, 100)
    assert batch.inputs_T.tolist() == [5, 6, 7]
    assert batch.flat_N.tolist() == [0, 1, 0, 1, 2]
    assert batch.targets_N.tolist() == [6, 7, 6, 7, 8]


def test_what_follows_the_last_sampled_token_is_not_computed() -> None:
    tail = replace(ROW, token_ids=(*ROW.token_ids, 8, 9), sampled=(*ROW.sampled, False, False))
    tail = replace(tail, logprobs=(*ROW.logprobs, 0.0, 0.0))
    rollouts = tuple(GradedRollout(f"r{reward}", reward, (tail,)) for reward in (0.0, 1.0))
    rows = train_rows(advantages_of([Group("g", "task", rollouts)], scale=True))
    assert rows[0].inputs.tolist() == [5, 6]
    assert rows[0].targets.tolist() == [6, 7]
    assert rows[0].positions.tolist() == [0, 1]


def test_a_rollout_in_two_rows_weighs_as_one_under_the_mean_over_rollouts() -> None:
    random_ = random.Random(0)
    two = tuple(random_row(random_, "a", prompt=(1, 2, 3)) for _ in range(2))
    one = (random_row(random_, "b", prompt=(1, 2, 3)),)
    group = Group("g", "task", (GradedRollout("a", 0.0, two), GradedRollout("b", 1.0, one)))
    rows = train_rows(advantages_of([group], scale=True))
    weights = token_weights(rows, "rollouts", 0)
    first = sum(len(row.targets) for row in rows if row.rollout == 0)
    assert float(weights[:first].sum()) == pytest.approx(0.5)
    assert float(weights[first:].sum()) == pytest.approx(0.5)


def test_learning_rate_warms_up_and_decays_over_the_run() -> None:
    settings = LearnerSection(learning_rate=1.0, schedule="linear", warmup_iterations=2)
    rates = [learning_rate(settings, iteration, 6) for iteration in range(6)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])
    constant = LearnerSection(learning_rate=0.5)
    assert {learning_rate(constant, iteration, 6) for iteration in range(9)} == {0.5}
