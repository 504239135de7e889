"""Lay the chat's section of an overlay over a tenant: no rights are checked, nobody is told.

Who was laid into a channel has read it; who was laid into a direct room has read it up to the last
message of their own, so what a colleague wrote there stands as unread.
"""

from collections.abc import Iterable, Sequence

from tac_rl.errors import OverlayError
from tac_rl.office.chat import messages, rooms, users
from tac_rl.office.chat.messages import Message
from tac_rl.office.chat.refusals import Refused
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.times import FOUNDED, MINUTE, to_ms
from tac_rl.office.chat.users import User
from tac_rl.office.overlay import ChannelOverlay, ChatOverlay, DirectOverlay, MessageOverlay
from tac_rl.office.tenant import Tenant


def lay(tenant: Tenant, overlay: ChatOverlay) -> None:
    """Add what the overlay names."""
    with tenant.transaction():
        users.ensure_users(tenant)
        for channel in overlay.channels:
            _lay_channel(tenant, channel)
        for direct in overlay.direct:
            _lay_direct(tenant, direct)


def _lay_channel(tenant: Tenant, overlay: ChannelOverlay) -> None:
    where = f"the chat's channel {overlay.name!r}"
    given = overlay.model_fields_set
    owner = _owner(tenant, overlay, where)
    room = rooms.by_name(tenant, overlay.name)
    if room is None:
        first = _first(overlay.messages)
        try:
            room = rooms.create(
                tenant, "group" if overlay.private else "channel", overlay.name, owner, at=first
            )
        except Refused as refused:
            raise OverlayError(f"{where}: {refused}; use letters, digits, `.`, `_`, `-`") from refused
    tenant.db.execute(
        "UPDATE chat_rooms SET kind = ?, topic = ?, description = ? WHERE id = ?",
        (
            ("group" if overlay.private else "channel") if "private" in given else room.kind,
            overlay.topic if "topic" in given else room.topic,
            overlay.description if "description" in given else room.description,
            room.id,
        ),
    )
    if overlay.members == "everyone":
        people = [row["username"] for row in tenant.rows("SELECT username FROM chat_users ORDER BY username")]
    else:
        people = [_user(tenant, name, f"{where} (members)").username for name in overlay.members]
    moderators = [_user(tenant, name, f"{where} (moderators)").username for name in overlay.moderators]
    owners = [owner.username] if "owner" in given else []
    for username in (*people, *moderators, *owners):
        rooms.add_member(tenant, room.id, username, room.created)
    for username in moderators:
        rooms.set_role(tenant, room.id, username, "moderator", True)
    for username in owners:
        rooms.set_role(tenant, room.id, username, "owner", True)
    _lay_messages(tenant, room, overlay.messages, where)
    tenant.db.execute(
        "UPDATE chat_members SET seen = coalesce((SELECT max(at) FROM chat_messages WHERE room = ?1), seen)"
        " WHERE room = ?1",
        (room.id,),
    )


def _owner(tenant: Tenant, overlay: ChannelOverlay, where: str) -> User:
    """The one named; by default the agent's account, or in an office without it some administrator."""
    if "owner" not in overlay.model_fields_set:
        row = tenant.row(
            "SELECT username FROM chat_users ORDER BY username = ? DESC, roles LIKE '%admin%' DESC, username",
            overlay.owner,
        )
        if row is not None:
            return _user(tenant, row["username"], where)
    return _user(tenant, overlay.owner, f"{where} (owner)")


def _lay_direct(tenant: Tenant, overlay: DirectOverlay) -> None:
    where = f"the chat's direct messages between {' and '.join(overlay.between)}"
    people = [_user(tenant, name, where) for name in overlay.between]
    room = rooms.direct(tenant, people, at=_first(overlay.messages))
    names = {person.username for person in people}
    for author in _authors(overlay.messages):
        if author not in names:
            raise OverlayError(f"{where}: {author} writes there; name them in `between`")
    _lay_messages(tenant, room, overlay.messages, where)
    tenant.db.execute(
        "UPDATE chat_members SET seen = coalesce((SELECT max(m.at) FROM chat_messages m WHERE m.room = ?1"
        " AND m.author = chat_members.username),"
        " (SELECT min(m.at) - 1 FROM chat_messages m WHERE m.room = ?1), seen) WHERE room = ?1",
        (room.id,),
    )


def _first(overlays: Iterable[MessageOverlay]) -> int:
    """When a room was made whose messages these are."""
    return min((to_ms(message.at) for message in overlays if message.at is not None), default=FOUNDED)


def _authors(overlays: Iterable[MessageOverlay]) -> Iterable[str]:
    for message in overlays:
        yield message.author
        yield from _authors(message.replies)


def _lay_messages(tenant: Tenant, room: Room, overlays: Sequence[MessageOverlay], where: str) -> None:
    """A message without a time comes a minute after the one before it; a reply after its thread's last."""
    last = tenant.value("SELECT max(at) FROM chat_messages WHERE room = ? AND thread IS NULL", room.id)
    for overlay in overlays:
        start = _lay_message(tenant, room, overlay, last, None, where)
        last = before = start.at
        followers = {start.author_id: None}
        for each in overlay.replies:
            if each.replies:
                raise OverlayError(f"{where}: a reply has replies; put them beside it")
            reply = _lay_message(tenant, room, each, before, start.id, where)
            before = reply.at
            followers[reply.author_id] = None
        if overlay.replies:
            tenant.db.execute(
                "UPDATE chat_messages SET followers = ? WHERE id = ?",
                (messages.to_json(list(followers)), start.id),
            )


def _lay_message(
    tenant: Tenant, room: Room, overlay: MessageOverlay, last: int | None, thread: str | None, where: str
) -> Message:
    author = _user(tenant, overlay.author, where)
    if overlay.at is not None:
        at = to_ms(overlay.at)
    else:
        at = FOUNDED if last is None else last + MINUTE
    rooms.add_member(tenant, room.id, author.username, room.created)
    reactions = {
        f":{emoji.strip(':')}:": {
            "usernames": [_user(tenant, name, f"{where} (reactions)").username for name in names]
        }
        for emoji, names in overlay.reactions.items()
        if names
    }
    return messages.insert(tenant, room.id, author, overlay.text, at=at, thread=thread, reactions=reactions)


def _user(tenant: Tenant, username: str, where: str) -> User:
    found = users.by_username(tenant, username)
    if found is None:
        raise OverlayError(f"{where}: there is no {username!r}; add them to `people`")
    return found
