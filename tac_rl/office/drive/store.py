"""Shares, dead properties and sessions: the drive's records. All of it runs on the event loop's thread."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from sqlite3 import Row

from tac_rl.office.base import AGENT_DRIVE, PASSWORD
from tac_rl.office.drive.files import RefusedError
from tac_rl.office.tenant import Tenant


class Kind(IntEnum):
    """Of a share, as OCS numbers them."""

    USER = 0
    GROUP = 1
    LINK = 3


class Permission(IntEnum):
    """Bits of a share's permissions, as OCS has them."""

    READ = 1
    UPDATE = 2
    CREATE = 4
    DELETE = 8
    SHARE = 16
    ALL = 31


@dataclass(frozen=True)
class Share:
    """A public link, or a file given to somebody."""

    id: int
    kind: Kind
    path: str
    owner: str
    recipient: str | None
    """Username; None for a link."""
    token: str | None
    """Of a link."""
    permissions: int
    password: str | None
    expires: str | None
    """A date, YYYY-MM-DD: the link's last day."""
    name: str
    created: int
    """Seconds since the epoch."""


# Accounts


def account(tenant: Tenant, login: str) -> str | None:
    """The username behind a username or e-mail; None for a stranger."""
    found = tenant.value("SELECT username FROM people WHERE username = ? OR email = ?", login, login)
    return AGENT_DRIVE if found is None and login == AGENT_DRIVE else found


def authenticate(tenant: Tenant, login: str, password: str) -> str | None:
    return account(tenant, login) if password == PASSWORD else None


def display_name(tenant: Tenant, username: str) -> str:
    person = tenant.person(username)
    return username if person is None else person.name


def open_session(tenant: Tenant, username: str) -> str:
    """Sign somebody in; gives the token of the session."""
    token = tenant.new_id(26)
    tenant.db.execute("INSERT INTO drive_sessions VALUES (?, ?)", (token, username))
    return token


def session(tenant: Tenant, token: str) -> str | None:
    found: str | None = tenant.value("SELECT username FROM drive_sessions WHERE token = ?", token)
    return found


def close_session(tenant: Tenant, token: str) -> None:
    tenant.db.execute("DELETE FROM drive_sessions WHERE token = ?", (token,))


# Shares


def add_share(
    tenant: Tenant,
    *,
    kind: Kind,
    path: str,
    owner: str,
    recipient: str | None = None,
    token: str | None = None,
    permissions: int = Permission.READ,
    password: str | None = None,
    expires: str | None = None,
    name: str = "",
    created: datetime,
) -> Share:
    """Store a share; a link without a token gets one. `RefusedError` (403) for what is shared already."""
    if kind is Kind.LINK:
        token = token or tenant.new_id(15)
        if tenant.value("SELECT 1 FROM drive_shares WHERE token = ?", token):
            raise RefusedError(403, f"there is a link with the token {token} already")
    elif tenant.value(
        "SELECT 1 FROM drive_shares WHERE path = ? AND kind = ? AND recipient = ?", path, kind, recipient
    ):
        raise RefusedError(403, f"Path already shared with {recipient}")
    cursor = tenant.db.execute(
        "INSERT INTO drive_shares (kind, path, owner, recipient, token, permissions, password, expires, name, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(int(kind), path, owner, recipient, token, permissions, password, expires, name or token or ""),
            int(created.timestamp()),
        ),
    )
    assert cursor.lastrowid is not None
    made = share(tenant, cursor.lastrowid)
    assert made is not None
    return made


def share(tenant: Tenant, number: int) -> Share | None:
    row = tenant.row("SELECT * FROM drive_shares WHERE id = ?", number)
    return None if row is None else _share(row)


def link(tenant: Tenant, token: str) -> Share | None:
    """The public link with a token; None if there is none or its last day is over."""
    row = tenant.row("SELECT * FROM drive_shares WHERE token = ?", token)
    if row is None or (row["expires"] and date.fromisoformat(row["expires"]) < tenant.now().date()):
        return None
    return _share(row)


def shares(
    tenant: Tenant,
    *,
    owner: str | None = None,
    recipient: str | None = None,
    path: str | None = None,
    inside: str | None = None,
) -> list[Share]:
    """Shares by id: somebody's, those with somebody, those of a path, or of what lies directly in a folder."""
    sql = "SELECT * FROM drive_shares WHERE 1"
    arguments: list[str | int] = []
    for column, value in (("owner", owner), ("recipient", recipient), ("path", path)):
        if value is not None:
            sql += f" AND {column} = ?"
            arguments.append(value)
    if inside is not None:
        prefix = inside.rstrip("/") + "/"
        sql += " AND substr(path, 1, ?) = ? AND length(path) > ? AND instr(substr(path, ?), '/') = 0"
        arguments += [len(prefix), prefix, len(prefix), len(prefix) + 1]
    return [_share(row) for row in tenant.rows(sql + " ORDER BY id", *arguments)]


def change_share(
    tenant: Tenant,
    number: int,
    *,
    permissions: int,
    password: str | None,
    expires: str | None,
    name: str,
) -> None:
    tenant.db.execute(
        "UPDATE drive_shares SET permissions = ?, password = ?, expires = ?, name = ? WHERE id = ?",
        (permissions, password, expires, name, number),
    )


def remove_share(tenant: Tenant, number: int) -> None:
    tenant.db.execute("DELETE FROM drive_shares WHERE id = ?", (number,))


def _share(row: Row) -> Share:
    return Share(**{**dict(row), "kind": Kind(row["kind"])})


# What goes with a path


@dataclass(frozen=True)
class Departure:
    """A file or folder, with all in it, is gone from `path`: to `target`, or for good (None)."""

    path: str
    target: str | None


def follow(tenant: Tenant, departures: Iterable[Departure]) -> None:
    """Let shares go with their files: they move with them, and end with them."""
    for departure in departures:
        here = "(path = ? OR substr(path, 1, ?) = ?)"
        prefix = departure.path.rstrip("/") + "/"
        where = (departure.path, len(prefix), prefix)
        if departure.target is None:
            tenant.db.execute(f"DELETE FROM drive_shares WHERE {here}", where)
        else:
            tenant.db.execute(
                f"UPDATE drive_shares SET path = ? || substr(path, ?) WHERE {here}",
                (departure.target, len(departure.path) + 1, *where),
            )


def properties(tenant: Tenant) -> dict[str, dict[str, bytes]]:
    """All dead properties: URL -> name -> XML."""
    found: dict[str, dict[str, bytes]] = {}
    for url, name, value in tenant.db.execute("SELECT url, name, value FROM drive_properties"):
        found.setdefault(url, {})[name] = value
    return found


def save_properties(tenant: Tenant, all_of_them: dict[str, dict[str, bytes]]) -> None:
    with tenant.transaction() as db:
        db.execute("DELETE FROM drive_properties")
        db.executemany(
            "INSERT INTO drive_properties VALUES (?, ?, ?)",
            [(url, name, value) for url, those in all_of_them.items() for name, value in those.items()],
        )
