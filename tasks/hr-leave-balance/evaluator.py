"""Three steps: a sum of leave is in a text file, it is the right one, and it is in the report that policy names."""

from common import facts, grader, names, read_number
from scoring import Checkpoint, Result


def sums_written() -> set[float]:
    """Numbers that stand alone in a text file of the workspace (a worker leaves few; more than 20 are not read)."""
    numbers = [read_number(name) for name in names() if name.endswith(".txt")][:20]
    return {number for number in numbers if number is not None}


@grader
def leave_added_up() -> bool:
    return bool(sums_written() & set(facts()["sums"].values()))


@grader
def right_column_added_up() -> bool:
    return facts()["sum"] in sums_written()


@grader
def sum_in_the_report() -> bool:
    return read_number(facts()["report"]) == facts()["sum"]


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(leave_added_up())),
            Checkpoint(1, int(right_column_added_up())),
            Checkpoint(2, 2 * int(sum_in_the_report())),
        ]
    )
