"""Read the notes and the week, ask around, compare, book, invite."""

import re
from datetime import date, datetime, timedelta

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def work(instruction: str, slip: Slip) -> Work:
    host, subject, listed = re.findall(
        r"^(.+?) wants to talk about the (.+?) with (.+?), for one hour", instruction
    )[0]
    four = re.split(r", | and ", listed)
    when = re.findall(r"of Monday, (\d+ \w+ \d+)", instruction)[0]
    monday = datetime.strptime(when, "%d %B %Y").date()
    week = f"{monday.isocalendar().year}-w{monday.isocalendar().week:02}"
    found = yield "drive find bookings"
    path = re.findall(rf"^.*{week}.*$", found, re.MULTILINE)[0]
    folder, _, file = path.rpartition("/")
    yield f"drive ls {folder}"
    yield f"drive cat {folder}/how-to-book.txt"
    rooms = re.findall(r"^(\w+),(\d+),(\w+)$", (yield f"drive cat {folder}/rooms.csv"), re.MULTILINE)
    fit = {name for name, seats, screen in rooms if int(seats) >= 5 and screen == "yes"}
    common: set[tuple[str, str]] | None = None
    for person in four:
        answer = yield f"chat ask {_username(person)} When are you free for a meeting about the {subject}?"
        other = re.findall(r"@(\w+)", answer)
        if other and not slip("leave_the_busy_one_out"):
            question = f"When is {person} free in the week of Monday, {when}?"
            answer = yield f"chat ask {other[0]} {question}"
        elif "which week" in answer and not slip("never_mind_the_week"):
            answer = yield f"chat ask {_username(person)} In the week of Monday, {when}."
        hours = _hours(answer, monday)
        if hours:
            common = hours if common is None else common & hours
    yield f"drive get {path}"
    free = re.findall(r"^(\S+?),(\S+?),(\w+),,$", (yield f"grep ',,$' {file}"), re.MULTILINE)
    any_room = slip("any_room")
    date, time, room = next(
        (date, time, room)
        for date, time, room in free
        if (date, time) in (common or set()) and (any_room or room in fit)
    )
    by = _username((yield f"chat who {host}").split("\n")[0].removeprefix("username: "))
    entry = f"{by}," if slip("no_subject") else f"{by},{subject}"
    yield f"sed -i 's/^{date},{time},{room},,$/{date},{time},{room},{entry}/' {file} && grep '{date},{time}' {file}"
    yield f"drive put {file} {path}"
    if slip("no_invitations"):
        return
    where = "" if slip("no_room_told") else f" in the room {room}"
    for person in four:
        yield f"chat dm {_username(person)} Meeting about the {subject}: {date} at {time}{where}."


def _username(name: str) -> str:
    return name.lower().replace(" ", "_")


def _hours(answer: str, monday: date) -> set[tuple[str, str]]:
    """Of `Monday at 9:00 and 11:00; Friday at 15:00`, as dates and times of the bookings."""
    hours = set()
    for day, times in re.findall(rf"({'|'.join(DAYS)}) at ([\d:, and]+)", answer):
        for hour in re.findall(r"(\d+):00", times):
            hours.add((f"{monday + timedelta(days=DAYS.index(day))}", f"{int(hour):02}:00"))
    return hours


ENDINGS = (
    WrongEnding(
        "whoever has an assistant is left out", results=(1, 0, 1, 0, 0), slips=("leave_the_busy_one_out",)
    ),
    WrongEnding(
        "the question for the week is ignored", results=(1, 0, 1, 0, 0), slips=("never_mind_the_week",)
    ),
    WrongEnding("a room that won't do", results=(2, 0, 1, 0, 0), slips=("any_room",)),
    WrongEnding("booked without a subject", results=(2, 1, 1, 4, 1), slips=("no_subject",)),
    WrongEnding("nobody invited", results=(2, 2, 1, 0, 0), slips=("no_invitations",)),
    WrongEnding("invited to no room", results=(2, 2, 1, 0, 0), slips=("no_room_told",)),
)
