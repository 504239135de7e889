"""rooms.*, subscriptions.*, roles given and taken, and searching for people and rooms."""

from typing import Annotated, Any

from fastapi import Query, Response

from tac_rl.office.chat import actions, messages, rights, rooms, shapes, users
from tac_rl.office.chat import models as m
from tac_rl.office.chat.api_rooms_read import ROOM_COLUMNS
from tac_rl.office.chat.api_users import GLOBAL_ROLES
from tac_rl.office.chat.calls import Caller, InRoom, Me, Paged, body, success
from tac_rl.office.chat.refusals import Refused, unauthorized
from tac_rl.office.chat.rooms import Membership, Room
from tac_rl.office.chat.routing import Routes
from tac_rl.office.chat.times import now_ms, parse_ms
from tac_rl.office.chat.unread import Unread, unread_of
from tac_rl.office.tenant import Tenant

_MINE = "EXISTS (SELECT 1 FROM chat_members m WHERE m.room = r.id AND m.username = ?)"

routes = Routes()


@routes.getting("rooms.get", gives="updates")
async def rooms_get(me: Me, updatedSince: str | None = None) -> Response:
    found, _ = rooms.page(me.tenant, _MINE, [me.user.username])
    listed = shapes.room_list(me.tenant, found, me.user)
    return success(update=_since(listed, updatedSince), remove=[])


@routes.getting("rooms.info", gives="room")
async def rooms_info(me: Me, key: InRoom) -> Response:
    return success(room=shapes.room(me.tenant, _room(me, key.roomId, key.roomName), me.user))


@routes.getting("rooms.adminRooms", gives="rooms")
async def rooms_admin_rooms(
    me: Me, paging: Paged, filter: str = "", types: Annotated[list[str] | None, Query()] = None
) -> Response:
    rights.require_admin(me.user)
    letters = {letter: kind for kind, letter in shapes.LETTERS.items()}
    kinds = [letters[letter] for letter in types or () if letter in letters] or list(shapes.LETTERS)
    marks = ",".join("?" * len(kinds))
    found, total = rooms.page(
        me.tenant,
        f"r.kind IN ({marks}) AND instr(lower(coalesce(r.name, '')), lower(?))",
        [*kinds, filter] if filter else [*kinds, ""],
        offset=paging.offset,
        count=paging.count,
        order=paging.order(ROOM_COLUMNS, "r.name"),
    )
    return paging.answer("rooms", shapes.room_list(me.tenant, found, me.user), total)


@routes.posting("rooms.favorite")
async def rooms_favorite(me: Me, given: Annotated[m.FavoriteBody, body(m.FavoriteBody)]) -> Response:
    room = _room(me, given.roomId, given.roomName)
    rooms.mark(me.tenant, room.id, me.user.username, favorite=given.favorite)
    return success()


@routes.posting("rooms.leave")
async def rooms_leave(me: Me, given: Annotated[m.RoomBody, body(m.RoomBody)]) -> Response:
    actions.leave(me.tenant, me.user, _room(me, given.roomId, given.roomName))
    return success()


# Subscriptions: what I keep of the rooms that I am in


@routes.getting("subscriptions.get", gives="subscriptions")
async def subscriptions_get(me: Me, updatedSince: str | None = None) -> Response:
    mine = rooms.memberships_of(me.tenant, me.user.username)
    return success(update=_since(_subscriptions(me, mine), updatedSince), remove=[])


@routes.getting("subscriptions.getOne", gives="subscription")
async def subscriptions_get_one(me: Me, roomId: str) -> Response:
    mine = rooms.membership(me.tenant, roomId, me.user.username)
    return success(subscription=_subscriptions(me, [mine])[0] if mine else None)


@routes.posting("subscriptions.read")
async def subscriptions_read(me: Me, given: Annotated[m.ReadBody, body(m.ReadBody)]) -> Response:
    room = _room(me, given.rid or given.roomId, None)
    mark_read(me.tenant, room, me.user.username)
    return success()


@routes.posting("subscriptions.unread")
async def subscriptions_unread(me: Me, given: Annotated[m.ReadBody, body(m.ReadBody)]) -> Response:
    """The last message that somebody else wrote counts as unread again."""
    room = _room(me, given.roomId or given.rid, None)
    last = messages.select(
        me.tenant, "m.room = ? AND m.author != ? AND m.kind = ''", [room.id, me.user.username], count=1
    )
    if not last:
        raise Refused("error-action-not-allowed", "There are no messages to mark unread")
    rooms.mark(me.tenant, room.id, me.user.username, seen=last[0].at - 1)
    return success()


# Roles


@routes.posting("roles.addUserToRole")
async def roles_add(me: Me, given: Annotated[m.RoleBody, body(m.RoleBody)]) -> Response:
    return _give_role(me, given, True)


@routes.posting("roles.removeUserFromRole")
async def roles_remove(me: Me, given: Annotated[m.RoleBody, body(m.RoleBody)]) -> Response:
    return _give_role(me, given, False)


