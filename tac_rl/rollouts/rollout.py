"""One rollout: lease a workplace, let an agent work there, shut it out, grade what it left behind.

Every phase is a line of `run_rollout`; every failure of ours is an `InfrastructureError` and becomes the
outcome of that name. Retrying is the group's business (`group.py`), recording the caller's.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tac_rl.agents.base import Agent, AgentLimits, AgentStep, Workplace
from tac_rl.errors import InfrastructureError, TaskError
from tac_rl.gateway.base import SessionDoor
from tac_rl.gateway.recording import CallRecord, Recording
from tac_rl.learning.base import Row
from tac_rl.office.process import Lease, Office
from tac_rl.rollouts.outcomes import CONSEQUENCES, Outcome, outcome_of
from tac_rl.sandboxes.base import NO_EQUIPMENT, Equipment, SandboxLimits, SandboxProvider
from tac_rl.serving.base import Sampling
from tac_rl.tasks.base import Grade, TaskInstance
from tac_rl.tasks.company import connect, lease_company, make_spec
from tac_rl.tasks.contract import Package

PHASES = ("sandbox", "engine", "tools", "grading")
"""What a rollout's seconds are split into; the rest of it is our own overhead."""


@dataclass(frozen=True)
class RolloutPlan:
    """What to attempt, with which policy."""

    rollout_id: str
    group_id: str
    package: Package
    instance: TaskInstance
    version: int
    sampling: Sampling
    limits: AgentLimits


@dataclass(frozen=True)
class Workshop:
    """The parts that every rollout of a run shares."""

    sandboxes: SandboxProvider
    sandbox_limits: SandboxLimits
    agent_for: Callable[[Package | None], Agent]
    """None: for a task that is of no package."""
    gateway: SessionDoor | None
    """None where the agent uses no model."""
    context_limit: int
    office: Office | None = None
    """None where no task needs the company's services."""
    equipment: Equipment = NO_EQUIPMENT
    """What the agent needs in its sandbox."""
    record_changes: bool = False
    """Whether to find out what each attempt changed in its company."""


@dataclass(frozen=True)
class RolloutResult:
    """How one rollout ended."""

    plan: RolloutPlan
    outcome: Outcome
    grade: Grade | None
    rows: tuple[Row, ...]
    steps: tuple[AgentStep, ...]
    turns: int
    seconds: float
    spent: dict[str, float]
    """Seconds by phase (`PHASES`)."""
    detail: str = ""
    """How the agent said it ended, or the error."""
    changes: tuple[str, ...] = ()
    """What the attempt changed in its company, a sentence each, where that is recorded."""
    calls: tuple[CallRecord, ...] = ()
    """The model calls that made `rows`."""

    @property
    def sampled_tokens(self) -> int:
        return sum(sum(row.sampled) for row in self.rows)


@dataclass
class _Progress:
    """What is known of a rollout so far, whichever line of it fails."""

    steps: list[AgentStep] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    recording: Recording | None = None
    changes: tuple[str, ...] = ()

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent[phase] += time.perf_counter() - started


def _ignore_phase(phase: str, turn: int) -> None: ...


async def run_rollout(
    plan: RolloutPlan,
    workshop: Workshop,
    *,
    watch: Callable[[AgentStep], None] | None = None,
    on_phase: Callable[[str, int], None] = _ignore_phase,
) -> RolloutResult:
    """Attempt `plan` once. Never raises `InfrastructureError`: that is an outcome.

    `watch` sees every step as it happens; `on_phase(phase, turn)` every change of phase.
    """
    started = time.perf_counter()
    progress = _Progress()

    def note(step: AgentStep) -> None:
        progress.steps.append(step)
        if step.result is not None:
            progress.spent["tools"] += step.result.seconds
        on_phase("working", step.turn)
        if watch is not None:
            watch(step)

    grade_found: Grade | None = None
    turns = 0
    try:
        outcome, grade_found, turns, detail = await _attempt(plan, workshop, progress, note, on_phase)
    except (
        InfrastructureError,
        TaskError,
    ) as error:  # a package that can't be laid out is no fault of the policy
        outcome, detail = Outcome.INFRASTRUCTURE_FAILED, f"{type(error).__name__}: {error}"
    recording = progress.recording
    if recording is not None:
        progress.spent["engine"] = recording.engine_seconds
        if recording.infrastructure_error and outcome is not Outcome.INFRASTRUCTURE_FAILED:
            outcome, detail, grade_found = (
                Outcome.INFRASTRUCTURE_FAILED,
                recording.infrastructure_error,
                None,
            )
    trainable = recording is not None and CONSEQUENCES[outcome].trained_on
    return RolloutResult(
        plan=plan,
        outcome=outcome,
        grade=grade_found,
        rows=recording.rows if recording is not None and trainable else (),
        calls=recording.calls if recording is not None and trainable else (),
        steps=tuple(progress.steps),
        turns=turns,
        seconds=time.perf_counter() - started,
        spent=progress.spent,
        detail=detail,
        changes=progress.changes,
    )


