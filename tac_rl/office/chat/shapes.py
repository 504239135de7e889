"""The store's rows as Rocket.Chat's REST API gives them."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from tac_rl.office.chat import messages, rooms, users
from tac_rl.office.chat.messages import Message
from tac_rl.office.chat.rooms import Membership, Room
from tac_rl.office.chat.times import iso
from tac_rl.office.chat.unread import Unread
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant

Json = dict[str, Any]
LETTERS = {"channel": "c", "group": "p", "direct": "d"}
"""Rocket.Chat's `t` of a room."""


def user_ref(user: User) -> Json:
    return {"_id": user.id, "username": user.username, "name": user.name}


def user_public(user: User) -> Json:
    """What everybody may know of an account."""
    return {
        "_id": user.id,
        "username": user.username,
        "name": user.name,
        "nameInsensitive": user.name.lower(),
        "type": "user",
        "status": user.status if user.active else "offline",
        "statusText": user.status_text,
        "bio": user.bio,
        "utcOffset": 0,
        "active": user.active,
        "_updatedAt": iso(user.updated),
    }


def user_full(user: User) -> Json:
    """What administrators and the account itself may know."""
    return {
        **user_public(user),
        "emails": [{"address": user.email, "verified": True}],
        "roles": list(user.roles),
        "createdAt": iso(user.created),
        "requirePasswordChange": False,
    }


def user_for(me: User, user: User) -> Json:
    return user_full(user) if me.admin or me.id == user.id else user_public(user)


def member(user: User) -> Json:
    return {
        **user_ref(user),
        "status": user.status if user.active else "offline",
        "statusText": user.status_text,
        "utcOffset": 0,
        "_updatedAt": iso(user.updated),
    }


def message(tenant: Tenant, found: Message, me: User | None = None) -> Json:
    """A message as `me` sees it (their stars only)."""
    shape: Json = {
        "_id": found.id,
        "rid": found.room,
        "msg": found.text,
        "ts": iso(found.at),
        "u": {"_id": found.author_id, "username": found.author, "name": found.author_name},
        "_updatedAt": iso(found.updated),
        "urls": [],
        "mentions": found.mentions,
        "channels": [],
        **found.extra,
    }
    if found.kind:
        shape["t"] = found.kind
    if found.thread:
        shape["tmid"] = found.thread
        if found.shown:
            shape["tshow"] = True
    if found.replies:
        shape["tcount"] = found.replies
        shape["tlm"] = iso(found.last_reply or found.at)
    if found.followers:
        shape["replies"] = found.followers
    if found.reactions:
        shape["reactions"] = found.reactions
    if me is not None and me.id in found.starred:
        shape["starred"] = [{"_id": me.id}]
    if found.pinned is not None:
        shape |= {"pinned": True, "pinnedAt": iso(found.pinned), "pinnedBy": _who(tenant, found.pinned_by)}
    if found.edited is not None:
        shape |= {"editedAt": iso(found.edited), "editedBy": _who(tenant, found.edited_by)}
    return shape


def message_list(tenant: Tenant, found: Sequence[Message], me: User) -> list[Json]:
    return [message(tenant, each, me) for each in found]


def room(tenant: Tenant, found: Room, me: User) -> Json:
    return room_list(tenant, [found], me)[0]


def room_list(tenant: Tenant, found: Sequence[Room], me: User) -> list[Json]:
    """Rooms with what they hold; a handful of queries, however many rooms."""
    ids = [each.id for each in found]
    sums = rooms.summaries(tenant, ids)
    last = messages.by_ids(tenant, [s.last_message for s in sums.values() if s.last_message])
    creators = {row["username"]: row["id"] for row in tenant.rows("SELECT username, id FROM chat_users")}
    direct = rooms.people_of(tenant, [each.id for each in found if each.kind == "direct"])
    shapes = []
    for each in found:
        summary = sums[each.id]
        newest = last.get(summary.last_message or "")
        shape: Json = {
            "_id": each.id,
            "t": LETTERS[each.kind],
            "msgs": summary.messages,
            "usersCount": summary.people,
            "u": {"_id": creators.get(each.creator, ""), "username": each.creator},
            "customFields": {},
            "ts": iso(each.created),
            "ro": each.read_only,
            "default": each.default,
            "sysMes": True,
            "_updatedAt": iso(max(each.updated, newest.at if newest else 0)),
        }
        if each.kind == "direct":
            shape["usernames"] = [person.username for person in direct[each.id]]
            shape["uids"] = [person.id for person in direct[each.id]]
        else:
            shape["name"] = shape["fname"] = each.name
            shape["broadcast"] = shape["encrypted"] = False
        for text in ("topic", "description", "announcement"):
            if getattr(each, text):
                shape[text] = getattr(each, text)
        if each.archived:
            shape["archived"] = True
        if each.join_code:
            shape["joinCodeRequired"] = True
        if newest is not None:
            shape["lm"] = iso(newest.at)
            shape["lastMessage"] = message(tenant, newest, me)
        shapes.append(shape)
    return shapes


def subscription(mine: Membership, found: Room, me: User, unread: Unread, others: Sequence[User]) -> Json:
    """What one person keeps of a room; `others` are the other people of a direct room."""
    direct = found.kind == "direct"
    shape: Json = {
        "_id": mine.room + me.id,
        "rid": mine.room,
        "t": LETTERS[found.kind],
        "name": ", ".join(p.username for p in others) if direct else found.name,
        "fname": ", ".join(p.name for p in others) if direct else found.name,
        "u": user_ref(me),
        "open": mine.open,
        "alert": unread.messages > 0,
        "unread": unread.messages if direct else unread.mentions,
        "userMentions": unread.mentions,
        "groupMentions": 0,
        "ts": iso(mine.joined),
        "ls": iso(mine.seen),
        "lr": iso(mine.seen),
        "f": mine.favorite,
        "_updatedAt": iso(mine.updated),
    }
    if mine.roles:
        shape["roles"] = mine.roles
    return shape


def _who(tenant: Tenant, username: str | None) -> Json:
    user = users.by_username(tenant, username or "")
    return {"_id": user.id if user else "", "username": username or ""}


def file(row: Any) -> Json:
    """A row of `chat_files`, with its owner's `user_id` and `user_name`."""
    owner = {"_id": row["user_id"], "username": row["username"], "name": row["user_name"]}
    path = file_path(row["id"], row["name"])
    return {
        "_id": row["id"],
        "rid": row["room"],
        "name": row["name"],
        "type": row["type"],
        "size": row["size"],
        "uploadedAt": iso(row["at"]),
        "url": path,
        "path": path,
        "userId": row["user_id"],
        "user": owner,
    }


def file_path(file_id: str, name: str) -> str:
    """Where a file is fetched."""
    return f"/file-upload/{file_id}/{quote(name, safe='')}"
