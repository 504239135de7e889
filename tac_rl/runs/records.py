"""What is written about a run: frozen dataclasses for rows, typed dicts for the trajectory document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

INFRASTRUCTURE_FAILED = "infrastructure_failed"
"""The one outcome that the run directory knows by name: a failure of ours, never the policy's."""

State = Literal["running", "finished", "failed", "stopped"]
"""How a run was left: `running` (also after a SIGKILL), `finished`, `failed` or `stopped` (by a person)."""


@dataclass(frozen=True)
class RolloutRecord:
    """One rollout that ended. Exactly one of `iteration` and `evaluation` is set."""

    rollout_id: str
    """Unique in the run, also among retries; becomes a file name."""
    group_id: str
    task: str
    seed: int
    split: str
    """`train`, or the split that an evaluation draws from."""
    outcome: str
    """The outcome table's name, such as `finished` or `infrastructure_failed`."""
    version: int
    """The policy version that sampled it."""
    iteration: int | None = None
    evaluation: int | None = None
    """The id that `RunStore.begin_evaluation` gave."""
    turns: int = 0
    tokens: int = 0
    """Tokens that the policy sampled."""
    score: float | None = None
    """TAC's score in [0, 1]; None where it was not graded."""
    partial: float | None = None
    """Share of the checkpoints' points in [0, 1]; None where it was not graded."""
    complete: bool = False
    reward: float | None = None
    """What the learner saw; None where it was not trained on."""
    checkpoints: tuple[tuple[int, int], ...] = ()
    """(total, result) of each checkpoint."""
    seconds: float = 0.0
    error: str = ""


class StepDocument(TypedDict):
    """One turn of a trajectory: what the model wrote, what was called, what came back."""

    turn: int
    text: str
    tool: str
    arguments: str
    output: str
    exit_code: int | None
    truncated: bool
    timed_out: bool
    error: str


class CheckpointDocument(TypedDict):
    total: int
    result: int


class RowDocument(TypedDict):
    """The size of one training row (the tokens themselves stay with the learner's input)."""

    tokens: int
    sampled: int
    version: int


class TrajectoryDocument(TypedDict):
    """What `trajectories/` holds for a rollout, as gzipped JSON. The store fills in `rollout`."""

    instruction: str
    steps: list[StepDocument]
    checkpoints: list[CheckpointDocument]
    rows: list[RowDocument]
    detail: str
    """How the agent said it ended, or the error."""
    rollout: NotRequired[dict[str, Any]]


class JudgedRolloutDocument(TypedDict):
    rollout_id: str
    checker: float
    """The checker's reward."""
    score: float | None
    explanation: str


class JudgementDocument(TypedDict):
    """What a judge said about one group: a line of `judgements/`."""

    group_id: str
    task: str
    rollouts: list[JudgedRolloutDocument]
    failure: str
    """Kind of failure; empty where there are scores."""
    message: str
    calls: int
    tokens: int
    cost_usd: float
    seconds: float
    cached: bool
    identical: bool
    """All rollouts did the same, so that nobody was asked."""


@dataclass(frozen=True)
class StoredRollout(RolloutRecord):
    """A rollout as the database holds it."""

    trajectory: str | None = None
    """The document's path, relative to the run directory."""
    ended: float = 0.0

    @property
    def infrastructure(self) -> bool:
        return self.outcome == INFRASTRUCTURE_FAILED


@dataclass(frozen=True)
class IterationMeans:
    """The rollouts of one iteration or evaluation together; our failures count only in `failures`."""

    attempts: int
    failures: int
    reward: float | None
    score: float | None
    partial: float | None
    full_completion: float | None
    tokens: int


@dataclass(frozen=True)
class InFlight:
    """A rollout that has begun and not ended."""

    rollout_id: str
    iteration: int | None
    evaluation: int | None
    group_id: str
    task: str
    seed: int
    phase: str
    turn: int
    since: float
    """Unix time at which this phase began."""


@dataclass(frozen=True)
class ResumePoint:
    """Where a run goes on: everything after `iteration` has been discarded."""

    iteration: int
    """The last finished iteration; 0 where none finished."""
    version: int
    """The policy version to serve and train from; 0 is the base model."""
    adapter: Path | None
    """The adapter directory of `version` (with optimiser state); None for version 0."""
    state: Mapping[str, Any]
    """What was given to `finish_iteration` as `state` (JSON values); empty where none finished."""
    evaluated: frozenset[tuple[int, str]]
    """(iteration, split) of the evaluations that are already recorded."""


@dataclass(frozen=True)
class Iteration:
    n: int
    version: int
    """The policy version that attempted it."""
    new_version: int | None
    """The version that it made; None while it is going on."""
    started: float
    finished: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """The curriculum's weight of each task when it was drawn."""


@dataclass(frozen=True)
class Version:
    version: int
    path: Path
    created: float
    published: float | None
    """Unix time at which the engine last proved to serve it."""
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Evaluation:
    evaluation: int
    iteration: int
    version: int
    split: str
    started: float
    finished: float | None
    results: Mapping[str, Any]
    """At least `full_completion`, `score`, `interval` ([low, high] of full completion) and `per_task`."""


@dataclass(frozen=True)
class Event:
    time: float
    iteration: int | None
    kind: str
    message: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class RunStatus:
    """The run's own row and its sessions (one for each start and resume)."""

    name: str
    state: State
    created: float
    iterations: int
    """How many are planned."""
    stage: str
    """What the loop is doing: startup, rollouts, learner, publish, evaluation, ..."""
    stage_since: float
    heartbeat: float
    """Unix time of the last sign of life."""
    progress: float
    """Unix time of the last change other than a heartbeat."""
    seconds: float
    """Time spent in all sessions together."""
    sessions: int
    alive: bool | None
    """Whether the process that holds the lock lives; None where nobody holds it or that can't be known."""
    message: str
    """Why it failed or stopped."""
