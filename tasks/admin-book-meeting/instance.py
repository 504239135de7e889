"""A week of bookings and four colleagues who can all come at three hours, one of which has a room for them."""

import random
from datetime import date, timedelta

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import DEPARTMENTS, PRODUCTS

PEOPLE = (
    "alex_turner", "chen_xinyi", "david_wong", "emily_zhou", "emma_lewis", "huang_jie", "jessica_chen", "jessica_lee",
    "li_ming", "liu_qiang", "mark_johnson", "mike_chen", "priya_sharma", "sarah_johnson", "sophia_rodriguez",
    "wang_fang", "zhang_wei",
)  # fmt: skip
HOURS = (9, 10, 11, 13, 14, 15)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
ROOMS = ("Attic", "Boathouse", "Fjord", "Harbour", "Lantern", "Meadow", "Orchard", "Pier", "Quarry", "Sauna")
ROLES = ("weekly", "interview", "planning", "demo", "handover", "training", "retrospective", "call")
OPENINGS = ("I can do", "Free on my side:", "That week I have time on", "I could come")
FOLDER = "Facilities"
NOTES = """Booking a room

rooms.csv lists our rooms, bookings-YEAR-wWEEK.csv the hours of one week.
An hour is free where nobody stands under booked_by.
To book, fill in the line that is there: the username of whoever holds the meeting under booked_by, the
subject under subject. Lines are neither added nor moved, and other people's bookings are theirs.
"""
Slot = tuple[int, int]
"""Day of the week (0: Monday) and hour."""


def make(rng: random.Random) -> Made:
    host, *four, assistant = rng.sample(PEOPLE, 6)
    monday = date(2026, 3, 9) + timedelta(weeks=rng.randrange(38))
    subject = (
        f"{rng.choice(DEPARTMENTS)} {rng.choice(PRODUCTS)} {rng.choice(('budget', 'contract', 'launch'))}"
    )
    slots = [(day, hour) for day in range(5) for hour in HOURS]
    chosen = slots[rng.randrange(14, 30)]
    # What all but one of the four can do comes earlier in the week, and so does an hour without a room.
    tempting = rng.sample(slots[: slots.index(chosen)], 5)
    roomless = [tempting.pop(), rng.choice([s for s in slots if s not in (*tempting, chosen)])]
    free = _free_hours(rng, slots, {chosen, *roomless}, tempting)
    answers = [f"{rng.choice(OPENINGS)} {_spoken(hours)}." for hours in free]
    rooms = rng.sample(ROOMS, 5)
    table, room = _bookings(rng, slots, monday, rooms, chosen, roomless, tempting)
    plain, plain_too, busy, forgetful = four
    path = f"{FOLDER}/bookings-{monday.isocalendar().year}-w{monday.isocalendar().week:02}.csv"
    day, hour = chosen
    when = f"{monday.day} {monday:%B %Y}"
    return Made(
        values={
            "host": _name(host),
            "subject": subject,
            "people": ", ".join(_name(who) for who in sorted(four)[:3]) + f" and {_name(max(four))}",
            "monday": when,
            "seats": "five",
        },
        office={
            "drive": {
                "files": {
                    f"{FOLDER}/how-to-book.txt": NOTES,
                    f"{FOLDER}/rooms.csv": _room_list(rng, rooms),
                    path: table,
                    **_other_week(rng, slots, monday - timedelta(weeks=1), rooms),
                }
            },
            "colleagues": {
                plain: _knows(_asked_for_time(answers[0])),
                plain_too: _knows(_asked_for_time(answers[1])),
                busy: _knows({**_asked_for_time(""), "refer_to": assistant}),
                assistant: _knows(
                    {
                        "about": [busy, _name(busy), _name(busy).split()[0]],
                        "answer": f"{_name(busy)}'s calendar: {answers[2]}",
                    }
                ),
                forgetful: _knows(
                    {
                        **_asked_for_time(answers[3]),
                        "needs": _ways_to_say(monday),
                        "ask": "For which week? I have to look at the dates.",
                    }
                ),
            },
        },
        facts={
            "host": host,
            "subject": subject,
            "path": path,
            "table": table,
            "date": (monday + timedelta(days=day)).isoformat(),
            "time": f"{hour:02}:00",
            "room": room,
            "rooms": rooms,
            "invited": four,
            "concerned": [host, assistant],
            "answers": dict(zip([plain, plain_too, assistant, forgetful], answers, strict=True)),
        },
    )


