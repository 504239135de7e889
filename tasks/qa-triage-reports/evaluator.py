"""New bugs have one issue each with the right labels, known ones a comment; all reporters have their answer."""

import re
from functools import cache

from common import facts, grader
from office import AGENT, chat_messages, direct_messages, issue, issues
from scoring import Checkpoint, Result


@cache
def listed() -> list[dict]:
    return issues(facts()["project"])


def unknown_before() -> list[dict]:
    return [found for found in listed() if str(found["number"]) not in facts()["issues"]]


def new_issue(code: str) -> dict | None:
    """The one new issue of a code, where there is exactly one."""
    found = [new for new in unknown_before() if new["title"].startswith(f"{code}: ")]
    return found[0] if len(found) == 1 and found[0]["state"] == "opened" else None


@grader
def opened() -> int:
    return sum(new_issue(code) is not None for code in facts()["new"])


@grader
def labelled() -> int:
    right = 0
    for code, labels in facts()["new"].items():
        found = new_issue(code)
        right += found is not None and sorted(found["labels"]) == labels
    return right


def comments(number: int) -> list[str]:
    return [note["text"] for note in issue(facts()["project"], number)["notes"]]


def is_noted(code: str, number: int) -> bool:
    """The issue is open, says who has reported it too, and has no double."""
    known = {found["number"]: found for found in listed()}
    reporter = facts()["reporters"][code]
    return (
        known[number]["state"] == "opened"
        and any(reporter in text for text in comments(number))
        and not any(code in new["title"] for new in unknown_before())
    )


@grader
def noted() -> int:
    return sum(is_noted(code, number) for code, number in facts()["known"].items())


@grader
def nothing_else_has_changed() -> bool:
    """Only the new codes have new issues, and known issues are what they were."""
    if not opened() and not noted():
        return False
    if not all(any(new["title"].startswith(code) for code in facts()["new"]) for new in unknown_before()):
        return False
    now = {str(found["number"]): found for found in listed()}
    for number, (title, state, labels) in facts()["issues"].items():
        found = now[number]
        reported = int(number) in facts()["known"].values()
        if found["title"] != title or sorted(found["labels"]) != labels:
            return False
        if not reported and (found["state"] != state or comments(int(number))):
            return False
    return len(unknown_before()) <= len(facts()["new"])


def answers(person: str) -> str:
    """What the agent wrote to a reporter: directly, in the thread of the report, or with their name in the channel."""
    texts = [m["text"] for m in direct_messages(person) if m["author"] == AGENT]
    report = facts()["reports"][person]
    said = chat_messages(facts()["room"])
    threads = {m["id"] for m in said if m["author"] == person and m["text"] == report}
    for message in said:
        named = re.search(rf"@{person}\b", message["text"])
        if message["author"] == AGENT and (message["thread"] in threads or named):
            texts.append(message["text"])
    return "\n".join(texts)


def is_told(code: str, person: str) -> bool:
    """The number of the issue, and no other issue's."""
    known = facts()["known"].get(code)
    new = new_issue(code)
    right = known if known is not None else new["number"] if new else None
    told = {int(n) for n in re.findall(r"(?<![\w.-])#?(\d{1,6})(?![\w-])", answers(person))}
    return right is not None and told & {found["number"] for found in listed()} == {right}


@grader
def reporters_are_told() -> int:
    return sum(is_told(code, person) for code, person in facts()["reporters"].items())


@grader
def the_wish_is_sent_on() -> bool:
    text = answers(facts()["wisher"]).casefold()
    return any(name.casefold() in text for name in facts()["owner"])


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(2, int(opened())),
            Checkpoint(2, int(labelled())),
            Checkpoint(2, int(noted())),
            Checkpoint(1, int(nothing_else_has_changed())),
            Checkpoint(4, int(reporters_are_told())),
            Checkpoint(1, int(the_wish_is_sent_on())),
        ]
    )
