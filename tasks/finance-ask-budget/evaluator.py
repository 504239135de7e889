"""The budget was written down, and announced with its project."""

from common import facts, grader, read_number
from office import chat_messages
from scoring import Checkpoint, Result


@grader
def written_down() -> bool:
    return read_number("budget.txt") == facts()["budget"]


@grader
def announced() -> bool:
    return any(
        m["author"] == "theagentcompany" and m["text"].strip() == facts()["text"]
        for m in chat_messages(facts()["room"])
    )


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result([Checkpoint(1, int(written_down())), Checkpoint(1, int(announced()))])
