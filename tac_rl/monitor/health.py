"""Is a run well? Three answers, in the order of urgency, with the reasons for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tac_rl.runs.records import Event, Iteration, IterationMeans, RunStatus

EXIT_CODES = {"healthy": 0, "degraded": 1, "stalled": 2}
"""The door's exit code for each answer."""

HEARTBEAT_SECONDS = 60.0
"""The loop writes a sign of life every few seconds; after this long without one its process hangs."""
PROGRESS_SECONDS = 900.0
"""Nothing began or ended for this long, though the process lives (a learner step may take minutes)."""
FAILURE_SHARE = 0.1
"""More infrastructure failures than this, among the rollouts of the last two iterations, is a problem."""


@dataclass(frozen=True)
class Health:
    answer: Literal["healthy", "degraded", "stalled"]
    problems: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.answer]


def judge(
    status: RunStatus,
    iterations: Sequence[Iteration],
    means: dict[int, IterationMeans],
    events: Sequence[Event],
    now: float,
    *,
    progress_seconds: float = PROGRESS_SECONDS,
) -> Health:
    """`stalled`: it won't go on by itself; `degraded`: it goes on, or ended, but something needs a look."""
    stalled = list(_stalled(status, now, progress_seconds))
    degraded = list(_degraded(status, iterations, means, events))
    if stalled:
        return Health("stalled", tuple(stalled + degraded))
    return Health("degraded" if degraded else "healthy", tuple(degraded))


def _stalled(status: RunStatus, now: float, progress_seconds: float) -> list[str]:
    if status.state == "failed":
        return [f"failed: {status.message}; go on with --resume {status.name}"]
    if status.state != "running":
        return []
    if status.alive is False or (status.alive is None and now - status.heartbeat > HEARTBEAT_SECONDS):
        return [f"its process is gone; go on with --resume {status.name}"]
    if now - status.heartbeat > HEARTBEAT_SECONDS:
        return [f"no sign of life for {now - status.heartbeat:.0f} s: its process hangs or is stopped"]
    if now - status.progress > progress_seconds:
        return [f"nothing happened for {now - status.progress:.0f} s in stage {status.stage!r}"]
    return []


def _degraded(
    status: RunStatus,
    iterations: Sequence[Iteration],
    means: dict[int, IterationMeans],
    events: Sequence[Event],
) -> list[str]:
    problems = []
    if status.state == "stopped":
        problems.append(f"stopped before its end; go on with --resume {status.name}")
    recent = [means[i.n] for i in iterations[-2:] if i.n in means]
    attempts, failures = sum(m.attempts for m in recent), sum(m.failures for m in recent)
    if failures > FAILURE_SHARE * attempts:
        problems.append(f"{failures} of the last {attempts} rollouts were infrastructure failures")
    finished = [i for i in iterations if i.finished is not None]
    if finished:
        last = finished[-1]
        skips = [e for e in events if e.kind == "step_skipped" and e.iteration == last.n]
        if skips:
            problems.append(f"iteration {last.n} made no update: {skips[-1].message}")
        asked = last.metrics.get("ruler_asked", 0)
        if asked and last.metrics["ruler_failures"] == asked:
            problems.append(
                f"the judge had no usable answer about any group of iteration {last.n}; events say why"
            )
        broken = sorted(k for k, v in last.metrics.items() if not abs(v) < float("inf"))
        if broken:
            problems.append(f"iteration {last.n} has metrics that are no numbers: {', '.join(broken)}")
    return problems
