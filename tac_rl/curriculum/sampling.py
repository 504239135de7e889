"""Which packages an iteration works on.

Attempts are expensive, so the curriculum learns only from attempts that were made anyway. GRPO's gradient
vanishes on a group whose rollouts all score the same; a package's weight is therefore the variance of the
score that its next group is expected to show (p(1-p) for an all-or-nothing task: Foster and others, "Learning
to Reason at the Frontier of Learnability", 2025), with

    weight = (variance + staleness_bonus * iterations since the last draw) * max(backoff^flat_streak, floor)

and a share of uniform draws, so that nothing is ever forgotten. Difficulty levels open one after the other.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tac_rl.config.curriculum import CurriculumSection
from tac_rl.curriculum import history
from tac_rl.curriculum.history import PackageHistory


@dataclass(frozen=True)
class Draw:
    """One group to make: which package, and which of the training split's instances."""

    task: str
    instance_index: int


class Curriculum:
    """Draws packages, learns from their graded groups. Deterministic given its state."""

    def __init__(self, difficulties: Mapping[str, int], config: CurriculumSection, seed: int) -> None:
        """`difficulties`: package name to difficulty level (1 is easiest)."""
        self.difficulties = dict(difficulties)
        self.config = config
        self._histories = {name: PackageHistory() for name in difficulties}
        self._random = random.Random(seed)
        self._next_index = 0

    def draw(self, iteration: int, count: int) -> tuple[Draw, ...]:
        """`count` draws for `iteration`; no package is drawn twice before every open one was, if uniform."""
        weights = self.weights(iteration)
        names = list(weights)
        draws = []
        for name in self._pick(names, [weights[n] for n in names], count):
            self._histories[name].last_drawn = iteration
            draws.append(Draw(name, self._next_index))
            self._next_index += 1
        return tuple(draws)

    def observe(self, task: str, scores: Sequence[float]) -> None:
        """The TAC scores of one group's graded rollouts (infrastructure failures are not among them)."""
        if scores:
            self._histories[task].observe(scores, self.config.half_life)

    def weights(self, iteration: int) -> dict[str, float]:
        """Probability of each open package in the next draw."""
        open_names = self._open(iteration)
        if not self.config.enabled:
            return {name: 1 / len(open_names) for name in open_names}
        raw = {name: self._raw_weight(name, iteration) for name in open_names}
        total = sum(raw.values())
        uniform = self.config.uniform_share if total > 0 else 1.0
        return {
            name: uniform / len(open_names) + (1 - uniform) * (raw[name] / total if total > 0 else 0.0)
            for name in open_names
        }

    def state(self) -> dict[str, Any]:
        """Everything needed to go on exactly here, as JSON values."""
        version, internal, gauss = self._random.getstate()
        return {
            "histories": history.dump(self._histories),
            "random": [version, list(internal), gauss],
            "next_index": self._next_index,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`; packages that are new since then start without a history."""
        self._histories |= {n: h for n, h in history.load(state["histories"]).items() if n in self._histories}
        version, internal, gauss = state["random"]
        self._random.setstate((version, tuple(internal), gauss))
        self._next_index = int(state["next_index"])

    def _raw_weight(self, name: str, iteration: int) -> float:
        config, past = self.config, self._histories[name]
        variance = past.variance(config.prior_variance, config.prior_groups)
        stale = iteration - past.last_drawn if past.last_drawn >= 0 else 0
        factor = max(config.backoff**past.flat_streak, config.backoff_floor)
        return (variance + config.staleness_bonus * stale) * factor

    def _open(self, iteration: int) -> list[str]:
        """The packages of the levels that are open: each opens on the success of the level below, or in time."""
        if not self.config.enabled:
            return list(self.difficulties)
        levels = sorted(set(self.difficulties.values()))
        opened: list[str] = []
        for position, level in enumerate(levels):
            opened += [name for name, difficulty in self.difficulties.items() if difficulty == level]
            due = self.config.unlock_after * (position + 1)
            if iteration < due and not self._mastered(level):
                break
        return opened

    def _mastered(self, level: int) -> bool:
        means = [
            self._histories[name].mean_score
            for name, difficulty in self.difficulties.items()
            if difficulty == level
        ]
        seen = [mean for mean in means if mean is not None]
        return len(seen) == len(means) and sum(seen) / len(seen) >= self.config.unlock_score

    def _pick(self, names: list[str], weights: list[float], count: int) -> list[str]:
        """Systematic resampling: each package is drawn its expected number of times, give or take one."""
        start = self._random.random()
        total = sum(weights)
        picks: list[str] = []
        order = list(range(len(names)))
        self._random.shuffle(order)
        reached = 0.0
        for index in order:
            reached += weights[index] / total * count
            while len(picks) < count and len(picks) + start < reached:
                picks.append(names[index])
        while len(picks) < count:
            picks.append(names[order[-1]])
        return picks
