"""Everything the monitor shows, read from the run directory in one consistent look."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tac_rl.monitor.health import PROGRESS_SECONDS, Health, judge
from tac_rl.monitor.stages import TrainingStage, stage_of, training_stages
from tac_rl.runs.reader import RunReader
from tac_rl.runs.records import (
    Evaluation,
    Event,
    InFlight,
    Iteration,
    IterationMeans,
    RunStatus,
    StoredRollout,
)

HELDOUT = "heldout"
"""The split whose evaluations make the held-out curve."""
STRIP = 48
"""How many of a task's last training rollouts are looked at."""
NOT_ROLLOUTS = frozenset({"rewards", "learner", "publish", "loop"})
"""Phases of an iteration's timing in which no rollout is at work."""


@dataclass(frozen=True)
class JudgeFacts:
    """What a judge beside the checker (RULER) did in all finished iterations together."""

    asked: int
    """Groups that it was asked about."""
    failures: int
    skipped: int
    ties: int
    ties_broken: int
    calls: int
    tokens: int
    cost_usd: float
    pairs: int
    """Pairs of rollouts that the checker separates and the judge has seen."""
    pairs_agreed: float

    @property
    def agreement(self) -> float | None:
        """Share of those pairs that the judge orders as the checker does; 0.5 is chance. None without pairs."""
        return self.pairs_agreed / self.pairs if self.pairs else None


@dataclass(frozen=True)
class Snapshot:
    now: float
    directory: Path
    status: RunStatus
    health: Health
    iterations: tuple[Iteration, ...]
    means: dict[int, IterationMeans]
    """By iteration, also of the one going on."""
    heldout: tuple[Evaluation, ...]
    """Finished held-out evaluations, in order."""
    evaluating: tuple[Evaluation, int] | None
    """The evaluation going on and how many of its rollouts have ended."""
    in_flight: tuple[InFlight, ...]
    by_task: dict[str, list[StoredRollout]]
    timing: dict[str, float]
    """Seconds by phase, largest first."""
    trained_version: int
    served_version: int
    infrastructure_failures: int
    events: tuple[Event, ...]
    stages: tuple[TrainingStage, ...] = ()
    """Empty for a run without."""

    @property
    def training_stage(self) -> TrainingStage | None:
        """The stage of the iteration that was begun last, or comes first."""
        return stage_of(self.stages, self.iterations[-1].n if self.iterations else 1)

    @property
    def finished(self) -> int:
        """How many iterations have finished."""
        return sum(i.finished is not None for i in self.iterations)

    def judge(self) -> JudgeFacts | None:
        """None where no judge was asked."""
        judged = [i.metrics for i in self.iterations if i.finished is not None and "ruler_asked" in i.metrics]
        if not judged:
            return None

        def total(name: str) -> float:
            return sum(metrics.get(f"ruler_{name}", 0.0) for metrics in judged)

        whole = ("asked", "failures", "skipped", "ties", "ties_broken", "calls", "tokens", "pairs")
        return JudgeFacts(
            **{name: int(total(name)) for name in whole},
            cost_usd=total("cost_usd"),
            pairs_agreed=total("pairs_agreed"),
        )

    def timing_shares(self) -> dict[str, float]:
        """Each phase's share of the recorded time."""
        total = sum(self.timing.values())
        return {phase: seconds / total for phase, seconds in self.timing.items()} if total > 0 else {}

    def elapsed_seconds(self) -> float:
        """Seconds spent so far, also those since the last sign of life of a living process."""
        return self.status.seconds + (self.now - self.status.heartbeat if self.status.alive else 0.0)

    def tokens_per_s(self, iteration: Iteration) -> float | None:
        """Tokens that the policy sampled in an iteration's rollouts, a second of the time these took."""
        seconds = sum(spent for phase, spent in iteration.timing.items() if phase not in NOT_ROLLOUTS)
        means = self.means.get(iteration.n)
        return means.tokens / seconds if seconds and means else None

    def remaining_seconds(self) -> float | None:
        """An estimate from the pace of the iterations; None before the first has finished and at the end."""
        done = [i for i in self.iterations if i.finished is not None]
        if not done or self.status.state != "running":
            return None
        # The median pace is blind to the time that lay between a kill and a resume.
        paces = sorted(b.finished - a.finished for a, b in pairwise(done) if a.finished and b.finished)
        pace = paces[len(paces) // 2] if paces else (done[0].finished or 0.0) - done[0].started
        return max(0.0, pace * (self.status.iterations - len(done)))

    def to_json(self) -> dict[str, Any]:
        """The stable, machine-readable form (docs/runs.md)."""
        stage = self.training_stage
        return {
            "run": self.status.name,
            "state": self.status.state,
            "health": self.health.answer,
            "problems": list(self.health.problems),
            "stage": self.status.stage,
            "iteration": self.finished,
            "iterations": self.status.iterations,
            "training_stage": stage.to_json(len(self.stages)) if stage else None,
            "policy_version": self.trained_version,
            "served_version": self.served_version,
            "heldout": [
                {
                    "iteration": e.iteration,
                    "full_completion": _finite(e.results.get("full_completion")),
                    "score": _finite(e.results.get("score")),
                }
                for e in self.heldout
            ],
            "seconds": round(self.status.seconds, 3),
            "timing": {phase: round(share, 4) for phase, share in self.timing_shares().items()},
            "rollouts_in_flight": len(self.in_flight),
            "infrastructure_failures": self.infrastructure_failures,
            "judge": _judge_json(self.judge()),
        }


def take_snapshot(
    directory: Path, *, progress_seconds: float = PROGRESS_SECONDS, tasks: bool = True
) -> Snapshot:
    """Look at a run; `RunError` where there is none. Without `tasks`, the costliest part, `by_task` is empty."""
    with RunReader(directory) as reader, reader.consistent():
        status = reader.status()
        iterations = reader.iterations()
        means = reader.iteration_means()
        events = reader.events(200)
        evaluations = reader.evaluations(HELDOUT)
        versions = reader.versions()
        now = time.time()
        return Snapshot(
            now=now,
            directory=directory,
            status=status,
            health=judge(status, iterations, means, events, now, progress_seconds=progress_seconds),
            iterations=tuple(iterations),
            means=means,
            heldout=tuple(e for e in evaluations if e.finished is not None),
            evaluating=_evaluating(reader, reader.evaluations(), status),
            in_flight=tuple(reader.in_flight()),
            by_task=reader.latest_by_task(STRIP) if tasks else {},
            timing=reader.timing(),
            trained_version=versions[-1].version if versions else 0,
            served_version=reader.served_version(),
            infrastructure_failures=reader.infrastructure_failures(),
            events=tuple(events),
            stages=training_stages(reader.config()),
        )


def _judge_json(facts: JudgeFacts | None) -> dict[str, Any] | None:
    return None if facts is None else {**asdict(facts), "agreement": facts.agreement}


def _evaluating(
    reader: RunReader, evaluations: Sequence[Evaluation], status: RunStatus
) -> tuple[Evaluation, int] | None:
    if not evaluations or evaluations[-1].finished is not None or status.state != "running":
        return None
    means = reader.evaluation_means().get(evaluations[-1].evaluation)
    return evaluations[-1], means.attempts if means else 0


def _finite(value: Any) -> float | None:
    """JSON has no NaN."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