# Searching


@routes.getting("spotlight")
async def spotlight(me: Me, query: str) -> Response:
    """`@` before the words finds people only, `#` rooms only."""
    words = query.lstrip("@#")
    people = [] if query.startswith("#") else _people(me, words)[:5]
    found = [] if query.startswith("@") else _channels(me, words)[:5]
    listed = [{"_id": room.id, "name": room.name, "t": shapes.LETTERS[room.kind]} for room in found]
    return success(users=people, rooms=listed)


@routes.getting("directory")
async def directory(
    me: Me, paging: Paged, text: str = "", type: str = "channels", workspace: str = "local"
) -> Response:
    """People or channels whose name holds the text; both may stand in `query` as JSON too."""
    text = str(paging.query.get("text") or text)
    kind = str(paging.query.get("type") or type)
    found: list[dict[str, Any]]
    if kind == "users":
        found = _people(me, text)
    else:
        found = shapes.room_list(me.tenant, _channels(me, text), me.user)
    part = found[paging.offset : None if paging.count is None else paging.offset + paging.count]
    return paging.answer("result", part, len(found))


# Inside


def mark_read(tenant: Tenant, room: Room, username: str) -> None:
    """Up to the last message, also where the clock is behind it."""
    last = tenant.value("SELECT max(at) FROM chat_messages WHERE room = ?", room.id)
    rooms.mark(tenant, room.id, username, seen=max(now_ms(tenant), last or 0))


def _room(me: Caller, room_id: str | None, name: str | None) -> Room:
    """A room of any kind that I may read."""
    room = rooms.by_id(me.tenant, room_id) if room_id else rooms.by_name(me.tenant, name or "")
    if room is None or not rights.may_read(me.tenant, me.user, room):
        raise Refused(
            "error-room-not-found",
            'The required "roomId" or "roomName" param provided does not match any channel',
        )
    return room


def _since(listed: list[dict[str, Any]], updated_since: str | None) -> list[dict[str, Any]]:
    if not updated_since:
        return listed
    since = parse_ms(updated_since, "updatedSince")
    return [shape for shape in listed if parse_ms(shape["_updatedAt"], "_updatedAt") > since]


def _subscriptions(me: Caller, mine: list[Membership]) -> list[dict[str, Any]]:
    ids = [each.room for each in mine]
    marks = ",".join("?" * len(ids))
    found, _ = rooms.page(me.tenant, f"r.id IN ({marks})", ids)
    by_id = {room.id: room for room in found}
    unread = unread_of(me.tenant, me.user)
    direct = rooms.people_of(me.tenant, [room.id for room in found if room.kind == "direct"])
    return [
        shapes.subscription(
            each,
            by_id[each.room],
            me.user,
            unread.get(each.room, Unread()),
            [user for user in direct.get(each.room, ()) if user.id != me.user.id] or [me.user],
        )
        for each in mine
    ]


def _give_role(me: Caller, given: m.RoleBody, has: bool) -> Response:
    role, room_id = given.roleId or given.roleName or "", given.roomId or given.scope
    user = users.require(me.tenant, None, given.username)
    for room_role in rooms.ROLES:
        if role == room_role:
            if not room_id:
                raise Refused("error-invalid-room", "A role of rooms needs a roomId")
            actions.set_role(me.tenant, me.user, _room(me, room_id, None), user, room_role, has)
            return success(role={"_id": role, "name": role, "scope": "Subscriptions"})
    if role not in GLOBAL_ROLES:
        raise Refused("error-invalid-roleId", "This role does not exist")
    if not me.user.admin:
        raise unauthorized()
    if has == (role in user.roles):
        kind, text = ("already-in", "already in") if has else ("not-in", "not in")
        raise Refused(f"error-user-{kind}-role", f"User is {text} role")
    if not has and role == "admin" and _admins(me.tenant) == 1:
        raise Refused("error-admin-required", "You need to have at least one admin")
    roles = (*user.roles, role) if has else tuple(each for each in user.roles if each != role)
    users.update(me.tenant, user, roles=roles)
    return success(role={"_id": role, "name": role, "scope": "Users"})


def _admins(tenant: Tenant) -> int:
    found: int = tenant.value("SELECT count(*) FROM chat_users WHERE ' ' || roles || ' ' LIKE '% admin %'")
    return found


def _people(me: Caller, words: str) -> list[dict[str, Any]]:
    rows = me.tenant.rows(
        "SELECT * FROM chat_users WHERE active AND"
        " (instr(lower(username), lower(?1)) OR instr(lower(name), lower(?1))) ORDER BY username",
        words,
    )
    return [shapes.user_public(users.user_of_row(row)) for row in rows]


def _channels(me: Caller, words: str) -> list[Room]:
    found, _ = rooms.page(
        me.tenant,
        f"(r.kind = 'channel' OR r.kind = 'group' AND {_MINE}) AND instr(lower(r.name), lower(?))",
        [me.user.username, words],
    )
    return found
