"""Each promised issue is in the tracker once, with the right priority, and says so; nothing else has changed."""

import re
from functools import cache

from common import facts, grader
from office import direct_messages, issue, issues, tracker_issues
from scoring import Checkpoint, Result


@cache
def tickets() -> list[dict]:
    return tracker_issues(facts()["tracker"])


def ticket_of(number: int) -> dict | None:
    """The one ticket whose description begins with the issue's reference; None where there isn't exactly one."""
    begins = rf"\W*{re.escape(facts()['project'])}#{number}(?!\d)"
    found = [ticket for ticket in tickets() if re.match(begins, ticket["description"])]
    return found[0] if len(found) == 1 else None


def is_mirrored(number: int) -> bool:
    found = ticket_of(number)
    return found is not None and found["title"] == facts()["issues"][str(number)][0]


def has_priority(number: int, priority: str) -> bool:
    found = ticket_of(number)
    return found is not None and found["priority"] == priority


@grader
def mirrored() -> int:
    return sum(is_mirrored(number) for number in facts()["new"])


@grader
def by_rule() -> int:
    return sum(has_priority(int(number), priority) for number, priority in facts()["by_rule"].items())


@grader
def as_decided() -> int:
    right = 0
    for number, (priority, person, answer) in facts()["decided"].items():
        told = any(m["author"] == person and answer in m["text"] for m in direct_messages(person))
        right += told and has_priority(int(number), priority)
    return right


@cache
def notes(number: int) -> list[str]:
    return [note["text"] for note in issue(facts()["project"], number)["notes"]]


def says_where(number: int) -> bool:
    """One comment names the ticket, and none another one."""
    stale, key = facts()["stale"]
    found = ticket_of(number)
    right = key if number == stale else found["key"] if found else None
    named = [re.findall(rf"\b{facts()['tracker']}-\d+\b", text) for text in notes(number)]
    return right is not None and [keys for keys in named if keys] == [[right]]


@grader
def noted() -> int:
    return sum(says_where(number) for number in (*facts()["new"], facts()["stale"][0]))


@grader
def nothing_else_has_changed() -> bool:
    if not mirrored():
        return False
    before, stale = facts()["tickets"], facts()["stale"]
    now = {ticket["key"]: ticket for ticket in tickets()}
    added = [ticket for key, ticket in now.items() if key not in before]
    if not set(before) <= set(now) or len(added) != sum(map(is_mirrored, facts()["new"])):
        return False
    for key, (title, state, priority) in before.items():
        same = (now[key]["title"], now[key]["state"]) == (title, state)
        if not same or (key != stale[1] and now[key]["priority"] != priority):
            return False
    forge = {
        str(item["number"]): [item["title"], item["state"], sorted(item["labels"])]
        for item in issues(facts()["project"])
    }
    about = {*facts()["new"], stale[0]}
    others = [int(number) for number in forge if int(number) not in about]
    return forge == facts()["issues"] and all(
        len(notes(number)) == (1 if number == facts()["noted"] else 0) for number in others
    )


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(4, int(mirrored())),
            Checkpoint(3, int(by_rule())),
            Checkpoint(2, int(as_decided())),
            Checkpoint(5, int(noted())),
            Checkpoint(1, int(nothing_else_has_changed())),
        ]
    )
