"""Before and after: the first and the last evaluation of a split, overall and task by task."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tac_rl.runs.reader import RunReader
from tac_rl.runs.records import Evaluation, StoredRollout


@dataclass(frozen=True)
class Rate:
    """How a set of graded attempts went."""

    attempts: int
    full_completion: float
    score: float
    interval: tuple[float, float]
    """95 % interval of `full_completion`."""


@dataclass(frozen=True)
class Measured:
    """One evaluation and its attempts, taken together and by task."""

    evaluation: Evaluation
    overall: Rate
    by_task: dict[str, Rate]


@dataclass(frozen=True)
class Comparison:
    """`before` is the base model or the earliest version that was evaluated; both are the same if there is but one."""

    split: str
    before: Measured
    after: Measured

    def tasks(self) -> list[str]:
        return sorted(set(self.before.by_task) | set(self.after.by_task))


def wilson(successes: int, attempts: int) -> tuple[float, float]:
    """The 95 % score interval of a rate (E. B. Wilson, 1927); (0, 1) without attempts."""
    if attempts == 0:
        return 0.0, 1.0
    z, p = 1.959964, successes / attempts
    middle = (p + z * z / (2 * attempts)) / (1 + z * z / attempts)
    half = z / (1 + z * z / attempts) * math.sqrt(p * (1 - p) / attempts + z * z / (4 * attempts**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def rate(rollouts: Sequence[StoredRollout]) -> Rate:
    """The rate of `rollouts`; infrastructure failures are left out."""
    graded = [r for r in rollouts if not r.infrastructure]
    complete = sum(r.complete for r in graded)
    n = len(graded)
    score = sum(r.score or 0.0 for r in graded) / n if n else 0.0
    return Rate(n, complete / n if n else 0.0, score, wilson(complete, n))


def measured(reader: RunReader, evaluation: Evaluation) -> Measured:
    """An evaluation with its rates; the interval that the evaluation itself gave goes before Wilson's."""
    rollouts = reader.rollouts(evaluation=evaluation.evaluation)
    by_task: dict[str, list[StoredRollout]] = defaultdict(list)
    for rollout in rollouts:
        by_task[rollout.task].append(rollout)
    own = rate(rollouts)
    results = evaluation.results
    overall = Rate(
        attempts=own.attempts,
        full_completion=_number(results.get("full_completion"), own.full_completion),
        score=_number(results.get("score"), own.score),
        interval=_pair(results.get("interval"), own.interval),
    )
    return Measured(evaluation, overall, {task: rate(of) for task, of in by_task.items()})


def curve(reader: RunReader, split: str) -> list[Measured]:
    """All finished evaluations of a split, in order."""
    return [measured(reader, e) for e in reader.evaluations(split) if e.finished is not None]


def compare(reader: RunReader) -> list[Comparison]:
    """Before and after of each split that was evaluated."""
    splits: Iterable[str] = dict.fromkeys(e.split for e in reader.evaluations() if e.finished is not None)
    comparisons = []
    for split in splits:
        finished = [e for e in reader.evaluations(split) if e.finished is not None]
        comparisons.append(Comparison(split, measured(reader, finished[0]), measured(reader, finished[-1])))
    return comparisons


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise


def _pair(value: Any, otherwise: tuple[float, float]) -> tuple[float, float]:
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(v, int | float) for v in value):
        return float(value[0]), float(value[1])
    return otherwise
