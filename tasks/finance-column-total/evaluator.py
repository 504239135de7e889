"""Three steps: a column was summed, the right one was, and the work (not only the note) is noted as done."""

from common import facts, grader, read_lines, read_number
from scoring import Checkpoint, Result


@grader
def any_column_summed() -> bool:
    return read_number("total.txt") in facts()["sums"].values()


@grader
def right_column_summed() -> bool:
    return read_number("total.txt") == facts()["sums"][facts()["column"]]


@grader
def noted_as_done() -> bool:
    return any_column_summed() and facts()["note"] in read_lines("status.txt")


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(any_column_summed())),
            Checkpoint(2, 2 * int(right_column_summed())),
            Checkpoint(1, int(noted_as_done())),
        ]
    )
