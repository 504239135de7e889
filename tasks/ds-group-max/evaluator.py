"""Three steps: a group is named, it is the right one, and the figure is right (to a tenth)."""

from common import facts, grader, read_number, read_text
from scoring import Checkpoint, Result


@grader
def group_named() -> bool:
    return read_text("top.txt").strip() in facts()["members"]


@grader
def right_group_named() -> bool:
    return read_text("top.txt").strip() == facts()["top"]


@grader
def right_figure() -> bool:
    number = read_number("figure.txt")
    return number is not None and abs(number - facts()["figure"]) < 0.1


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(group_named())),
            Checkpoint(2, 2 * int(right_group_named())),
            Checkpoint(2, 2 * int(right_figure())),
        ]
    )
