"""What people do with rooms and messages, with their rights checked and what it leaves in the room's history.

The REST API and the pages call these; `store.py` has what other parts of the office need.
"""

from collections.abc import Iterable
from typing import Literal

from tac_rl.office.chat import files, messages, rights, rooms
from tac_rl.office.chat.messages import Message
from tac_rl.office.chat.refusals import Failed, Refused, not_allowed
from tac_rl.office.chat.rooms import Role, Room
from tac_rl.office.chat.store import check_length
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant

Text = Literal["topic", "description", "announcement"]

# People in rooms


def invite(tenant: Tenant, me: User, room: Room, people: Iterable[User]) -> None:
    if not rights.may_moderate(tenant, me, room):
        raise not_allowed()
    with tenant.transaction():
        for user in people:
            if rooms.membership(tenant, room.id, user.username) is None:
                note = messages.notice(tenant, room, "au", me, user.username)
                rooms.add_member(tenant, room.id, user.username, note.at)


def kick(tenant: Tenant, me: User, room: Room, user: User) -> None:
    if not rights.may_moderate(tenant, me, room):
        raise not_allowed()
    _require_member(tenant, room, user, "User is not in this room")
    _keep_an_owner(tenant, room, user, "error-you-are-last-owner", _LAST_OWNER)
    with tenant.transaction():
        rooms.remove_member(tenant, room.id, user.username)
        messages.notice(tenant, room, "ru", me, user.username)


def leave(tenant: Tenant, me: User, room: Room) -> None:
    if room.kind == "direct":
        raise not_allowed()
    _require_member(tenant, room, me, "You are not in this room")
    _keep_an_owner(tenant, room, me, "error-you-are-last-owner", _LAST_OWNER)
    with tenant.transaction():
        rooms.remove_member(tenant, room.id, me.username)
        messages.notice(tenant, room, "ul", me, me.username)


def set_role(tenant: Tenant, me: User, room: Room, user: User, role: Role, has: bool) -> None:
    """Make somebody owner, moderator or leader of a room, or take that away."""
    if not rights.may_own(tenant, me, room):
        raise not_allowed()
    theirs = rooms.membership(tenant, room.id, user.username)
    if theirs is None:
        raise Refused("error-user-not-in-room", "User is not in this room")
    if has and role in theirs.roles:
        raise Refused(
            f"error-user-already-{role}", f"User is already {'an' if role == 'owner' else 'a'} {role}"
        )
    if not has and role not in theirs.roles:
        article = "an" if role == "owner" else "a"
        raise Refused(f"error-user-not-{role}", f"User is not {article} {role}")
    if not has and role == "owner":
        text = "This is the last owner. Please set a new owner before removing this one."
        _keep_an_owner(tenant, room, user, "error-remove-last-owner", text)
    kind = f"subscription-role-{'added' if has else 'removed'}"
    with tenant.transaction():
        rooms.set_role(tenant, room.id, user.username, role, has)
        messages.notice(tenant, room, kind, me, user.username, role=role)


# Rooms


def rename(tenant: Tenant, me: User, room: Room, name: str) -> Room:
    _require_edit(tenant, me, room)
    if name == room.name:
        raise Failed(f"The {room.kind} name is the same as what it would be renamed to.")
    rooms.check_name(tenant, name)
    with tenant.transaction():
        messages.notice(tenant, room, "r", me, name)
        return rooms.change(tenant, room.id, name=name)


def set_text(tenant: Tenant, me: User, room: Room, which: Text, text: str) -> Room:
    """The topic, the description or the announcement."""
    _require_edit(tenant, me, room)
    if text == getattr(room, which):
        if which == "announcement":
            return room
        raise Failed(f"The {room.kind} {which} is the same as what it would be changed to.")
    with tenant.transaction():
        messages.notice(tenant, room, f"room_changed_{which}", me, text)
        return rooms.change(tenant, room.id, **{which: text})


def set_read_only(tenant: Tenant, me: User, room: Room, read_only: bool) -> Room:
    if not rights.may_own(tenant, me, room):
        raise not_allowed("Editing room is not allowed")
    if room.read_only == read_only:
        raise Failed(f"The {room.kind} read only setting is the same as what it would be changed to.")
    with tenant.transaction():
        messages.notice(tenant, room, f"room-{'set' if read_only else 'removed'}-read-only", me)
        return rooms.change(tenant, room.id, read_only=read_only)


