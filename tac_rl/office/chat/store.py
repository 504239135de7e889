"""What other parts of the office do in the chat: write a message, find the room of two people.

    room_id = direct_room(tenant, "alex_turner", "theagentcompany")
    post_message(tenant, room_id, "alex_turner", "Good morning!")

Both raise `Refused` (`refusals.py`), whose text says why.
"""

from collections.abc import Mapping
from typing import Any

from tac_rl.office.base import MessagePosted
from tac_rl.office.chat import messages, rights, rooms, users
from tac_rl.office.chat.messages import Message
from tac_rl.office.chat.refusals import Failed, Refused, not_allowed
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant

MAX_CHARACTERS = 5000
"""Of a message: Rocket.Chat's `Message_MaxAllowedSize`."""


def direct_room(tenant: Tenant, a: str, b: str) -> str:
    """The id of the direct room of these two usernames, made when there is none."""
    users.ensure_users(tenant)
    return rooms.direct(tenant, [users.require(tenant, None, name) for name in (a, b)]).id


def post_message(
    tenant: Tenant,
    room_id: str,
    username: str,
    text: str,
    *,
    thread: str | None = None,
    shown: bool = False,
    message_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Message:
    """Write in a room as this person; afterwards `MessagePosted` is told to the tenant's subscribers.

    A channel is joined on the way; groups and direct rooms want a member. `thread` is the id of the
    message that is answered, `shown` shows the answer in the room too, `extra` is kept and given back by
    the REST API as it is (`alias`, `attachments`, ...). Not inside a transaction: subscribers learn of
    what is committed.
    """
    if tenant.db.in_transaction:
        raise RuntimeError("post_message is told to subscribers at once: call it outside a transaction")
    users.ensure_users(tenant)
    author = users.require(tenant, None, username)
    room = rooms.by_id(tenant, room_id)
    if room is None:
        raise Refused("error-invalid-room", "Invalid room")
    _check(tenant, room, author, text, thread, message_id)
    with tenant.transaction():
        if rooms.membership(tenant, room.id, author.username) is None:
            join(tenant, room, author)
        message = messages.insert(
            tenant, room.id, author, text, thread=thread, shown=shown, message_id=message_id, extra=extra
        )
        if thread is not None:
            _follow_thread(tenant, thread, author)
        rooms.mark(tenant, room.id, author.username, seen=message.at, open=True)
        if room.kind == "direct":
            rooms.open_for_all(tenant, room.id)
    tenant.emit(
        MessagePosted(
            message_id=message.id,
            room_id=room.id,
            room_kind=room.kind,
            room_name=room.name,
            author=author.username,
            text=text,
            members=rooms.member_names(tenant, room.id),
            mentions=tuple(mention["username"] for mention in message.mentions),
            thread=thread,
        )
    )
    return message


def check_length(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise Refused("error-message-size-exceeded", "Message size exceeds Message_MaxAllowedSize")


def join(tenant: Tenant, room: Room, user: User, code: str = "") -> None:
    """Become a member of a channel; nothing happens to one who is."""
    if room.kind != "channel":
        raise not_allowed()
    if rooms.membership(tenant, room.id, user.username) is not None:
        return
    if room.join_code and room.join_code != code and not user.admin:
        raise Refused("error-code-invalid", "Invalid Code")
    with tenant.transaction():
        note = messages.notice(tenant, room, "uj", user, user.username)
        rooms.add_member(tenant, room.id, user.username, note.at)


def _check(
    tenant: Tenant, room: Room, author: User, text: str, thread: str | None, message_id: str | None
) -> None:
    check_length(text)
    mine = rooms.membership(tenant, room.id, author.username)
    if mine is None and room.kind != "channel":
        raise not_allowed()
    if room.archived:
        raise Refused("error-room-archived", f"The channel, {room.name}, is archived")
    if not rights.may_write(author, room, mine):
        raise Failed("You can't send messages because the room is readonly.")
    if thread is not None:
        start = messages.by_id(tenant, thread)
        if start is None or start.room != room.id:
            raise Refused("error-invalid-message", "The thread's first message is not in this room")
    if message_id is not None and messages.by_id(tenant, message_id) is not None:
        raise Refused("error-invalid-message", "There is a message with this id")


def _follow_thread(tenant: Tenant, thread: str, author: User) -> None:
    start = messages.by_id(tenant, thread)
    if start is None:
        return
    messages.follow(tenant, start, author, True)
    first = users.by_username(tenant, start.author)
    if not start.followers and first is not None and first.id != author.id:
        again = messages.by_id(tenant, thread)
        assert again is not None
        messages.follow(tenant, again, first, True)
