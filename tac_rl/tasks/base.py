"""The words of tasks: metadata, instances, checkpoints, grades. Scoring is TAC's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tac_rl.office.overlay import Overlay
from tac_rl.sandboxes.base import Mount

ROLES = ("sde", "pm", "ds", "hr", "finance", "admin", "qa", "ml", "research")


@dataclass(frozen=True)
class Company:
    """What an office's tenant is made of."""

    snapshot: str
    overlays: tuple[Overlay, ...] = ()


@dataclass(frozen=True)
class TaskInstance:
    """A package plus a seed: everything concrete about one attempt."""

    task: str
    seed: int
    instruction: str
    """The only text meant for the agent."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Laid out in the workspace before the attempt (relative paths)."""
    executable: frozenset[str] = frozenset()
    setup: tuple[str, ...] = ()
    """Shell commands run after the files are laid out and before the agent comes (git history and the like)."""
    company: Company | None = None
    """The company that the attempt takes place in; None where the task needs no service."""
    mounts: tuple[Mount, ...] = ()
    """Files and folders of the host that the agent's sandbox sees too."""
    path: tuple[str, ...] = ()
    """Folders before those of the system on the agent's PATH."""
    image: str | None = None
    """Folder with the Dockerfile of the image that its sandboxes need; None: whatever the config's kind gives."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Hidden facts, for the checker only (JSON values)."""


@dataclass(frozen=True)
class Checkpoint:
    total: int
    result: int


@dataclass(frozen=True)
class Grade:
    """What a checker found, as TAC's `eval.py` writes it."""

    checkpoints: tuple[Checkpoint, ...]
    final_total: int
    final_result: int

    @property
    def score(self) -> float:
        """TAC's score in [0, 1]: half partial credit, half full completion."""
        return 0.5 * self.final_result / self.final_total + 0.5 * float(self.complete)

    @property
    def complete(self) -> bool:
        return self.final_result >= self.final_total
