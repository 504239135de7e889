"""channels.* and groups.*: what can be read of them."""

from typing import Annotated

from fastapi import Response

from tac_rl.office.chat import messages, rights, rooms, shapes, users
from tac_rl.office.chat.calls import Caller, InRoom, Me, Paged, Paging, query, success
from tac_rl.office.chat.families import Family
from tac_rl.office.chat.models import HistoryQuery
from tac_rl.office.chat.refusals import Failed, Refused, forbidden
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.routing import Routes
from tac_rl.office.chat.times import iso, parse_ms
from tac_rl.office.chat.unread import Unread, unread_of
from tac_rl.office.chat.users import User

ROOM_COLUMNS = {"name": "r.name", "ts": "r.created", "_updatedAt": "r.updated", "_id": "r.id"}
_MEMBER = "EXISTS (SELECT 1 FROM chat_members m WHERE m.room = r.id AND m.username = ?)"


def reading(family: Family) -> Routes:
    """The family's endpoints that change nothing."""
    routes, prefix = Routes(), family.prefix

    @routes.getting(f"{prefix}.info", gives=family.one)
    async def info(me: Me, key: InRoom) -> Response:
        room = family.find(me, key.roomId, key.roomName)
        return success(**{family.one: shapes.room(me.tenant, room, me.user)})

    @routes.getting(f"{prefix}.history", gives="history")
    async def history(
        me: Me,
        key: InRoom,
        paging: Paged,
        given: Annotated[HistoryQuery, query(HistoryQuery)],
    ) -> Response:
        return history_of(me, family.find(me, key.roomId, key.roomName), paging, given)

    @routes.getting(f"{prefix}.messages", gives="messages")
    async def messages_(me: Me, key: InRoom, paging: Paged) -> Response:
        return messages_of(me, family.find(me, key.roomId, key.roomName), paging)

    @routes.getting(f"{prefix}.members", gives="members")
    async def members(me: Me, key: InRoom, paging: Paged, filter: str = "") -> Response:
        return members_of(me, family.find(me, key.roomId, key.roomName), paging, filter)

    @routes.getting(f"{prefix}.moderators", gives="moderators")
    async def moderators(me: Me, key: InRoom) -> Response:
        room = family.find(me, key.roomId, key.roomName)
        people = {user.username: user for user in rooms.people_of(me.tenant, [room.id])[room.id]}
        having = [m.username for m in rooms.memberships(me.tenant, room.id) if m.moderator]
        return success(moderators=[shapes.user_ref(people[name]) for name in having])

    @routes.getting(f"{prefix}.roles", gives="roles")
    async def roles(me: Me, key: InRoom) -> Response:
        room = family.find(me, key.roomId, key.roomName)
        people = {user.username: user for user in rooms.people_of(me.tenant, [room.id])[room.id]}
        listed = [
            {
                "_id": m.room + people[m.username].id,
                "rid": room.id,
                "u": shapes.user_ref(people[m.username]),
                "roles": m.roles,
            }
            for m in rooms.memberships(me.tenant, room.id)
            if m.roles
        ]
        return success(roles=listed)

    @routes.getting(f"{prefix}.online", gives="online")
    async def online(me: Me, key: InRoom, paging: Paged, _id: str | None = None) -> Response:
        room_id = _id or key.roomId or paging.query.get("_id")
        name = key.roomName or paging.query.get("name")
        if not isinstance(room_id, str | None) or not isinstance(name, str | None) or not (room_id or name):
            raise Failed("Invalid query")
        room = family.find(me, room_id, name)
        people = rooms.people_of(me.tenant, [room.id])[room.id]
        listed = [user for user in people if user.active and user.status != "offline"]
        return success(online=[{"_id": user.id, "username": user.username} for user in listed])

    @routes.getting(f"{prefix}.counters", gives="counters")
    async def counters(me: Me, key: InRoom, userId: str | None = None) -> Response:
        return counters_of(me, family.find(me, key.roomId, key.roomName), userId)

    @routes.getting(f"{prefix}.files", gives="files")
    async def files(me: Me, key: InRoom, paging: Paged) -> Response:
        return files_of(me, family.find(me, key.roomId, key.roomName), paging)

    @routes.getting(f"{prefix}.getAllUserMentionsByChannel", gives="mentions")
    async def mentions(me: Me, key: InRoom, paging: Paged) -> Response:
        room = family.find(me, key.roomId, key.roomName)
        where = f"m.room = ? AND {messages.MENTIONING}"
        return page_of(me, where, [room.id, me.user.id], paging, name="mentions", order="m.at, m.rowid")

    mine = "list.joined" if family.kind == "channel" else "list"

    @routes.getting(f"{prefix}.{mine}", gives=prefix, errors=(404,) if family.kind == "channel" else ())
    async def joined(me: Me, paging: Paged) -> Response:
        where, arguments = f"r.kind = '{family.kind}' AND {_MEMBER}", [me.user.username]
        if family.kind == "channel" and rooms.page(me.tenant, where, arguments, count=0)[1] == 0:
            raise Failed("Resource not found", 404)
        return _listed(me, family, where, arguments, paging)

    every = "list" if family.kind == "channel" else "listAll"

    @routes.getting(f"{prefix}.{every}", gives=prefix)
    async def list_(me: Me, paging: Paged) -> Response:
        if family.kind == "group":
            rights.require_admin(me.user)
        return _listed(me, family, f"r.kind = '{family.kind}'", [], paging)

    return routes


