"""People's accounts in the tracker: their UUIDs, API keys and passwords.

A person's UUID is derived from the username, unless an overlay gave one; so is their key. Everybody has
an account, because the accounts are the office's people.
"""

import hashlib
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tac_rl.office.base import AGENT_CHAT, PASSWORD, TRACKER_KEY, Person
from tac_rl.office.tenant import Tenant

AGENT = AGENT_CHAT
"""The username of the agent's own account; its e-mail is `base.AGENT_TRACKER`."""
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "tac-rl:tracker")


@lru_cache(4096)
def derived_id(name: str) -> str:
    """The UUID of a thing of ours that has a name: `user alex_turner`, `workspace tac`."""
    return str(uuid.uuid5(_NAMESPACE, name))


WORKSPACE_ID = derived_id("workspace tac")


@lru_cache(4096)
def key_of(username: str) -> str:
    """The API key of a person (of the agent's account: TAC's)."""
    if username == AGENT:
        return TRACKER_KEY
    return "plane_api_" + hashlib.sha256(f"tac-rl tracker key of {username}".encode()).hexdigest()[:32]


def username_of_key(tenant: Tenant, key: str) -> str | None:
    """Whose key this is; None where nobody's."""
    if key == TRACKER_KEY:
        return AGENT
    rows = tenant.rows("SELECT username FROM people")
    return next((row["username"] for row in rows if key_of(row["username"]) == key), None)


def username_of_login(tenant: Tenant, login: str, password: str) -> str | None:
    """Who signs in with an e-mail (or username) and password; TAC's colleagues may give their e-mail as password."""
    person = person_of_login(tenant, login)
    return person.username if person is not None and password in (PASSWORD, person.email) else None


def person_of_login(tenant: Tenant, login: str) -> Person | None:
    username = tenant.value("SELECT username FROM people WHERE ? IN (email, username)", login.strip().lower())
    return None if username is None else tenant.person(username)


@dataclass(frozen=True)
class Names:
    """UUIDs of usernames and back, for one answer."""

    ids: dict[str, str]
    usernames: dict[str, str]

    def id(self, username: str) -> str:
        """Also of somebody who is no longer there: records outlive people."""
        return self.ids.get(username) or derived_id(f"user {username}")

    def username(self, identifier: str) -> str | None:
        return self.usernames.get(identifier)


def names_of(tenant: Tenant) -> Names:
    rows = tenant.rows(
        "SELECT people.username, tracker_accounts.id FROM people"
        " LEFT JOIN tracker_accounts ON tracker_accounts.username = people.username"
    )
    ids = {row["username"]: row["id"] or derived_id(f"user {row['username']}") for row in rows}
    return Names(ids, {identifier: username for username, identifier in ids.items()})


def user_record(person: Person, names: Names) -> dict[str, Any]:
    """A person as Plane shows users."""
    first, _, last = person.name.partition(" ")
    return {
        "id": names.id(person.username),
        "first_name": first,
        "last_name": last,
        "email": person.email,
        "avatar": "",
        "avatar_url": None,
        "display_name": person.username.replace("_", ""),
    }
