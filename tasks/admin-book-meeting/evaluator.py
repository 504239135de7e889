"""Everybody was asked, the right hour is booked and nothing else, and the four are invited and nobody else."""

import csv
import re
from functools import cache

from common import facts, grader
from office import AGENT, direct_messages, drive_text, written_to
from scoring import Checkpoint, Result


def rooms_in(text: str) -> set[str]:
    return {room for room in facts()["rooms"] if re.search(rf"\b{room}\b", text, re.IGNORECASE)}


def has_told(person: str, answer: str) -> bool:
    """Before the agent told them about a room."""
    for message in direct_messages(person):
        if message["author"] == person and answer in message["text"]:
            return True
        if message["author"] == AGENT and rooms_in(message["text"]):
            return False
    return False


@grader
def told() -> int:
    """How many of the four calendars the agent was told: 1 point for two, 2 for all."""
    return sum(has_told(person, answer) for person, answer in facts()["answers"].items()) // 2


def rows(text: str) -> list[list[str]]:
    """A table's rows; the values without the space around them."""
    return [[value.strip() for value in row] for row in csv.reader(text.splitlines()) if row]


@cache
def differences() -> list[tuple[list[str], list[str]]]:
    """(row as it was, row as it is) where they differ; nothing where lines were added or are gone."""
    before, after = rows(facts()["table"]), rows(drive_text(facts()["path"]))
    if len(before) != len(after):
        return []
    return [(old, new) for old, new in zip(before, after, strict=True) if old != new]


@grader
def booked() -> int:
    """1 point for taking the right hour in the right room, 2 where it is entered as the notes say."""
    where = [facts()["date"], facts()["time"], facts()["room"]]
    for old, new in differences():
        if old[:3] == where and new[:3] == where and new[3]:
            return 2 if new[3:] == [facts()["host"], facts()["subject"]] else 1
    return 0


@grader
def nothing_else_is_booked() -> bool:
    changed = differences()
    return len(changed) == 1 and changed[0][0][3] == "" and changed[0][0][:3] == changed[0][1][:3]


def is_invitation(text: str) -> bool:
    """Whether it tells this date, time and room, and no others; when it ends may be told."""
    hour = int(facts()["time"][:2])
    dates = set(re.findall(r"\d{4}-\d\d-\d\d", text))
    times = {int(found) for found in re.findall(r"(?<!\d)(\d{1,2}):00", text)}
    return (
        dates == {facts()["date"]}
        and rooms_in(text) == {facts()["room"]}
        and times in ({hour}, {hour, hour + 1})
    )


@cache
def is_invited(person: str) -> bool:
    """By the last message to them that has a date and a room."""
    texts = [m["text"] for m in direct_messages(person) if m["author"] == AGENT]
    dated = [text for text in texts if re.search(r"\d{4}-\d\d-\d\d", text) and rooms_in(text)]
    return bool(dated) and is_invitation(dated[-1])


@grader
def invited() -> int:
    return sum(is_invited(person) for person in facts()["invited"])


@grader
def nobody_else_is() -> bool:
    concerned = (*facts()["invited"], *facts()["concerned"])
    return invited() == len(facts()["invited"]) and not any(
        is_invited(person) for person in written_to() if person not in concerned
    )


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(2, int(told())),
            Checkpoint(2, int(booked())),
            Checkpoint(1, int(nothing_else_is_booked())),
            Checkpoint(4, int(invited())),
            Checkpoint(1, int(nobody_else_is())),
        ]
    )
