"""What the author of a task package imports in `instance.py` and `demonstrator.py`.

A package's Python files may import this module, `tac_rl.tasks.words` and the standard library. Its
`evaluator.py` runs inside the grading sandbox, where neither exists: see `grading_kit/`.
"""

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Work = Generator[str, str, None]
"""A demonstrator: yields one shell command at a time, is sent what the command printed."""


@dataclass(frozen=True)
class Made:
    """What `make(rng)` returns: everything concrete about one instance."""

    values: Mapping[str, str]
    """Fills the {placeholders} of task.md; exactly those that occur there."""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    """Laid out in the workspace before the attempt (relative paths; text is written as UTF-8)."""
    executable: frozenset[str] = frozenset()
    """Those of `files` that get the x bit."""
    setup: tuple[str, ...] = ()
    """Shell commands run in the workspace before the agent comes; each must exit with 0."""
    office: Mapping[str, Any] = field(default_factory=dict)
    """State laid over the company's snapshot, as an overlay says it (docs/office.md); colleagues and what they
    know as well. Only for packages that name services."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Hidden facts (JSON values) that the evaluator reads with `common.facts()`; the agent never sees them."""


class Slip(Protocol):
    """Where a sloppy worker may err. A slip that never happens makes the demonstrator the oracle."""

    rng: random.Random

    def __call__(self, name: str) -> bool:
        """True where the worker makes the named mistake now."""
        ...

    def choose(self, options: Sequence[T]) -> T:
        """A guess: one of the options (which must not be empty)."""
        ...


@dataclass(frozen=True)
class WrongEnding:
    """An ending that must lose points, and exactly which: the gate holds the evaluator to it."""

    name: str
    results: tuple[int, ...]
    """The result of each checkpoint, in order."""
    slips: tuple[str, ...] = ()
    """The slips that the demonstrator makes on the way there ..."""
    commands: tuple[str, ...] = ()
    """... or the commands run instead of the demonstrator's."""
