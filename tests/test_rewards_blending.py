"""What rewards become with a judge's scores beside them, and how agreement is counted."""

import pytest

from tac_rl.learning.advantages import TIE_TOLERANCE, advantages_of
from tac_rl.learning.base import GradedRollout, Group
from tac_rl.rewards.blending import TIE, Agreement, agreement, blend, separated
from tac_rl.rewards.truncation import clip, fair_cap, fit, shorten, size


def test_a_tie_is_broken_in_the_judge_s_order_and_keeps_its_mean() -> None:
    blended = blend([0.5, 0.5, 0.5], [0.2, 0.9, 0.4], "ties", 0.1)
    assert blended.rewards == pytest.approx((0.47, 0.54, 0.49))
    assert sum(blended.rewards) == pytest.approx(1.5)
    assert blended.weight == 0.1


def test_what_the_checker_separates_is_left_alone_by_ties_and_moved_little_by_always() -> None:
    checker = [0.0, 0.4, 0.4]
    assert blend(checker, [1.0, 0.0, 0.5], "ties", 0.1).rewards == (0.0, 0.4, 0.4)
    always = blend(checker, [1.0, 0.0, 0.5], "always", 0.1)
    assert always.rewards == pytest.approx((0.05, 0.35, 0.4))
    assert always.weight == 1.0
    assert blend([0.3, 0.3], [1.0, 0.0], "always", 0.1).weight == 0.1
    assert blend(checker, [1.0, 0.0, 0.5], "only", 0.1).rewards == (1.0, 0.0, 0.5)


def test_differences_by_rounding_are_ties() -> None:
    assert TIE == TIE_TOLERANCE
    assert not separated([0.7, 0.7 + 1e-9]) and separated([0.7, 0.70001])
    assert not separated([])


def test_a_broken_tie_weighs_less_than_what_the_checker_saw() -> None:
    def group(rewards: tuple[float, ...], weight: float) -> Group:
        rollouts = tuple(GradedRollout(f"{weight}-{n}", reward, ()) for n, reward in enumerate(rewards))
        return Group("g", "task", rollouts, weight)

    broken = blend([0.5, 0.5], [0.0, 1.0], "ties", 0.1)
    groups = [group((0.0, 1.0), 1.0), group(broken.rewards, broken.weight)]
    seen, tie = advantages_of(groups, scale=True).advantages
    assert tie == pytest.approx([0.1 * a for a in seen])
    seen, tie = advantages_of(groups, scale=False).advantages
    assert tie == pytest.approx([0.1 * a for a in seen])


def test_agreement_counts_the_pairs_that_the_checker_separates() -> None:
    assert agreement([0, 0.5, 1], [0.1, 0.2, 0.9]) == Agreement(3, 3.0)
    assert agreement([0, 0.5, 1], [0.9, 0.2, 0.1]) == Agreement(3, 0.0)
    assert agreement([0, 0, 1], [0.3, 0.1, 0.3]) == Agreement(2, 1.5)
    assert agreement([1, 1], [0.3, 0.1]) == Agreement()
    assert Agreement(3, 1.5) + Agreement(1, 1.0) == Agreement(4, 2.5)


def test_every_trajectory_may_have_the_same_and_what_short_ones_leave_is_shared() -> None:
    assert fair_cap([100, 100], 1000) >= 100
    assert fair_cap([10, 500, 900], 410) == 200
    assert fair_cap([400, 400, 400], 300) == 100
    assert fair_cap([5], 0) == 0


def test_cut_trajectories_keep_their_ends_and_their_turns_first() -> None:
    messages = [{"role": "assistant", "content": f"turn {n} " + "x" * 500} for n in range(10)]
    cut = shorten(messages, size(messages, len) // 2, len)
    assert size(cut, len) <= size(messages, len) // 2
    assert [m["content"][:6] for m in cut] == [f"turn {n}" for n in range(10)]
    tiny = shorten(messages, 500, len)
    assert size(tiny, len) <= 500
    assert tiny[0]["content"].startswith("turn 0") and tiny[-1]["content"].startswith("turn 9")
    assert any("messages left out" in m["content"] for m in tiny)
    assert clip("abcdef" * 20, 30).startswith("abcdef") and "90 characters left out" in clip("abcdef" * 20, 30)


def test_nothing_is_cut_where_all_fits() -> None:
    trajectories = [[{"role": "assistant", "content": "a" * 90}], [{"role": "assistant", "content": "b"}]]
    assert fit(trajectories, 1000, len) == trajectories
