"""The checker's rewards and the judge's scores become one reward; and how far the two agree.

| mode | reward | the group's weight |
|---|---|---|
| `ties` | the checker's where it separates; else the checker's + weight x (score - mean score) | 1; else `weight` |
| `always` | the checker's + weight x (score - mean score) | 1 where the checker separates, else `weight` |
| `only` | the score | 1 |

Scores are centred, so that a judge changes who is better within a group and never the group's mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Mode = Literal["ties", "always", "only"]

TIE = 1e-6
"""Rewards whose largest difference is smaller than this are ties (as in `learning/advantages.py`)."""


@dataclass(frozen=True)
class Blend:
    """Rewards in the rollouts' order, and the weight of their group (`learning.base.Group.weight`)."""

    rewards: tuple[float, ...]
    weight: float


@dataclass(frozen=True)
class Agreement:
    """Pairs of rollouts that the checker separates, and how many of them the judge orders alike."""

    pairs: int = 0
    agreed: float = 0.0
    """A pair to which the judge gives the same score counts half: 0.5 of all pairs is what chance gives."""

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(self.pairs + other.pairs, self.agreed + other.agreed)


def separated(rewards: Sequence[float]) -> bool:
    """Whether the checker tells the rollouts of a group apart."""
    return bool(rewards) and max(rewards) - min(rewards) >= TIE


def blend(checker: Sequence[float], scores: Sequence[float], mode: Mode, weight: float) -> Blend:
    """One group's rewards. Both sequences have one entry per rollout."""
    if mode == "only":
        return Blend(tuple(scores), 1.0)
    if mode == "ties" and separated(checker):
        return Blend(tuple(checker), 1.0)
    mean = math.fsum(scores) / len(scores)
    rewards = tuple(c + weight * (s - mean) for c, s in zip(checker, scores, strict=True))
    return Blend(rewards, 1.0 if separated(checker) else weight)


def agreement(checker: Sequence[float], scores: Sequence[float]) -> Agreement:
    """How the judge's order compares with the checker's, over all pairs that the checker separates."""
    pairs, agreed = 0, 0.0
    for (c1, s1), (c2, s2) in combinations(zip(checker, scores, strict=True), 2):
        if abs(c1 - c2) < TIE:
            continue
        pairs += 1
        if abs(s1 - s2) < TIE:
            agreed += 0.5
        elif (c1 > c2) == (s1 > s2):
            agreed += 1.0
    return Agreement(pairs, agreed)
