"""Meetings, their agendas and what came out: told in the chat and in the drive's notes."""

from dataclasses import dataclass
from datetime import date, timedelta

from tac_rl.office.seeds.calendar import workdays
from tac_rl.office.seeds.products import Decision
from tac_rl.office.seeds.world import Work, World

_PRODUCT = (
    "huang_jie",
    "li_ming",
    "mike_chen",
    "alex_turner",
    "emma_lewis",
    "jessica_chen",
    "sophia_rodriguez",
)
_LEADERSHIP = ("sarah_johnson", "mark_johnson", "chen_xinyi", "david_wong")


@dataclass(frozen=True)
class Meeting:
    name: str
    day: date
    room: str
    """The channel in which it is talked about."""
    chair: str
    present: tuple[str, ...]
    excused: tuple[str, ...]
    topics: tuple[Work, ...]
    """Issues that were talked about."""
    decisions: tuple[Decision, ...]


def make_meetings(world: World) -> tuple[Meeting, ...]:
    """The product meeting on Wednesdays, the leadership meeting every other Monday."""
    chance = world.chance("meetings")
    meetings = []
    people: tuple[str, ...]
    for day in workdays():
        if day.weekday() == 2:
            people, chair, name, room = _PRODUCT, "huang_jie", "Product meeting", "product"
        elif day.weekday() == 0 and any(d.day == day for d in world.decisions):
            people, chair, name, room = _LEADERSHIP, "sarah_johnson", "Leadership meeting", "leadership"
        else:
            continue
        open_then = [
            w for w in world.works
            if w.kind != "chore" and w.opened.date() >= day - timedelta(14) and w.opened.date() < day
            and (w.closed is None or w.closed.date() >= day)
        ]  # fmt: skip
        topics = chance.sample(open_then, min(3, len(open_then))) if room == "product" else []
        meetings.append(
            Meeting(
                name=name,
                day=day,
                room=room,
                chair=chair,
                present=tuple(person for person in people if not world.away(person, day)),
                excused=tuple(person for person in people if world.away(person, day)),
                topics=tuple(topics),
                decisions=tuple(d for d in world.decisions if d.day == day and d.meeting == name),
            )
        )
    return tuple(meetings)