def _free_hours(
    rng: random.Random, slots: list[Slot], common: set[Slot], tempting: list[Slot]
) -> list[list[Slot]]:
    """Of each of the four: what is common to all, what only the next one can't do, and a few hours more."""
    sets = [common | set(tempting) - {missing} for missing in tempting]
    for slot in rng.sample([s for s in slots if s not in common and s not in tempting], 10):
        for who in rng.sample(range(4), 2):
            sets[who].add(slot)
    return [sorted(hours) for hours in sets]


def _bookings(
    rng: random.Random,
    slots: list[Slot],
    monday: date,
    rooms: list[str],
    chosen: Slot,
    roomless: list[Slot],
    tempting: list[Slot],
) -> tuple[str, str]:
    """The week's table, and the room. Only the first two of `rooms` are fit for the meeting."""
    room, other = rng.sample(rooms[:2], 2)
    taken = {(slot, name) for slot in slots for name in rooms if rng.random() < 0.6}
    taken |= {(slot, name) for slot in roomless for name in rooms[:2]} | {(chosen, other)}
    taken -= {
        (chosen, room),
        *((slot, rooms[0]) for slot in tempting),
        *((slot, rooms[2]) for slot in roomless),
    }
    return _table(rng, slots, monday, rooms, taken), room


def _other_week(rng: random.Random, slots: list[Slot], monday: date, rooms: list[str]) -> dict[str, str]:
    taken = {(slot, name) for slot in slots for name in rooms if rng.random() < 0.7}
    year, week, _ = monday.isocalendar()
    return {f"{FOLDER}/bookings-{year}-w{week:02}.csv": _table(rng, slots, monday, rooms, taken)}


def _table(
    rng: random.Random, slots: list[Slot], monday: date, rooms: list[str], taken: set[tuple[Slot, str]]
) -> str:
    lines = ["date,time,room,booked_by,subject"]
    for day, hour in slots:
        for name in sorted(rooms):
            by = subject = ""
            if ((day, hour), name) in taken:
                by, subject = rng.choice(PEOPLE), f"{rng.choice(DEPARTMENTS)} {rng.choice(ROLES)}"
            lines.append(f"{monday + timedelta(days=day)},{hour:02}:00,{name},{by},{subject}")
    return "\n".join(lines) + "\n"


def _room_list(rng: random.Random, rooms: list[str]) -> str:
    """Two rooms that will do; two that are too small, and one without a screen."""
    about = {
        rooms[0]: (rng.randint(5, 12), "yes"),
        rooms[1]: (rng.randint(5, 12), "yes"),
        rooms[2]: (rng.randint(2, 4), "yes"),
        rooms[3]: (rng.randint(6, 14), "no"),
        rooms[4]: (rng.randint(2, 4), rng.choice(("yes", "no"))),
    }
    return "room,seats,screen\n" + "".join(f"{r},{about[r][0]},{about[r][1]}\n" for r in sorted(rooms))


def _knows(fact: dict[str, object]) -> dict[str, object]:
    return {"facts": [fact], "fallback": "Sorry, I don't follow. Is it about a meeting, and when I can come?"}


def _asked_for_time(answer: str) -> dict[str, object]:
    words = [
        "free",
        "available",
        "availability",
        "when",
        "time",
        "times",
        "hour",
        "hours",
        "calendar",
        "meeting",
        "meet",
    ]
    return {"about": [*words, "schedule", "week"], "answer": answer}


def _ways_to_say(monday: date) -> list[str]:
    days = [monday + timedelta(days=n) for n in range(5)]
    ways = [way for day in days for way in (day.isoformat(), f"{day.day} {day:%B}", f"{day:%B} {day.day}")]
    return [*ways, f"week {monday.isocalendar().week}"]


def _spoken(hours: list[Slot]) -> str:
    """Such as `Monday at 9:00 and 11:00, and Friday at 15:00`."""
    parts = []
    for day in sorted({day for day, _ in hours}):
        times = [f"{hour}:00" for d, hour in hours if d == day]
        parts.append(f"{DAYS[day]} at {', '.join(times[:-1])}{' and ' if times[1:] else ''}{times[-1]}")
    return "; ".join(parts)


def _name(username: str) -> str:
    return username.replace("_", " ").title()
