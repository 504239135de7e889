"""The company's calendar: eight weeks in four sprints, up to Monday 2026-03-02. All times are UTC."""

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

TODAY = date(2026, 3, 2)
FIRST = date(2026, 1, 5)
LAST = date(2026, 2, 27)
"""The last working day before the present."""
HOLIDAYS = frozenset({date(2026, 1, 1), date(2026, 1, 6)})


@dataclass(frozen=True)
class Sprint:
    number: int
    start: date
    end: date
    goal: str

    @property
    def name(self) -> str:
        return f"Sprint {self.number}"


_GOALS = (
    "no customer loses data or time to a restart",
    "three small annoyances less for every product, then release",
    "search that forgives, forms that do not",
    "finish what is open and release on the 26th",
    "the first of the spring themes, and the new runners",
)
SPRINTS = tuple(
    Sprint(
        number=n + 1,
        start=FIRST + timedelta(weeks=2 * n),
        end=FIRST + timedelta(weeks=2 * n, days=11),
        goal=goal,
    )
    for n, goal in enumerate(_GOALS)
)
"""The fifth is the one that begins today."""


def workdays(first: date = FIRST, last: date = LAST) -> list[date]:
    """Mondays to Fridays without holidays, both ends included."""
    days = (first + timedelta(n) for n in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5 and day not in HOLIDAYS]


def workday_near(day: date) -> date:
    """The day itself, or the next working day."""
    while day.weekday() >= 5 or day in HOLIDAYS:
        day += timedelta(1)
    return day


def at(day: date, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute, second), UTC)


def working_time(chance: random.Random, day: date, first: int = 8, last: int = 16) -> datetime:
    """Some moment of a day's working hours; `last` is the last hour in which it may fall."""
    return at(day, chance.randint(first, last), chance.randrange(60), chance.randrange(60))


def sprint_of(day: date) -> Sprint | None:
    """The sprint that holds a day (its weekends included)."""
    return next((s for s in SPRINTS if s.start <= day < s.start + timedelta(weeks=2)), None)


def short(day: date) -> str:
    """Such as `12 Feb`."""
    return f"{day.day} {day:%b}"
