"""The chat's section: rooms, and who is in them."""

from dataclasses import dataclass

from tac_rl.office.overlay import ChannelOverlay, ChatOverlay, DirectOverlay
from tac_rl.office.seeds.chat_life import talk_about_life
from tac_rl.office.seeds.chat_work import PROJECT_ROOMS, talk_about_work
from tac_rl.office.seeds.meetings import Meeting
from tac_rl.office.seeds.money import Money
from tac_rl.office.seeds.people import AGENT, COLLEAGUES
from tac_rl.office.seeds.repositories import History
from tac_rl.office.seeds.talk import Talk
from tac_rl.office.seeds.world import World

_EVERYBODY = (AGENT, *(e.username for e in COLLEAGUES))
_ENGINEERING = tuple(e.username for e in COLLEAGUES if e.department == "Engineering")
_BUSINESS = ("mark_johnson", "jessica_lee", "chen_xinyi", "david_wong")


@dataclass(frozen=True)
class Room:
    name: str
    topic: str
    owner: str
    members: tuple[str, ...] = _EVERYBODY
    private: bool = False
    liveliness: float = 0.05
    """Share of messages with reactions."""


def _project_people(world: World, identifier: str) -> tuple[str, ...]:
    named = {
        n for p in world.products if p.tracker == identifier for n in (p.lead, *p.members, "mark_johnson")
    }
    return (AGENT, *sorted(named | {"sarah_johnson", "liu_qiang"}))


def _rooms(world: World) -> tuple[Room, ...]:
    topics = {
        identifier: " and ".join(p.name for p in world.products if p.tracker == identifier)
        for identifier in PROJECT_ROOMS
    }
    projects = tuple(
        Room(
            room, f"{topics[identifier]}: stand-up at 9, questions at any time",
            next(p.lead for p in world.products if p.tracker == identifier), _project_people(world, identifier),
        )
        for identifier, room in PROJECT_ROOMS.items()
        if room != "engineering"
    )  # fmt: skip
    return (
        Room("general", "Everything for everybody", "sarah_johnson", liveliness=0.25),
        Room("announcements", "Few words, for all", "sarah_johnson", liveliness=0.5),
        Room("engineering", "Sprints, Checkup, Handbook, and what concerns all engineers", "sarah_johnson",
             (AGENT, *_ENGINEERING, *_BUSINESS)),
        Room("product", "Product meeting on Wednesdays at 11; decisions are repeated here", "huang_jie"),
        Room("design", "Sketches and usability tests", "sophia_rodriguez", (AGENT, *_ENGINEERING, "jessica_lee")),
        Room("support", "Questions of customers", "mark_johnson"),
        Room("sales", "Customers, renewals, material", "mark_johnson",
             (AGENT, *_BUSINESS, "sarah_johnson", "huang_jie")),
        Room("finance", "Invoices, budgets, receipts", "david_wong"),
        Room("hr", "Leave, training, policies", "chen_xinyi"),
        Room("random", "Not about work", "jessica_lee", liveliness=0.3),
        Room("kudos", "Say thank you in public", "chen_xinyi", liveliness=0.6),
        Room("incidents", "Something is wrong? Say it here", "liu_qiang", liveliness=0.1),
        Room("releases", "What is new", "huang_jie", liveliness=0.4),
        Room("leadership", "Mondays at 13", "sarah_johnson",
             ("chen_xinyi", "david_wong", "mark_johnson", "sarah_johnson"), private=True),
        *projects,
    )  # fmt: skip


def chat_section(
    world: World, histories: tuple[History, ...], meetings: tuple[Meeting, ...], money: Money
) -> ChatOverlay:
    """Eight weeks of talk."""
    talk = Talk(world, world.chance("chat"))
    talk_about_work(talk, histories, meetings)
    talk_about_life(talk, money)
    channels = []
    for room in _rooms(world):
        talk.react(room.name, room.members, room.liveliness)
        channels.append(
            ChannelOverlay(
                name=room.name,
                private=room.private,
                topic=room.topic,
                owner=room.owner,
                members=room.members,
                messages=talk.messages(room.name),
            )
        )
    private = sorted(key for key in talk.rooms if isinstance(key, tuple))
    direct = tuple(DirectOverlay(between=people, messages=talk.messages(people)) for people in private)
    return ChatOverlay(channels=tuple(channels), direct=direct)
