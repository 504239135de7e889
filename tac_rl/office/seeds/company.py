"""The default company: one model, told by every service."""

from tac_rl.office.overlay import Overlay
from tac_rl.office.seeds.chat import chat_section
from tac_rl.office.seeds.colleagues import colleagues_section
from tac_rl.office.seeds.documents import drive_section
from tac_rl.office.seeds.issues import forge_section
from tac_rl.office.seeds.meetings import make_meetings
from tac_rl.office.seeds.money import make_money
from tac_rl.office.seeds.people import person_overlays
from tac_rl.office.seeds.repositories import make_histories
from tac_rl.office.seeds.tracker import tracker_section
from tac_rl.office.seeds.world import make_world


def company(seed: int = 1) -> Overlay:
    """The company that follows from a seed, in about a second. See docs/office/company.md for what is in it."""
    world = make_world(seed)
    histories = make_histories(world)
    meetings, money = make_meetings(world), make_money(world)
    return Overlay(
        people=person_overlays(),
        chat=chat_section(world, histories, meetings, money),
        forge=forge_section(world, histories),
        tracker=tracker_section(world),
        drive=drive_section(world, meetings, money),
        colleagues=colleagues_section(world),
    )
