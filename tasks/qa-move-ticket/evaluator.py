"""The ticket is done, no other is, and a comment says who tested it."""

from common import facts, grader
from office import tracker_issue
from scoring import Checkpoint, Result


def state(key: str) -> str:
    found = tracker_issue(key)
    return found["state"] if found else ""


@grader
def the_ticket_is_done() -> bool:
    return state(facts()["key"]) == "Done"


@grader
def nothing_else_is() -> bool:
    return the_ticket_is_done() and all(state(key) == "Todo" for key in facts()["others"])


@grader
def the_tester_is_named() -> bool:
    found = tracker_issue(facts()["key"])
    return bool(found) and any(c["text"].strip() == facts()["comment"] for c in found["comments"])


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(the_ticket_is_done())),
            Checkpoint(1, int(nothing_else_is())),
            Checkpoint(1, int(the_tester_is_named())),
        ]
    )
