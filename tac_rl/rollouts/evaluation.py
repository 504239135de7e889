"""Measure one policy version on a split: full completion, TAC score, per task and role, pass@k and pass^k."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from tac_rl.rollouts.group import GroupResult
from tac_rl.rollouts.rollout import RolloutResult
from tac_rl.rollouts.statistics import mean_over_instances, wilson_interval


@dataclass(frozen=True)
class TaskScore:
    """One package's (or role's) share of an evaluation."""

    role: str
    attempts: int
    full_completion: float
    score: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found. Infrastructure failures are counted apart and nowhere else."""

    split: str
    version: int
    attempts: int
    full_completion: float
    score: float
    interval: tuple[float, float]
    """95 % interval of the full completion."""
    per_task: Mapping[str, TaskScore]
    per_role: Mapping[str, TaskScore]
    pass_at: Mapping[str, float]
    """`k` to pass@k, over instances attempted at least k times."""
    pass_hat: Mapping[str, float]
    infrastructure_failures: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def summarise(
    groups: Sequence[GroupResult], roles: Mapping[str, str], *, split: str, version: int
) -> EvaluationResult:
    """`groups`: one per instance; `roles`: package name to role."""
    counted = [result for group in groups for result in group.counted]
    by_task: dict[str, list[RolloutResult]] = {}
    by_role: dict[str, list[RolloutResult]] = {}
    for result in counted:
        name = result.plan.package.name
        by_task.setdefault(name, []).append(result)
        by_role.setdefault(roles[name], []).append(result)
    tallies = [(sum(map(_complete, group.counted)), len(group.counted)) for group in groups if group.counted]
    ks = sorted({k for k in (1, 2, 4, 8, 16, 32) if any(attempts >= k for _, attempts in tallies)})
    whole = _score(counted, role="")
    return EvaluationResult(
        split=split,
        version=version,
        attempts=whole.attempts,
        full_completion=whole.full_completion,
        score=whole.score,
        interval=whole.interval,
        per_task={name: _score(results, roles[name]) for name, results in sorted(by_task.items())},
        per_role={role: _score(results, role) for role, results in sorted(by_role.items())},
        pass_at={str(k): mean_over_instances(tallies, k, all_of_k=False) or 0.0 for k in ks},
        pass_hat={str(k): mean_over_instances(tallies, k, all_of_k=True) or 0.0 for k in ks},
        infrastructure_failures=sum(len(group.results) - len(group.counted) for group in groups),
    )


def _complete(result: RolloutResult) -> bool:
    return result.grade is not None and result.grade.complete


def _score(results: Sequence[RolloutResult], role: str) -> TaskScore:
    complete = sum(map(_complete, results))
    return TaskScore(
        role=role,
        attempts=len(results),
        full_completion=complete / len(results) if results else 0.0,
        score=fmean(r.grade.score for r in results if r.grade is not None) if results else 0.0,
        interval=wilson_interval(complete, len(results)),
    )
