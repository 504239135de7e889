"""The store of messages: one row each, replies of a thread included."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tac_rl.office.chat import rooms, users
from tac_rl.office.chat.ids import fresh_id
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.times import now_ms
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant

_MENTION = re.compile(r"(?<![\w.@])@([0-9a-zA-Z._-]+)")
_CHANNEL = re.compile(r"(?<![\w&/#])#([0-9a-zA-Z._-]+)")
_EMOJI = re.compile(r"[A-Za-z0-9_+-]{1,64}")
_LINK = re.compile(r"https?://[^\s<>\"')\]]+")
EVERYBODY = ("all", "here")

_SELECT = """SELECT m.*, u.id AS author_id, u.name AS author_name,
    (SELECT count(*) FROM chat_messages r WHERE r.thread = m.id) AS replies,
    (SELECT max(r.at) FROM chat_messages r WHERE r.thread = m.id) AS last_reply
    FROM chat_messages m CROSS JOIN chat_users u ON u.username = m.author"""


class Message(NamedTuple):
    """A message. Times in milliseconds since 1970."""

    id: str
    room: str
    author: str
    author_id: str
    author_name: str
    text: str
    at: int
    updated: int
    kind: str
    thread: str | None
    shown: bool
    edited: int | None
    edited_by: str | None
    pinned: int | None
    pinned_by: str | None
    mentions: list[dict[str, str]]
    reactions: dict[str, dict[str, list[str]]]
    starred: list[str]
    followers: list[str]
    extra: dict[str, Any]
    replies: int
    last_reply: int | None


# Looking up


def by_id(tenant: Tenant, message_id: str) -> Message | None:
    row = tenant.row(f"{_SELECT} WHERE m.id = ?", message_id)
    return None if row is None else _message(row)


def by_ids(tenant: Tenant, message_ids: Sequence[str]) -> dict[str, Message]:
    marks = ",".join("?" * len(message_ids))
    rows = tenant.rows(f"{_SELECT} WHERE m.id IN ({marks})", *message_ids)
    return {row["id"]: _message(row) for row in rows}


def select(
    tenant: Tenant,
    where: str,
    arguments: Sequence[Any],
    *,
    offset: int = 0,
    count: int | None = None,
    order: str = "m.at DESC, m.rowid DESC",
) -> list[Message]:
    """Messages for which `where` (SQL about `chat_messages m`) holds."""
    limit = -1 if count is None else count
    rows = tenant.rows(
        f"{_SELECT} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?", *arguments, limit, offset
    )
    return [_message(row) for row in rows]


def how_many(tenant: Tenant, where: str, arguments: Sequence[Any]) -> int:
    found: int = tenant.value(f"SELECT count(*) FROM chat_messages m WHERE {where}", *arguments)
    return found


def history(
    tenant: Tenant,
    room_id: str,
    *,
    oldest: int | None = None,
    latest: int | None = None,
    inclusive: bool = False,
    replies: bool = False,
    offset: int = 0,
    count: int | None = None,
) -> list[Message]:
    """Of a room, the newest first; replies of threads only when asked for, or when they are shown in the room."""
    where, arguments = "m.room = ?", list[Any]([room_id])
    equal = "=" if inclusive else ""
    for bound, sign in ((oldest, ">"), (latest, "<")):
        if bound is not None:
            where += f" AND m.at {sign}{equal} ?"
            arguments.append(bound)
    if not replies:
        where += " AND (m.thread IS NULL OR m.shown)"
    return select(tenant, where, arguments, offset=offset, count=count)


# Conditions for `select`; each takes one argument.
CONTAINING = "instr(lower(m.text), lower(?))"
"""The text; the case of ASCII letters doesn't matter."""
MENTIONING = (
    "m.mentions IS NOT NULL AND"
    " EXISTS (SELECT 1 FROM json_each(m.mentions) j WHERE json_extract(j.value, '$._id') = ?)"
)
STARRED_BY = "EXISTS (SELECT 1 FROM json_each(m.starred) j WHERE j.value = ?)"
FOLLOWED_BY = "EXISTS (SELECT 1 FROM json_each(m.followers) j WHERE j.value = ?)"


# Making and changing


def insert(
    tenant: Tenant,
    room_id: str,
    author: User,
    text: str,
    *,
    at: int | None = None,
    kind: str = "",
    thread: str | None = None,
    shown: bool = False,
    message_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
    reactions: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> Message:
    """A new message, never before the last one of its room unless `at` says so. Checks no rights, tells nobody."""
    if at is None:
        last = tenant.value("SELECT max(at) FROM chat_messages WHERE room = ?", room_id)
        at = max(now_ms(tenant), (last or 0) + 1)
    message_id = message_id or fresh_id(tenant, "chat_messages")
    mentions = [] if kind else mentioned(tenant, text)
    more = {} if kind else _found_in(tenant, text)
    more.update(extra or {})
    tenant.db.execute(
        "INSERT INTO chat_messages (id, room, author, text, at, updated, kind, thread, shown, mentions,"
        " reactions, extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message_id,
            room_id,
            author.username,
            text,
            at,
            at,
            kind,
            thread,
            shown,
            to_json(mentions),
            to_json(reactions),
            to_json(more),
        ),
    )
    return _again(tenant, message_id)


def notice(tenant: Tenant, room: Room, kind: str, author: User, text: str = "", **extra: Any) -> Message:
    """What Rocket.Chat notes in a room's history: who joined (`uj`), a new topic (`room_changed_topic`), ..."""
    return insert(tenant, room.id, author, text, kind=kind, extra=extra)


