"""From where an answer is seen: the address that the client uses, and who looks."""

from typing import Any

from typing_extensions import TypedDict

from tac_rl.office.base import Person
from tac_rl.office.forge.store.people import id_of, shown
from tac_rl.office.tenant import Tenant


class UserBasic(TypedDict):
    id: int
    username: str
    name: str
    state: str
    locked: bool
    avatar_url: str | None
    web_url: str


class View:
    """For one request: addresses, and people as they are shown (looked up once)."""

    def __init__(self, tenant: Tenant, base: str, person: Person | None) -> None:
        self.tenant = tenant
        self.base = base
        self.person = person
        self._users: dict[str, UserBasic] = {}

    def user(self, username: str) -> UserBasic:
        """Somebody in short; who is no longer there is a ghost."""
        found = self._users.get(username)
        if found is None:
            found = self._users[username] = self._user(username)
        return found

    def user_or_none(self, username: str | None) -> UserBasic | None:
        return None if username is None else self.user(username)

    def users(self, usernames: list[str]) -> list[UserBasic]:
        return [self.user(username) for username in usernames]

    def project_url(self, full_path: str) -> str:
        return f"{self.base}/{full_path}"

    def api_url(self, path: str) -> str:
        return f"{self.base}/api/v4{path}"

    def _user(self, username: str) -> UserBasic:
        row: Any = self.tenant.row(
            "SELECT u.id, p.name FROM people p JOIN forge_users u USING (username) WHERE username = ?",
            username,
        )
        number = row["id"] if row is not None else id_of(self.tenant, username)
        person = self.tenant.person(username) if row is None else None
        name = row["name"] if row is not None else person.name if person is not None else "Ghost User"
        return UserBasic(
            id=number,
            username=shown(username),
            name=name,
            state="active",
            locked=False,
            avatar_url=None,
            web_url=f"{self.base}/{shown(username)}",
        )
