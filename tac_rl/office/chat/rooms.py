"""The store of rooms: channels (public), groups (private), direct conversations; and who is in them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tac_rl.office.chat import users
from tac_rl.office.chat.ids import fresh_id
from tac_rl.office.chat.refusals import Refused
from tac_rl.office.chat.times import now_ms
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant

Kind = Literal["channel", "group", "direct"]
Role = Literal["owner", "moderator", "leader"]
ROLES: tuple[Role, ...] = ("owner", "moderator", "leader")
_NAME = re.compile(r"[0-9a-zA-Z._-]{1,120}")


@dataclass(frozen=True)
class Room:
    """A room. Times in milliseconds since 1970."""

    id: str
    kind: Kind
    name: str
    """Empty for direct rooms."""
    topic: str
    description: str
    announcement: str
    creator: str
    read_only: bool
    archived: bool
    default: bool
    join_code: str
    created: int
    updated: int


@dataclass(frozen=True)
class Summary:
    """What a room holds."""

    people: int
    messages: int
    last_message: str | None
    """Id of the newest one outside threads."""


@dataclass(frozen=True)
class Membership:
    """Somebody in a room. Times in milliseconds since 1970."""

    room: str
    username: str
    owner: bool
    moderator: bool
    leader: bool
    open: bool
    favorite: bool
    joined: int
    seen: int
    updated: int

    @property
    def roles(self) -> list[str]:
        return [role for role in ROLES if getattr(self, role)]


# Looking up


def by_id(tenant: Tenant, room_id: str) -> Room | None:
    return _one(tenant, "r.id = ?", room_id)


def by_name(tenant: Tenant, name: str) -> Room | None:
    """A channel or group."""
    return _one(tenant, "r.name = ?", name)


def by_any(tenant: Tenant, key: str) -> Room | None:
    """By id or name."""
    return by_id(tenant, key) or by_name(tenant, key)


def direct_between(tenant: Tenant, a: User, b: User) -> Room | None:
    """The room of these two (or of one with themselves), when there is one."""
    return by_id(tenant, _pair_id(a, b))


def page(
    tenant: Tenant,
    where: str,
    arguments: Sequence[Any],
    *,
    offset: int = 0,
    count: int | None = None,
    order: str = "r.name",
) -> tuple[list[Room], int]:
    """Some of the rooms for which `where` (SQL about `chat_rooms r`) holds, and how many there are."""
    total = tenant.value(f"SELECT count(*) FROM chat_rooms r WHERE {where}", *arguments)
    rows = tenant.rows(
        f"SELECT r.* FROM chat_rooms r WHERE {where} ORDER BY {order}, r.id LIMIT ? OFFSET ?",
        *arguments,
        -1 if count is None else count,
        offset,
    )
    return [_room(row) for row in rows], total


def summaries(tenant: Tenant, room_ids: Sequence[str]) -> dict[str, Summary]:
    """Of these rooms; one query."""
    marks = ",".join("?" * len(room_ids))
    rows = tenant.rows(
        "SELECT r.id, (SELECT count(*) FROM chat_members m WHERE m.room = r.id) AS people,"
        " (SELECT count(*) FROM chat_messages m WHERE m.room = r.id) AS messages,"
        " (SELECT m.id FROM chat_messages m WHERE m.room = r.id AND m.thread IS NULL"
        " ORDER BY m.at DESC, m.rowid DESC LIMIT 1) AS last_message"
        f" FROM chat_rooms r WHERE r.id IN ({marks})",
        *room_ids,
    )
    return {row["id"]: Summary(row["people"], row["messages"], row["last_message"]) for row in rows}


def membership(tenant: Tenant, room_id: str, username: str) -> Membership | None:
    row = tenant.row("SELECT * FROM chat_members WHERE room = ? AND username = ?", room_id, username)
    return None if row is None else _membership(row)


def memberships(tenant: Tenant, room_id: str) -> list[Membership]:
    """Of everybody in the room, by username."""
    rows = tenant.rows("SELECT * FROM chat_members WHERE room = ? ORDER BY username", room_id)
    return [_membership(row) for row in rows]


def memberships_of(tenant: Tenant, username: str) -> list[Membership]:
    """Of one person, by room."""
    rows = tenant.rows("SELECT * FROM chat_members WHERE username = ? ORDER BY room", username)
    return [_membership(row) for row in rows]


def member_names(tenant: Tenant, room_id: str) -> tuple[str, ...]:
    """Usernames of whoever is in the room."""
    rows = tenant.rows("SELECT username FROM chat_members WHERE room = ? ORDER BY username", room_id)
    return tuple(row["username"] for row in rows)


def people_of(tenant: Tenant, room_ids: Sequence[str]) -> dict[str, list[User]]:
    """Accounts in each of these rooms, in the order in which they joined; one query."""
    found: dict[str, list[User]] = {room_id: [] for room_id in room_ids}
    marks = ",".join("?" * len(room_ids))
    for row in tenant.rows(
        f"SELECT m.room, u.* FROM chat_members m JOIN chat_users u ON u.username = m.username"
        f" WHERE m.room IN ({marks}) ORDER BY m.joined, u.username",
        *room_ids,
    ):
        found[row["room"]].append(users.user_of_row(row))
    return found


# Making and changing


def create(
    tenant: Tenant,
    kind: Literal["channel", "group"],
    name: str,
    creator: User,
    members: Sequence[str] = (),
    *,
    read_only: bool = False,
    at: int | None = None,
) -> Room:
    """A room with its creator as owner; members (usernames) that don't exist are left out."""
    check_name(tenant, name)
    at = now_ms(tenant) if at is None else at
    room_id = fresh_id(tenant, "chat_rooms")
    with tenant.transaction() as db:
        db.execute(
            "INSERT INTO chat_rooms (id, kind, name, creator, read_only, created, updated)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (room_id, kind, name, creator.username, read_only, at, at),
        )
        add_member(tenant, room_id, creator.username, at)
        set_role(tenant, room_id, creator.username, "owner", True)
        for username in dict.fromkeys(members):
            if users.by_username(tenant, username) is not None:
                add_member(tenant, room_id, username, at)
    return _again(tenant, room_id)


