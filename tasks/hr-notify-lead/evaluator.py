"""The message was written to one of the leads; it was the right one, and nobody else got it."""

from common import facts, grader
from office import direct_messages
from scoring import Checkpoint, Result


def reached() -> set[str]:
    """The leads to whom the agent wrote the message."""
    found = set()
    for lead in facts()["leads"]:
        messages = direct_messages("theagentcompany", lead)
        if any(m["author"] == "theagentcompany" and m["text"].strip() == facts()["text"] for m in messages):
            found.add(lead)
    return found


@grader
def a_lead_was_told() -> bool:
    return bool(reached())


@grader
def the_right_lead_alone_was_told() -> bool:
    return reached() == {facts()["lead"]}


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [Checkpoint(1, int(a_lead_was_told())), Checkpoint(2, 2 * int(the_right_lead_alone_was_told()))]
    )