def mentioned(tenant: Tenant, text: str) -> list[dict[str, str]]:
    """Accounts (and `all`, `here`) behind @ in a text: `_id`, `username`, `name`."""
    found: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(_MENTION.findall(text)) if "@" in text else ():
        if name.rstrip(".") in EVERYBODY:
            everybody = name.rstrip(".")
            found[everybody] = {"_id": everybody, "username": everybody}
            continue
        user = users.by_username(tenant, name) or users.by_username(tenant, name.rstrip("._-"))
        if user is not None:
            found[user.username] = {"_id": user.id, "username": user.username, "name": user.name}
    return list(found.values())


def rewrite(tenant: Tenant, message: Message, text: str, editor: User) -> Message:
    """Another text."""
    at = now_ms(tenant)
    mentions = to_json(mentioned(tenant, text))
    extra = {name: value for name, value in message.extra.items() if name not in ("urls", "channels")}
    extra.update(_found_in(tenant, text))
    tenant.db.execute(
        "UPDATE chat_messages SET text = ?, mentions = ?, extra = ?, edited = ?, edited_by = ?, updated = ?"
        " WHERE id = ?",
        (text, mentions, to_json(extra), at, editor.username, at, message.id),
    )
    return _again(tenant, message.id)


def remove(tenant: Tenant, message: Message) -> None:
    """Replies of its thread stay, as messages of the room."""
    with tenant.transaction() as db:
        db.execute("DELETE FROM chat_messages WHERE id = ?", (message.id,))
        db.execute(
            "INSERT OR REPLACE INTO chat_deleted VALUES (?, ?, ?)", (message.id, message.room, now_ms(tenant))
        )


def is_emoji(name: str) -> bool:
    """Whether this may be an emoji's name, without colons."""
    return _EMOJI.fullmatch(name) is not None


def react(tenant: Tenant, message: Message, emoji: str, username: str, wanted: bool | None = None) -> None:
    """Put somebody's reaction (`:smile:`) there or take it away; None: the opposite of what is there."""
    names = message.reactions.get(emoji, {}).get("usernames", [])
    there = username in names
    if wanted is None:
        wanted = not there
    if wanted == there:
        return
    changed = [*names, username] if wanted else [name for name in names if name != username]
    reactions = {**message.reactions, emoji: {"usernames": changed}}
    if not changed:
        del reactions[emoji]
    _set(tenant, message, "reactions", to_json(reactions))


def pin(tenant: Tenant, message: Message, by: User | None) -> None:
    """None: not pinned any more."""
    tenant.db.execute(
        "UPDATE chat_messages SET pinned = ?, pinned_by = ?, updated = ? WHERE id = ?",
        (now_ms(tenant) if by else None, by.username if by else None, now_ms(tenant), message.id),
    )


def star(tenant: Tenant, message: Message, user: User, wanted: bool) -> None:
    _set(tenant, message, "starred", to_json(_with(message.starred, user.id, wanted)))


def follow(tenant: Tenant, message: Message, user: User, wanted: bool) -> None:
    _set(tenant, message, "followers", to_json(_with(message.followers, user.id, wanted)))


# Inside


def _found_in(tenant: Tenant, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "#" in text:
        channels = []
        for name in dict.fromkeys(_CHANNEL.findall(text)):
            room = rooms.by_name(tenant, name) or rooms.by_name(tenant, name.rstrip("._-"))
            if room is not None and room.kind == "channel":
                channels.append({"_id": room.id, "name": room.name})
        if channels:
            found["channels"] = channels
    if "://" in text:
        links = [{"url": link.rstrip(".,;:!?"), "meta": {}} for link in dict.fromkeys(_LINK.findall(text))]
        if links:
            found["urls"] = links
    return found


def _with(ids: list[str], user_id: str, wanted: bool) -> list[str]:
    rest = [each for each in ids if each != user_id]
    return [*rest, user_id] if wanted else rest


def _set(tenant: Tenant, message: Message, column: str, value: str | None) -> None:
    tenant.db.execute(
        f"UPDATE chat_messages SET {column} = ?, updated = ? WHERE id = ?",
        (value, now_ms(tenant), message.id),
    )


def to_json(value: Any) -> str | None:
    """For a column; nothing is kept of what is empty."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else None


def _again(tenant: Tenant, message_id: str) -> Message:
    found = by_id(tenant, message_id)
    assert found is not None
    return found


def _message(row: Any) -> Message:
    return Message(
        id=row["id"],
        room=row["room"],
        author=row["author"],
        author_id=row["author_id"],
        author_name=row["author_name"],
        text=row["text"],
        at=row["at"],
        updated=row["updated"],
        kind=row["kind"],
        thread=row["thread"],
        shown=bool(row["shown"]),
        edited=row["edited"],
        edited_by=row["edited_by"],
        pinned=row["pinned"],
        pinned_by=row["pinned_by"],
        mentions=json.loads(row["mentions"]) if row["mentions"] else [],
        reactions=json.loads(row["reactions"]) if row["reactions"] else {},
        starred=json.loads(row["starred"]) if row["starred"] else [],
        followers=json.loads(row["followers"]) if row["followers"] else [],
        extra=json.loads(row["extra"]) if row["extra"] else {},
        replies=row["replies"],
        last_reply=row["last_reply"],
    )
