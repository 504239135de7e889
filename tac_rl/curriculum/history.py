"""What the curriculum remembers of each package: discounted scores, variances, and streaks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pvariance
from typing import Any

ZERO_VARIANCE = 1e-6
"""Scores of a group that differ by less are ties."""


@dataclass
class PackageHistory:
    """Discounted statistics of one package's groups."""

    groups: float = 0.0
    """Discounted number of groups observed."""
    score_sum: float = 0.0
    variance_sum: float = 0.0
    flat_streak: int = 0
    """Groups in a row whose scores were all the same."""
    last_drawn: int = -1
    """Iteration of the last draw; -1 means never."""

    @property
    def mean_score(self) -> float | None:
        """Discounted mean of the groups' mean scores; None before the first group."""
        return self.score_sum / self.groups if self.groups else None

    def observe(self, scores: Sequence[float], half_life: float) -> None:
        """Take in the scores (in [0, 1]) of one group; the older groups fade by `half_life` groups."""
        fade = 0.5 ** (1.0 / half_life)
        self.groups = self.groups * fade + 1.0
        self.score_sum = self.score_sum * fade + fmean(scores)
        self.variance_sum = self.variance_sum * fade + pvariance(scores)
        flat = max(scores) - min(scores) <= ZERO_VARIANCE
        self.flat_streak = self.flat_streak + 1 if flat else 0

    def variance(self, prior: float, prior_groups: float) -> float:
        """Expected variance within a group, shrunk towards `prior` while few groups were seen."""
        return (self.variance_sum + prior * prior_groups) / (self.groups + prior_groups)


def dump(histories: Mapping[str, PackageHistory]) -> dict[str, Any]:
    """Plain JSON of all histories."""
    return {name: asdict(history) for name, history in histories.items()}


def load(document: Mapping[str, Any]) -> dict[str, PackageHistory]:
    """The inverse of `dump`."""
    return {name: PackageHistory(**fields) for name, fields in document.items()}
