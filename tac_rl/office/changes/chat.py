"""Sentences about what changed in the chat."""

from collections.abc import Iterator, Mapping

from tac_rl.office.changes.base import Changes, Row, RowChange, Value
from tac_rl.office.changes.wording import Describer, alterations, quote, silent

_ROLES = ("owner", "moderator", "leader")
_ROOM_NOISE = ("updated", "created")
_USER_NOISE = ("updated", "password", "status")


def _message(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    if row.get("kind"):
        return  # The room's own notes, such as who joined, follow from other records.
    author, text = row.get("author"), quote(row.get("text"))
    room = changes.look("chat_rooms", row.get("room"))
    place = _place(room, str(author))
    if change.kind == "added":
        yield f"{author} wrote {place}: {text}"
    elif change.kind == "removed":
        yield f"a message of {author} {place} was deleted: {text}"
    else:
        if "text" in change.after:
            by = row.get("edited_by") or author
            yield f"{by} edited a message of {author} {place}: {quote(change.before['text'])} is now {text}"
        if "reactions" in change.after:
            yield f"reactions to {text} {place} are now {change.after['reactions'] or 'none'}"
        if "pinned" in change.after:
            what = "pinned" if change.after["pinned"] is not None else "unpinned"
            yield f"the message {text} {place} was {what}"


def _room(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    if row.get("kind") == "direct":
        return
    name = _named(row)
    if change.kind == "added":
        yield f"{name} was created by {row.get('creator')}"
    elif change.kind == "removed":
        yield f"{name} was deleted"
    elif told := alterations(change, _ROOM_NOISE):
        yield f"{name}: {told}"


def _member(change: RowChange, changes: Changes) -> Iterator[str]:
    room = changes.look("chat_rooms", change.key["room"])
    if not room or room.get("kind") == "direct":
        return
    who, name = change.key["username"], _named(room)
    if change.kind == "removed":
        yield f"{who} is no longer in {name}"
        return
    roles = [role for role in _ROLES if change.after.get(role)]
    if change.kind == "added":
        yield f"{who} is now in {name}" + (f" as {' and '.join(roles)}" if roles else "")
        return
    for role in roles:
        yield f"{who} is now {role} of {name}"
    for role in _ROLES:
        if change.before.get(role) and not change.after.get(role):
            yield f"{who} is no longer {role} of {name}"


def _user(change: RowChange, changes: Changes) -> Iterator[str]:
    who = change.key["username"]
    if change.kind == "added":
        if not changes.look("people", who):  # Otherwise their account was only made when it was first needed.
            yield f"the chat account {who} was created"
    elif change.kind == "removed":
        yield f"the chat account {who} was deleted"
    else:
        if told := alterations(change, _USER_NOISE):
            yield f"the chat account {who}: {told}"
        if "password" in change.after:
            yield f"the chat account {who} has a new password"


def _file(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    place = _place(changes.look("chat_rooms", row.get("room")), str(row.get("username")))
    if change.kind == "added":
        yield f"{row.get('username')} uploaded {row.get('name')} {place}"
    elif change.kind == "removed":
        yield f"the file {row.get('name')} {place} was deleted"


def _place(room: Mapping[str, Value], author: str) -> str:
    if room.get("kind") != "direct":
        return f"in {_named(room)}"
    others = [name for name in str(room.get("members") or "").split(", ") if name and name != author]
    return f"to {' and '.join(others) or 'themselves'}"


def _named(room: Mapping[str, Value] | Row) -> str:
    private = " (private)" if room.get("kind") == "group" else ""
    return f"#{room.get('name', '?')}{private}"


DESCRIBERS: dict[str, Describer] = {
    "chat_rooms": _room,
    "chat_members": _member,
    "chat_messages": _message,
    "chat_users": _user,
    "chat_files": _file,
    "chat_deleted": silent,
    "chat_former": silent,
}