def _listed(me: Caller, family: Family, where: str, arguments: list[str], paging: Paging) -> Response:
    more, values = paging.where({"_id": "r.id", "name": "r.name"})
    found, total = rooms.page(
        me.tenant,
        where + more,
        [*arguments, *values],
        offset=paging.offset,
        count=paging.count,
        order=paging.order(ROOM_COLUMNS, "r.name"),
    )
    return paging.answer(family.prefix, shapes.room_list(me.tenant, found, me.user), total)


# What rooms of every kind answer


def history_of(me: Caller, room: Room, paging: Paging, given: HistoryQuery) -> Response:
    """Messages, the newest first; `unreads` adds the first of them that this person hasn't read."""
    since = parse_ms(given.oldest, "oldest") if given.oldest else None
    found = messages.history(
        me.tenant,
        room.id,
        oldest=since,
        latest=parse_ms(given.latest, "latest") if given.latest else None,
        inclusive=given.inclusive == "true",
        replies=given.showThreadMessages == "true",
        offset=paging.offset,
        count=paging.count,
    )
    listed = shapes.message_list(me.tenant, found, me.user)
    if given.unreads != "true" or since is None:
        return success(messages=listed)
    where, arguments = "m.room = ? AND m.at > ?", [room.id, since]
    if found:
        where += " AND m.at < ?"
        arguments.append(found[-1].at)
    first = messages.select(me.tenant, where, arguments, count=1, order="m.at, m.rowid")
    not_loaded = messages.how_many(me.tenant, where, arguments)
    return success(
        messages=listed,
        unreadNotLoaded=not_loaded,
        firstUnread=shapes.message(me.tenant, first[0], me.user) if first else None,
    )


def page_of(
    me: Caller,
    where: str,
    arguments: list[str],
    paging: Paging,
    *,
    name: str = "messages",
    order: str = "m.at DESC, m.rowid DESC",
) -> Response:
    """A page of the messages for which `where` holds."""
    found = messages.select(
        me.tenant, where, arguments, offset=paging.offset, count=paging.count, order=order
    )
    total = messages.how_many(me.tenant, where, arguments)
    return paging.answer(name, shapes.message_list(me.tenant, found, me.user), total)


def messages_of(me: Caller, room: Room, paging: Paging) -> Response:
    order = paging.order({"ts": "m.at", "_updatedAt": "m.updated"}, "m.at DESC, m.rowid DESC")
    more, values = paging.where({"u.username": "m.author", "t": "m.kind", "tmid": "m.thread", "_id": "m.id"})
    return page_of(me, "m.room = ?" + more, [room.id, *values], paging, order=order)


def members_of(me: Caller, room: Room, paging: Paging, filter: str) -> Response:
    words = filter.lower()
    people = [
        user
        for user in rooms.people_of(me.tenant, [room.id])[room.id]
        if words in user.username.lower() or words in user.name.lower()
    ]
    backwards = paging.sort.get("username") in (-1, "-1")
    people.sort(key=lambda user: user.username, reverse=backwards)
    part = people[paging.offset : None if paging.count is None else paging.offset + paging.count]
    return paging.answer("members", [shapes.member(user) for user in part], len(people))


def counters_of(me: Caller, room: Room, user_id: str | None) -> Response:
    """What there is in a room, and what of it somebody hasn't read (others than oneself: administrators)."""
    user: User | None = me.user
    if user_id:
        if not me.user.admin:
            raise forbidden()
        user = users.by_id(me.tenant, user_id)
        if user is None:
            raise Refused("error-invalid-user", "Invalid user")
    assert user is not None
    mine = rooms.membership(me.tenant, room.id, user.username)
    counts = unread_of(me.tenant, user).get(room.id, Unread()) if mine else None
    known = mine is not None or me.user.admin
    summary = rooms.summaries(me.tenant, [room.id])[room.id]
    newest = messages.by_id(me.tenant, summary.last_message) if summary.last_message else None
    return success(
        joined=mine is not None,
        members=summary.people if known else None,
        unreads=counts.messages if counts else None,
        unreadsFrom=iso(mine.seen) if mine else None,
        msgs=summary.messages if known else None,
        latest=iso(newest.at if newest else room.updated) if known else None,
        userMentions=counts.mentions if counts else None,
    )


def files_of(me: Caller, room: Room, paging: Paging) -> Response:
    total = me.tenant.value("SELECT count(*) FROM chat_files WHERE room = ? AND message IS NOT NULL", room.id)
    rows = me.tenant.rows(
        "SELECT f.*, u.id AS user_id, u.name AS user_name FROM chat_files f"
        " JOIN chat_users u ON u.username = f.username WHERE f.room = ? AND f.message IS NOT NULL"
        f" ORDER BY {paging.order({'name': 'f.name', 'uploadedAt': 'f.at'}, 'f.name')}, f.id LIMIT ? OFFSET ?",
        room.id,
        -1 if paging.count is None else paging.count,
        paging.offset,
    )
    return paging.answer("files", [shapes.file(row) for row in rows], total)
