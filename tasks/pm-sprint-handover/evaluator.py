"""Finished issues are Done, unfinished ones are in the next sprint, nothing else has moved, the summary is right."""

import re
from functools import cache

from common import facts, grader
from office import AGENT, chat_messages, direct_messages, tracker_cycle, tracker_issues
from scoring import Checkpoint, Result


@cache
def states() -> dict[str, str]:
    return {issue["key"]: issue["state"] for issue in tracker_issues(facts()["project"])}


@cache
def places() -> dict[str, list[str]]:
    """The sprints of each issue that was there."""
    found: dict[str, list[str]] = {key: [] for key in facts()["states"]}
    for cycle in facts()["cycles"]:
        for key in tracker_cycle(facts()["project"], cycle):
            found.setdefault(key, []).append(cycle)
    return found


@grader
def finished() -> int:
    """How many of the finished issues are Done, less the unfinished ones that are."""
    now = states()
    right = sum(now.get(key) == "Done" for key in facts()["finished"])
    return max(0, right - sum(now.get(key) == "Done" for key in facts()["unfinished"]))


@grader
def moved() -> int:
    """How many of the unfinished issues are in the next sprint, less those that should have stayed."""
    now = places()
    right = sum(now[key] == [facts()["new"]] for key in facts()["unfinished"])
    stay = [key for key, cycle in facts()["in_cycle"].items() if cycle == facts()["old"]]
    wrong = sum(now[key] != [facts()["old"]] for key in stay if key not in facts()["unfinished"])
    return max(0, right - wrong)


@grader
def nothing_else_has_changed() -> bool:
    """States but those of finished issues; sprints but those of this sprint's issues; no issue more or less."""
    if not finished() and not moved():
        return False
    now, before = states(), facts()["states"]
    where, was = places(), facts()["in_cycle"]
    same_states = all(now.get(key) == before[key] for key in before if key not in facts()["finished"])
    others = [key for key in was if was[key] != facts()["old"]]
    return (
        same_states
        and sorted(now) == sorted(before)
        and all(where[key] == ([was[key]] if was[key] else []) for key in others)
    )


@grader
def summary() -> int:
    """1 point for the form and the sprint, 2 where what it says is right."""
    form = rf"\s*{facts()['old']}: (\d+) done, (\d+) moved to (\w+), (\d+) cancelled\.?\s*"
    texts = [m["text"] for m in chat_messages(facts()["room"]) if m["author"] == AGENT]
    found = [match for match in (re.fullmatch(form, text) for text in texts) if match]
    if not found:
        return 0
    done, on, where, cancelled = found[-1].groups()
    right = [int(done), int(on), int(cancelled)] == facts()["numbers"] and where == facts()["new"]
    return 2 if right else 1


@grader
def all_were_asked() -> bool:
    return all(
        any(m["author"] == person and answer in m["text"] for m in direct_messages(person))
        for person, answer in facts()["answers"].items()
    )


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(3, int(finished())),
            Checkpoint(4, int(moved())),
            Checkpoint(1, int(nothing_else_has_changed())),
            Checkpoint(2, int(summary())),
            Checkpoint(1, int(all_were_asked())),
        ]
    )
