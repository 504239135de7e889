"""channels.* and groups.*: making and changing them."""

from typing import Annotated, Any, Literal

from fastapi import Response

from tac_rl.office.chat import actions, rights, rooms, shapes, store, users
from tac_rl.office.chat import models as m
from tac_rl.office.chat.actions import Text
from tac_rl.office.chat.calls import Caller, Me, body, success
from tac_rl.office.chat.families import CHANNELS, Family
from tac_rl.office.chat.refusals import Failed, Refused
from tac_rl.office.chat.rooms import Role, Room
from tac_rl.office.chat.routing import Routes
from tac_rl.office.chat.users import User

_TEXTS: tuple[tuple[str, str, Text, type[m.RoomBody]], ...] = (
    ("setTopic", "topic", "topic", m.TopicBody),
    ("setDescription", "description", "description", m.DescriptionBody),
    ("setPurpose", "purpose", "description", m.PurposeBody),
    ("setAnnouncement", "announcement", "announcement", m.AnnouncementBody),
)


def changing(family: Family) -> Routes:
    """The family's endpoints that change something."""
    routes, prefix = Routes(), family.prefix

    def found(me: Caller, given: m.RoomBody, *, archived: bool = False) -> Room:
        return family.find(me, given.roomId, given.roomName, archived=archived)

    def shown(me: Caller, room: Room) -> Response:
        again = rooms.by_id(me.tenant, room.id)
        assert again is not None
        return success(**{family.one: shapes.room(me.tenant, again, me.user)})

    @routes.posting(f"{prefix}.create", gives=family.one)
    async def create(me: Me, given: Annotated[m.CreateRoomBody, body(m.CreateRoomBody)]) -> Response:
        room = rooms.create(
            me.tenant, family.kind, given.name, me.user, given.members, read_only=given.readOnly
        )
        return shown(me, room)

    @routes.posting(f"{prefix}.delete")
    async def delete(me: Me, given: Annotated[m.RoomBody, body(m.RoomBody)]) -> Response:
        actions.delete_room(me.tenant, me.user, found(me, given, archived=True))
        return success()

    @routes.posting(f"{prefix}.rename", gives=family.one)
    async def rename(me: Me, given: Annotated[m.RenameBody, body(m.RenameBody)]) -> Response:
        return shown(me, actions.rename(me.tenant, me.user, found(me, given), given.name))

    @routes.posting(f"{prefix}.archive")
    async def archive(me: Me, given: Annotated[m.RoomBody, body(m.RoomBody)]) -> Response:
        actions.set_archived(me.tenant, me.user, found(me, given), True)
        return success()

    @routes.posting(f"{prefix}.unarchive")
    async def unarchive(me: Me, given: Annotated[m.RoomBody, body(m.RoomBody)]) -> Response:
        actions.set_archived(me.tenant, me.user, found(me, given, archived=True), False)
        return success()

    @routes.posting(f"{prefix}.setReadOnly", gives=family.one)
    async def set_read_only(me: Me, given: Annotated[m.ReadOnlyBody, body(m.ReadOnlyBody)]) -> Response:
        return shown(me, actions.set_read_only(me.tenant, me.user, found(me, given), given.readOnly))

    @routes.posting(f"{prefix}.setType", gives=family.one)
    async def set_type(me: Me, given: Annotated[m.TypeBody, body(m.TypeBody)]) -> Response:
        kind: Literal["channel", "group"] = "channel" if given.type == "c" else "group"
        return shown(me, actions.set_kind(me.tenant, me.user, found(me, given), kind))

    # Who is in it

    @routes.posting(f"{prefix}.invite", gives=family.one)
    async def invite(me: Me, given: Annotated[m.InviteBody, body(m.InviteBody)]) -> Response:
        room = found(me, given)
        actions.invite(me.tenant, me.user, room, _invited(me, given))
        return shown(me, room)

    @routes.posting(f"{prefix}.addAll", gives=family.one)
    async def add_all(me: Me, given: Annotated[m.RoomBody, body(m.RoomBody)]) -> Response:
        room = found(me, given)
        rights.require_admin(me.user)
        everybody = me.tenant.rows("SELECT * FROM chat_users WHERE active ORDER BY username")
        actions.invite(me.tenant, me.user, room, [users.user_of_row(row) for row in everybody])
        return shown(me, room)

    @routes.posting(f"{prefix}.kick", gives=family.one)
    async def kick(me: Me, given: Annotated[m.MemberBody, body(m.MemberBody)]) -> Response:
        room = found(me, given)
        actions.kick(me.tenant, me.user, room, users.require(me.tenant, given.userId, given.username))
        return shown(me, room)

    @routes.posting(f"{prefix}.leave", gives=family.one)
    async def leave(me: Me, given: Annotated[m.RoomBody, body(m.RoomBody)]) -> Response:
        room = found(me, given)
        actions.leave(me.tenant, me.user, room)
        return shown(me, room)

    @routes.posting(f"{prefix}.open")
    async def open_(me: Me, given: Annotated[m.RoomBody, body(m.RoomBody)]) -> Response:
        return set_open(me, found(me, given, archived=True), True)

    @routes.posting(f"{prefix}.close")
    async def close(me: Me, given: Annotated[m.RoomBody, body(m.RoomBody)]) -> Response:
        return set_open(me, found(me, given, archived=True), False)

    for role in rooms.ROLES:
        for verb, has in (("add", True), ("remove", False)):
            _role_route(routes, family, f"{verb}{role.capitalize()}", role, has)
    for name, field, which, model in _TEXTS:
        _text_route(routes, family, name, field, which, model)
    if family is CHANNELS:
        _channels_only(routes)
    return routes