async def _attempt(
    plan: RolloutPlan,
    workshop: Workshop,
    progress: _Progress,
    note: Callable[[AgentStep], None],
    on_phase: Callable[[str, int], None],
) -> tuple[Outcome, Grade | None, int, str]:
    on_phase("starting", 0)
    with progress.clock("sandbox"):
        lease = await lease_company(plan.instance, workshop.office, plan.rollout_id)
    try:
        return await _attempt_in(lease, plan, workshop, progress, note, on_phase)
    finally:
        if lease is not None:
            await asyncio.shield(lease.close())


async def _attempt_in(
    lease: Lease | None,
    plan: RolloutPlan,
    workshop: Workshop,
    progress: _Progress,
    note: Callable[[AgentStep], None],
    on_phase: Callable[[str, int], None],
) -> tuple[Outcome, Grade | None, int, str]:
    with progress.clock("sandbox"):
        sandbox = await workshop.sandboxes.start(
            make_spec(
                plan.rollout_id,
                workshop.sandbox_limits,
                workshop.office if lease else None,
                plan.instance,
            ).equipped(workshop.equipment)
        )
    try:
        with progress.clock("sandbox"):
            await connect(lease, sandbox)
            await plan.package.lay_out(plan.instance, sandbox, workshop.sandboxes, (workshop.office, lease))
        on_phase("working", 0)
        agent = workshop.agent_for(plan.package)
        if agent.uses_model:
            if workshop.gateway is None:
                raise InfrastructureError(f"agent {agent.name} needs a gateway, and none was started")
            session = await workshop.gateway.open(
                plan.rollout_id,
                version=plan.version,
                sampling=plan.sampling,
                context_limit=workshop.context_limit,
            )
            try:
                report = await agent.work(
                    plan.instance.instruction, Workplace(sandbox), session.endpoint, plan.limits, note
                )
            finally:
                progress.recording = await workshop.gateway.close(session)
        else:
            report = await agent.work(plan.instance.instruction, Workplace(sandbox), None, plan.limits, note)
        outcome = outcome_of(report.ending)
        if not CONSEQUENCES[outcome].graded:
            return outcome, None, report.turns, report.detail
        on_phase("grading", report.turns)
        with progress.clock("sandbox"):
            await sandbox.freeze()
            left_behind = await sandbox.export(max_bytes=2 * workshop.sandbox_limits.disk_mb << 20)
            if lease is not None:
                await lease.shut()
                if workshop.record_changes:
                    progress.changes = tuple((await lease.changes())["summary"])
    finally:
        with progress.clock("sandbox"):
            await asyncio.shield(sandbox.stop())
    with progress.clock("grading"):
        found = await plan.package.grade(
            plan.instance,
            left_behind,
            transcript(progress.steps),
            workshop.sandboxes,
            (workshop.office, lease),
        )
        if lease is not None:
            # Fails where the office died under the evaluator, to which that may have looked like work not done.
            await lease.shut()
    return outcome, found, report.turns, report.detail


def transcript(steps: list[AgentStep]) -> str:
    """The trajectory as one string, which TAC's evaluators may search."""
    parts = []
    for step in steps:
        parts.append(f"[turn {step.turn}] {step.text}\n$ {step.arguments}".rstrip())
        if step.result is not None:
            parts.append(step.result.output)
        if step.error:
            parts.append(step.error)
    return "\n".join(parts)
