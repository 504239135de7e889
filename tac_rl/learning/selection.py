"""What a step learns from: all rollouts of groups with variance, the successful ones, or pairs of a group.

Successes: rejection sampling, as in Yuan et al. 2023, "Scaling Relationship on Learning Mathematical Reasoning with
Large Language Models" (arXiv 2308.01825), section 3.3, and Dong et al. 2023, "RAFT" (arXiv 2304.06767).

Pairs: the best rollout of a group with the worst, the second best with the second worst, and so on inwards, as long as
their rewards differ enough. So a rollout is in one pair at most, and the one failure of a group that nearly always
succeeds is not pushed down seven times over. Ties are ordered by the rollouts' ids: the same groups give the same
pairs.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tac_rl.config.learner import DpoSection, LearnerSection, SftSection
from tac_rl.learning.advantages import TIE_TOLERANCE, GroupAdvantages, advantages_of
from tac_rl.learning.base import GradedRollout, Group

if TYPE_CHECKING:  # the loop reads this module too, and has no torch
    from tac_rl.learning.losses.base import Loss


def select(groups: Sequence[Group], loss: "Loss", settings: LearnerSection) -> GroupAdvantages:
    """What `loss` learns from in a step's groups. The advantage of a success is 1; in a pair they are 1 and -1."""
    if loss.learns_from == "successes":
        return _successes(groups, settings.sft)
    if loss.learns_from == "pairs":
        return _pairs(groups, settings.dpo)
    return advantages_of(groups, scale=loss.scale_rewards)


def successes(group: Group, settings: SftSection) -> list[GradedRollout]:
    """A group's rollouts to imitate, in the group's order."""
    good = [r for r in group.rollouts if _sampled(r) and r.reward >= settings.min_reward - TIE_TOLERANCE]
    chosen = {id(r) for r in _best_first(good)[: settings.per_group]}
    return [r for r in good if id(r) in chosen]


def pairs(group: Group, settings: DpoSection) -> list[tuple[GradedRollout, GradedRollout]]:
    """(better, worse) pairs of a group, the furthest apart first."""
    ordered = _best_first([r for r in group.rollouts if _sampled(r)])
    candidates = list(zip(ordered, reversed(ordered), strict=True))[: len(ordered) // 2]
    apart = [(a, b) for a, b in candidates if a.reward - b.reward >= settings.min_margin - TIE_TOLERANCE]
    return apart[: settings.pairs_per_group]


def learnt_from(group: Group, settings: LearnerSection) -> int:
    """How many rollouts of a group `loss: sft` or `loss: dpo` would learn from."""
    if settings.loss == "sft":
        return len(successes(group, settings.sft))
    return 2 * len(pairs(group, settings.dpo))


def _successes(groups: Sequence[Group], settings: SftSection) -> GroupAdvantages:
    kept = [replace(group, rollouts=tuple(successes(group, settings))) for group in groups]
    kept = [group for group in kept if group.rollouts]
    return GroupAdvantages(
        groups=tuple(kept),
        advantages=tuple((1.0,) * len(group.rollouts) for group in kept),
        zero_variance_share=_dropped_share(groups, kept),
        nothing="" if kept else f"no rollout with a reward of at least {settings.min_reward:g}",
    )


def _pairs(groups: Sequence[Group], settings: DpoSection) -> GroupAdvantages:
    kept: list[Group] = []
    signs, numbers = list[tuple[float, ...]](), list[tuple[int, ...]]()
    count = 0
    for group in groups:
        found = pairs(group, settings)
        if found:
            kept.append(replace(group, rollouts=tuple(rollout for pair in found for rollout in pair)))
            signs.append((1.0, -1.0) * len(found))
            numbers.append(tuple(count + number for number in range(len(found)) for _ in (0, 1)))
            count += len(found)
    return GroupAdvantages(
        groups=tuple(kept),
        advantages=tuple(signs),
        pairs=tuple(numbers),
        zero_variance_share=_dropped_share(groups, kept),
        nothing="" if kept else f"no two rollouts of a group {settings.min_margin:g} apart in reward",
    )


def _sampled(rollout: GradedRollout) -> bool:
    return any(any(row.sampled) for row in rollout.rows)


def _best_first(rollouts: Sequence[GradedRollout]) -> list[GradedRollout]:
    return sorted(rollouts, key=lambda rollout: (-rollout.reward, rollout.rollout_id))


def _dropped_share(groups: Sequence[Group], kept: Sequence[Group]) -> float:
    return 1 - len(kept) / len(groups) if groups else 0.0
