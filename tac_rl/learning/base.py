"""The contract of a learner: graded rows in, an adapter and metrics out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Row:
    """One append-only token sequence of one rollout, exactly as the engine saw and made it.

    A rollout gives one row, or more where the harness rewrote its history. The three sequences have
    the same length T.
    """

    rollout_id: str
    token_ids: tuple[int, ...]
    sampled: tuple[bool, ...]
    """True where the policy sampled the token: only these are trained on."""
    logprobs: tuple[float, ...]
    """The engine's log-probability where `sampled`, 0.0 elsewhere."""
    version: int
    """The policy version that sampled this row."""


@dataclass(frozen=True)
class GradedRollout:
    """The rows of one rollout and its reward."""

    rollout_id: str
    reward: float
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Group:
    """The trainable rollouts of one task instance."""

    group_id: str
    task: str
    rollouts: tuple[GradedRollout, ...]
    weight: float = 1.0
    """Its advantages are multiplied by this where they are scaled by the group's standard deviation, which would
    give a tie that a judge broke the same size as a difference that the checker saw."""


@dataclass(frozen=True)
class StepResult:
    """What one learner step made."""

    adapter: Path
    """A PEFT directory: `adapter_config.json`, `adapter_model.safetensors`, and `probe.json`."""
    metrics: Mapping[str, float]
    """At least loss, grad_norm, entropy, mismatch_kl, ratio_mean, clipped_share, tokens, tokens_per_s,
    trained_groups, zero_variance_share, seconds."""
    skipped: str = ""
    """Why no update was made (no group with variance, non-finite loss); the adapter is then a copy."""


class Learner(Protocol):
    async def start(self, resume_from: Path | None) -> None:
        """Start the process; `resume_from` is an adapter directory with its optimiser state."""
        ...

    async def step(self, groups: Sequence[Group], version: int, out: Path) -> StepResult:
        """One optimiser update; writes adapter `version` (with optimiser state) to the new folder `out`."""
        ...

    async def stop(self) -> None: ...