def direct(tenant: Tenant, people: Sequence[User], *, at: int | None = None) -> Room:
    """The direct room of exactly these people, made when there is none."""
    several = {person.username: person for person in people}
    members = sorted(several)
    if len(members) <= 2:
        room_id = _pair_id(several[members[0]], several[members[-1]])
        found = by_id(tenant, room_id)
    else:
        room_id = fresh_id(tenant, "chat_rooms")
        found = _direct_of(tenant, members)
    if found is not None:
        return found
    at = now_ms(tenant) if at is None else at
    with tenant.transaction() as db:
        db.execute(
            "INSERT INTO chat_rooms (id, kind, creator, created, updated) VALUES (?, 'direct', ?, ?, ?)",
            (room_id, people[0].username, at, at),
        )
        for username in members:
            add_member(tenant, room_id, username, at)
    return _again(tenant, room_id)


def check_name(tenant: Tenant, name: str) -> None:
    """Refuse what can't name a new channel or group."""
    if not _NAME.fullmatch(name):
        raise Refused("error-invalid-room-name", f"'{name}' is not a valid room name.")
    if tenant.value("SELECT 1 FROM chat_rooms WHERE name = ?", name):
        raise Refused("error-duplicate-channel-name", f"A channel with name '{name}' exists")


def change(tenant: Tenant, room_id: str, **columns: str | int | bool) -> Room:
    """Set columns of `chat_rooms`."""
    assignments = "".join(f"{column} = ?, " for column in columns)
    tenant.db.execute(
        f"UPDATE chat_rooms SET {assignments}updated = ? WHERE id = ?",
        (*columns.values(), now_ms(tenant), room_id),
    )
    return _again(tenant, room_id)


