"""Three steps: the letters are in some folder, in the right one, and nothing else was moved."""

from common import facts, grader, names, read_text
from scoring import Checkpoint, Result


def all_in(folder: str) -> bool:
    return all(read_text(f"{folder}/{name}") == text for name, text in facts()["mine"].items())


@grader
def moved() -> bool:
    out_of_inbox = not set(facts()["mine"]) & set(names("inbox"))
    return out_of_inbox and any(all_in(folder) for folder in facts()["folders"])


@grader
def moved_to_the_right_folder() -> bool:
    return moved() and all_in(facts()["folder"])


@grader
def nothing_else_moved() -> bool:
    return moved() and names("inbox") == facts()["others"]


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(moved())),
            Checkpoint(2, 2 * int(moved_to_the_right_folder())),
            Checkpoint(1, int(nothing_else_moved())),
        ]
    )
