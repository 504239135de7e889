"""Four steps: each of the three lines, and that the report is these three lines in this order."""

from common import facts, grader, read_lines
from scoring import Checkpoint, Result

ITEMS = ("project", "owner", "risk")


def report() -> list[list[str]]:
    """Each line's words, lower-case, without colons ("Owner: mira" is ["owner", "mira"])."""
    return [line.lower().replace(":", " ").split() for line in read_lines("report.txt")[:50]]


@grader
def names(item: str) -> bool:
    """Whether the report has the right line for the item, and no other line for it."""
    return [line for line in report() if line[:1] == [item]] == [[item, facts()[item]]]


@grader
def report_is_complete() -> bool:
    return report() == [[item, facts()[item]] for item in ITEMS]


def grade_checkpoints(trajectory: str = "") -> Result:
    lines = [Checkpoint(1, int(names(item))) for item in ITEMS]
    return Result([*lines, Checkpoint(1, int(report_is_complete()))])
