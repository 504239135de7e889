"""Three steps: a service is named, it is the culprit, and its errors are counted right."""

from common import facts, grader, read_number, read_text
from scoring import Checkpoint, Result


@grader
def service_named() -> bool:
    return read_text("culprit.txt").strip() in facts()["services"]


@grader
def culprit_named() -> bool:
    return read_text("culprit.txt").strip() == facts()["culprit"]


@grader
def errors_counted() -> bool:
    return read_number("count.txt") == facts()["count"]


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(service_named())),
            Checkpoint(2, 2 * int(culprit_named())),
            Checkpoint(1, int(errors_counted())),
        ]
    )
