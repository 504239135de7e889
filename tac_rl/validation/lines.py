"""A line of the verdict."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing to do."""
    WARN = "warn"
    """Works, with a loss that `fix` ends."""
    FAIL = "fail"
    """Keeps the chosen config from running."""


@dataclass(frozen=True)
class Line:
    """One thing that was looked at."""

    part: str
    verdict: Verdict
    found: str
    fix: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)