def _role_route(routes: Routes, family: Family, name: str, role: Role, has: bool) -> None:
    @routes.posting(f"{family.prefix}.{name}")
    async def change_role(me: Me, given: Annotated[m.MemberBody, body(m.MemberBody)]) -> Response:
        room = family.find(me, given.roomId, given.roomName, archived=False)
        user = users.require(me.tenant, given.userId, given.username)
        actions.set_role(me.tenant, me.user, room, user, role, has)
        return success()


def _text_route(
    routes: Routes, family: Family, name: str, field: str, which: Text, model: type[m.RoomBody]
) -> None:
    @routes.posting(f"{family.prefix}.{name}")
    async def set_text(me: Me, given: Annotated[Any, body(model)]) -> Response:
        room = family.find(me, given.roomId, given.roomName, archived=False)
        text = getattr(given, field)
        actions.set_text(me.tenant, me.user, room, which, text)
        return success(**{field: text})


def _channels_only(routes: Routes) -> None:
    @routes.posting("channels.join", gives="channel")
    async def join(me: Me, given: Annotated[m.JoinBody, body(m.JoinBody)]) -> Response:
        room = CHANNELS.find(me, given.roomId, given.roomName, archived=False)
        store.join(me.tenant, room, me.user, given.joinCode or "")
        return success(channel=shapes.room(me.tenant, room, me.user))

    @routes.posting("channels.setDefault", gives="channel")
    async def set_default(me: Me, given: Annotated[m.DefaultBody, body(m.DefaultBody)]) -> Response:
        room = CHANNELS.find(me, given.roomId, given.roomName, archived=False)
        changed = actions.set_default(me.tenant, me.user, room, given.default)
        return success(channel=shapes.room(me.tenant, changed, me.user))

    @routes.posting("channels.setJoinCode", gives="channel")
    async def set_join_code(me: Me, given: Annotated[m.JoinCodeBody, body(m.JoinCodeBody)]) -> Response:
        room = CHANNELS.find(me, given.roomId, given.roomName, archived=False)
        changed = actions.set_join_code(me.tenant, me.user, room, given.joinCode)
        return success(channel=shapes.room(me.tenant, changed, me.user))


def set_open(me: Caller, room: Room, open: bool) -> Response:
    """Show a room in one's list, or not."""
    mine = rooms.membership(me.tenant, room.id, me.user.username)
    if mine is None:
        raise Failed(f'The user/callee is not in the {room.kind} "{room.name}".')
    if mine.open == open:
        state = "open" if open else "closed"
        raise Failed(f"The {room.kind}, {room.name}, is already {state} to the sender")
    rooms.mark(me.tenant, room.id, me.user.username, open=open)
    return success()


def _invited(me: Caller, given: m.InviteBody) -> list[User]:
    if given.userId or given.username:
        return [users.require(me.tenant, given.userId, given.username)]
    people = [users.by_id(me.tenant, each) for each in given.userIds or ()]
    people += [users.by_username(me.tenant, each) for each in given.usernames or ()]
    found = [user for user in people if user is not None]
    if not found:
        raise Refused("invalid-user-invite-list", "Cannot invite if no users are provided")
    return found
