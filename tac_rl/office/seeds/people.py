"""The eighteen people of the company, from `data/people.yaml`."""

from dataclasses import dataclass
from datetime import date
from importlib import resources

import yaml

from tac_rl.office.overlay import PersonOverlay

AGENT = "theagentcompany"
DOMAIN = "agentcompany.com"


@dataclass(frozen=True)
class Employee:
    """One person. `salary` is in EUR a year (0 for the assistant's account)."""

    username: str
    name: str
    short: str
    """How colleagues call them."""
    title: str
    team: str
    department: str
    manager: str
    """A username; empty for those who answer to the board."""
    city: str
    hired: date
    born: date
    salary: int
    bio: str

    @property
    def email(self) -> str:
        return (
            "agent@company.com" if self.username == AGENT else f"{self.username.replace('_', '.')}@{DOMAIN}"
        )


def _read() -> tuple[Employee, ...]:
    text = (resources.files(__package__) / "data" / "people.yaml").read_text(encoding="utf-8")
    return tuple(Employee(**document) for document in yaml.safe_load(text))


PEOPLE = _read()
BY_NAME = {employee.username: employee for employee in PEOPLE}
COLLEAGUES = tuple(employee for employee in PEOPLE if employee.username != AGENT)


def reports_of(manager: str) -> tuple[Employee, ...]:
    """The colleagues who answer to somebody, in the order of `PEOPLE`."""
    return tuple(e for e in COLLEAGUES if e.manager == manager)


def person_overlays() -> tuple[PersonOverlay, ...]:
    """Accounts for everybody."""
    return tuple(
        PersonOverlay(
            username=e.username,
            name=e.name,
            email=e.email,
            title=e.title,
            team=e.team,
            bio=e.bio,
            admin=e.username == AGENT,
        )
        for e in PEOPLE
    )