def set_kind(tenant: Tenant, me: User, room: Room, kind: Literal["channel", "group"]) -> Room:
    """Public or private."""
    if not rights.may_own(tenant, me, room):
        raise Refused("error-action-not-allowed", "Changing room type is not allowed")
    if room.kind == kind:
        raise Failed(f"The {room.kind} type is the same as what it would be changed to.")
    with tenant.transaction():
        messages.notice(
            tenant, room, "room_changed_privacy", me, "Public" if kind == "channel" else "Private"
        )
        return rooms.change(tenant, room.id, kind=kind)


def set_default(tenant: Tenant, me: User, room: Room, default: bool) -> Room:
    """Whether new accounts join it by themselves."""
    rights.require_admin(me)
    if room.default == default:
        raise Failed("The channel default setting is the same as what it would be changed to.")
    return rooms.change(tenant, room.id, is_default=default)


def set_join_code(tenant: Tenant, me: User, room: Room, code: str) -> Room:
    _require_edit(tenant, me, room)
    return rooms.change(tenant, room.id, join_code=code)


def set_archived(tenant: Tenant, me: User, room: Room, archived: bool) -> None:
    if not rights.may_own(tenant, me, room):
        raise Refused("error-not-authorized", "Not authorized")
    if room.archived == archived:
        state = "already" if archived else "not"
        raise Failed(f"The {room.kind}, {room.name}, is {state} archived")
    with tenant.transaction():
        messages.notice(tenant, room, "room-archived" if archived else "room-unarchived", me)
        rooms.change(tenant, room.id, archived=archived)


def delete_room(tenant: Tenant, me: User, room: Room) -> None:
    """With everything in it."""
    if not rights.may_own(tenant, me, room):
        raise not_allowed()
    rooms.remove(tenant, room.id)
    files.sweep(tenant)


# Messages


def require_message(tenant: Tenant, me: User, message_id: str) -> Message:
    """A message that this person may read."""
    found = messages.by_id(tenant, message_id)
    if found is None:
        raise Refused(
            "error-message-not-found", 'The provided "messageId" does not match any existing message.'
        )
    rights.require_read(tenant, me, rooms.by_id(tenant, found.room))
    return found


def edit(tenant: Tenant, me: User, message: Message, text: str) -> Message:
    if message.author != me.username and not _may_moderate(tenant, me, message):
        raise Refused("error-action-not-allowed", "Message editing not allowed")
    check_length(text)
    return messages.rewrite(tenant, message, text, me)


def delete(tenant: Tenant, me: User, message: Message) -> None:
    if message.author != me.username and not _may_moderate(tenant, me, message):
        raise Refused("error-action-not-allowed", "Not allowed")
    messages.remove(tenant, message)
    if "file" in message.extra:
        files.sweep(tenant)


def pin(tenant: Tenant, me: User, message: Message) -> Message:
    """Gives the notice that Rocket.Chat writes about it."""
    room = _require_moderate(tenant, me, message)
    with tenant.transaction():
        messages.pin(tenant, message, me)
        return messages.notice(
            tenant,
            room,
            "message_pinned",
            me,
            attachments=[{"text": message.text, "author_name": message.author, "message_id": message.id}],
        )


def unpin(tenant: Tenant, me: User, message: Message) -> None:
    _require_moderate(tenant, me, message)
    messages.pin(tenant, message, None)


# Inside

_LAST_OWNER = "You are the last owner. Please set new owner before leaving the room."


def _require_member(tenant: Tenant, room: Room, user: User, otherwise: str) -> None:
    if rooms.membership(tenant, room.id, user.username) is None:
        raise Refused("error-user-not-in-room", otherwise)


def _keep_an_owner(tenant: Tenant, room: Room, user: User, kind: str, text: str) -> None:
    if rooms.owners(tenant, room.id) == [user.username]:
        raise Refused(kind, text)


def _require_edit(tenant: Tenant, me: User, room: Room) -> None:
    # A direct room belongs to nobody more than to the others in it.
    if room.kind == "direct" and rooms.membership(tenant, room.id, me.username) is not None:
        return
    if not rights.may_moderate(tenant, me, room):
        raise Refused("error-action-not-allowed", "Editing room is not allowed")


def _may_moderate(tenant: Tenant, me: User, message: Message) -> bool:
    room = rooms.by_id(tenant, message.room)
    return room is not None and rights.may_moderate(tenant, me, room)


def _require_moderate(tenant: Tenant, me: User, message: Message) -> Room:
    room = rooms.by_id(tenant, message.room)
    # In a direct room both may; it has no owner.
    if room is None or not (room.kind == "direct" or rights.may_moderate(tenant, me, room)):
        raise Refused("not-authorized", "Not Authorized")
    return room