def remove(tenant: Tenant, room_id: str) -> None:
    """The room with everything in it."""
    tenant.db.execute("DELETE FROM chat_rooms WHERE id = ?", (room_id,))


def add_member(tenant: Tenant, room_id: str, username: str, at: int) -> bool:
    """Whether they were not in the room before."""
    done = tenant.db.execute(
        "INSERT OR IGNORE INTO chat_members (room, username, joined, seen, updated) VALUES (?, ?, ?, ?, ?)",
        (room_id, username, at, at, at),
    )
    return done.rowcount == 1


def remove_member(tenant: Tenant, room_id: str, username: str) -> None:
    tenant.db.execute("DELETE FROM chat_members WHERE room = ? AND username = ?", (room_id, username))


def set_role(tenant: Tenant, room_id: str, username: str, role: Role, has: bool) -> None:
    assert role in ROLES  # it becomes part of the SQL
    tenant.db.execute(
        f"UPDATE chat_members SET {role} = ? WHERE room = ? AND username = ?", (has, room_id, username)
    )


def mark(
    tenant: Tenant,
    room_id: str,
    username: str,
    *,
    seen: int | None = None,
    open: bool | None = None,
    favorite: bool | None = None,
) -> None:
    """Set what one person keeps of a room."""
    tenant.db.execute(
        "UPDATE chat_members SET seen = coalesce(?, seen), open = coalesce(?, open),"
        " favorite = coalesce(?, favorite) WHERE room = ? AND username = ?",
        (seen, open, favorite, room_id, username),
    )


def open_for_all(tenant: Tenant, room_id: str) -> None:
    """Something new shows a room to those who had closed it."""
    tenant.db.execute("UPDATE chat_members SET open = 1 WHERE room = ? AND NOT open", (room_id,))


def owners(tenant: Tenant, room_id: str) -> list[str]:
    rows = tenant.rows(
        "SELECT username FROM chat_members WHERE room = ? AND owner ORDER BY username", room_id
    )
    return [row["username"] for row in rows]


# Inside


def _pair_id(a: User, b: User) -> str:
    """Rocket.Chat names the room of two people after their ids."""
    return "".join(sorted((a.id, b.id)))


def _direct_of(tenant: Tenant, members: list[str]) -> Room | None:
    marks = ",".join("?" * len(members))
    return _one(
        tenant,
        "r.kind = 'direct' AND (SELECT count(*) FROM chat_members m WHERE m.room = r.id) = ?1 AND"
        f" (SELECT count(*) FROM chat_members m WHERE m.room = r.id AND m.username IN ({marks})) = ?1",
        len(members),
        *members,
    )


def _one(tenant: Tenant, where: str, *arguments: Any) -> Room | None:
    row = tenant.row(f"SELECT r.* FROM chat_rooms r WHERE {where}", *arguments)
    return None if row is None else _room(row)


def _again(tenant: Tenant, room_id: str) -> Room:
    found = by_id(tenant, room_id)
    assert found is not None
    return found


def _room(row: Any) -> Room:
    return Room(
        id=row["id"],
        kind=row["kind"],
        name=row["name"] or "",
        topic=row["topic"],
        description=row["description"],
        announcement=row["announcement"],
        creator=row["creator"],
        read_only=bool(row["read_only"]),
        archived=bool(row["archived"]),
        default=bool(row["is_default"]),
        join_code=row["join_code"],
        created=row["created"],
        updated=row["updated"],
    )


def _membership(row: Any) -> Membership:
    return Membership(
        room=row["room"],
        username=row["username"],
        owner=bool(row["owner"]),
        moderator=bool(row["moderator"]),
        leader=bool(row["leader"]),
        open=bool(row["open"]),
        favorite=bool(row["favorite"]),
        joined=row["joined"],
        seen=row["seen"],
        updated=row["updated"],
    )
