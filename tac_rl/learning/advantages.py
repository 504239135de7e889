"""Rewards of a group become advantages.

GRPO (Shao et al. 2024, "DeepSeekMath", section 4.1): `A_i = (r_i - mean(r)) / std(r)`. Dr. GRPO (Liu et al.
2025, "Understanding R1-Zero-Like Training", section 3.2) leaves the division out, because it gives groups
that are nearly always or nearly never solved a larger weight. `std` is the sample standard deviation (G -
1).

A group whose rewards don't differ says nothing and is dropped: by a tolerance, since the mean of seven
rewards of 0.7 is not exactly 0.7 and scaling would blow the rounding error up to full size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tac_rl.learning.base import Group

TIE_TOLERANCE = 1e-6
"""Rewards whose largest difference is smaller than this are ties."""


@dataclass(frozen=True)
class GroupAdvantages:
    """What a step trains on."""

    groups: tuple[Group, ...]
    """The groups with variance, in their order."""
    advantages: tuple[tuple[float, ...], ...]
    """For each of them one advantage per rollout."""
    zero_variance_share: float
    """Share of all groups that were dropped, in [0, 1]; 0 where there was no group."""
    pairs: tuple[tuple[int, ...], ...] = ()
    """With a loss over pairs: for each group the number of each rollout's pair, counted through the step."""
    nothing: str = ""
    """Why there is nothing to train on, where that is so."""


def group_advantages(rewards: Sequence[float], *, scale: bool) -> tuple[float, ...] | None:
    """Advantages of one group's G rewards, or None where they don't differ."""
    if len(rewards) < 2 or max(rewards) - min(rewards) < TIE_TOLERANCE:
        return None
    mean = math.fsum(rewards) / len(rewards)
    centred = [reward - mean for reward in rewards]
    if not scale:
        return tuple(centred)
    deviation = math.sqrt(math.fsum(value * value for value in centred) / (len(rewards) - 1))
    return tuple(value / deviation for value in centred)


def advantages_of(groups: Sequence[Group], *, scale: bool) -> GroupAdvantages:
    """Advantages of all groups with variance."""
    kept, advantages = [], []
    for group in groups:
        values = group_advantages([rollout.reward for rollout in group.rollouts], scale=scale)
        if values is not None:
            kept.append(group)
            weight = group.weight if scale else 1.0
            advantages.append(tuple(weight * value for value in values))
    dropped = len(groups) - len(kept)
    return GroupAdvantages(
        groups=tuple(kept),
        advantages=tuple(advantages),
        zero_variance_share=dropped / len(groups) if groups else 0.0,
        nothing="" if kept else "no group with variance in its rewards",
    )
