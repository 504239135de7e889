"""Lay an overlay over a tenant: people first, then each service's section."""

from tac_rl.office.base import Person, ServiceName
from tac_rl.office.overlay import Overlay, PersonOverlay
from tac_rl.office.services import SERVICES
from tac_rl.office.tenant import Tenant

_SECTIONS = (ServiceName.CHAT, ServiceName.FORGE, ServiceName.TRACKER, ServiceName.DRIVE)


def lay_over(tenant: Tenant, overlay: Overlay) -> None:
    """Add what the overlay names; `OverlayError` where it names something that can't be."""
    with tenant.transaction():
        for person in overlay.people:
            tenant.add_person(_person(person))
        for username, scenario in overlay.colleagues.items():
            tenant.add_colleague(username, scenario)
        for name in _SECTIONS:
            section = getattr(overlay, name.value)
            if overlay.people or section != type(section)():  # New people get their accounts now.
                SERVICES[name].lay(tenant, section)


def _person(person: PersonOverlay) -> Person:
    return Person(
        username=person.username,
        name=person.name,
        email=person.email or f"{person.username.replace('_', '.')}@agentcompany.com",
        title=person.title,
        team=person.team,
        bio=person.bio,
        admin=person.admin,
    )
