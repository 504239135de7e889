"""Three steps: the owner's items are done, nothing else on the board changed, and the count is right."""

from common import facts, grader, read_lines, read_number
from scoring import Checkpoint, Result


@grader
def owners_items_are_done() -> bool:
    return set(facts()["moved"]) <= set(read_lines("board.csv"))


@grader
def board_is_as_it_should_be() -> bool:
    return sorted(read_lines("board.csv")) == sorted(facts()["board"])


@grader
def count_is_right() -> bool:
    return read_number("done.txt") == facts()["done"]


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(owners_items_are_done())),
            Checkpoint(1, int(board_is_as_it_should_be())),
            Checkpoint(1, int(count_is_right())),
        ]
    )
