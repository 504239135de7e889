"""The issue is closed, and no other is."""

from common import facts, grader
from office import issue
from scoring import Checkpoint, Result


def state(number: int) -> str:
    found = issue(facts()["project"], number)
    return found["state"] if found else ""


@grader
def the_issue_is_closed() -> bool:
    return state(facts()["number"]) == "closed"


@grader
def nothing_else_is() -> bool:
    return the_issue_is_closed() and all(state(number) == "opened" for number in facts()["others"])


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result([Checkpoint(2, 2 * int(the_issue_is_closed())), Checkpoint(1, int(nothing_else_is()))])
