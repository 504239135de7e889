"""chat.*: finding messages: by text, of a thread, pinned, starred, mentioning me, changed since."""

from typing import Annotated

from fastapi import Query, Response

from tac_rl.office.chat import actions, messages, rights, rooms, shapes
from tac_rl.office.chat.api_rooms_read import page_of
from tac_rl.office.chat.calls import Caller, Me, Paged, success
from tac_rl.office.chat.messages import CONTAINING, FOLLOWED_BY, MENTIONING, STARRED_BY, Message
from tac_rl.office.chat.refusals import Refused
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.routing import Routes
from tac_rl.office.chat.times import iso, parse_ms

routes = Routes()


@routes.getting("chat.search", gives="history")
async def search(
    me: Me, paging: Paged, roomId: str, searchText: Annotated[str, Query(min_length=1)]
) -> Response:
    room = _readable(me, roomId)
    found = messages.select(
        me.tenant,
        f"m.room = ? AND m.kind = '' AND {CONTAINING}",
        [room.id, searchText],
        offset=paging.offset,
        count=paging.count,
    )
    return success(messages=shapes.message_list(me.tenant, found, me.user))


@routes.getting("chat.getPinnedMessages", gives="messages")
async def pinned(me: Me, paging: Paged, roomId: str) -> Response:
    return page_of(me, "m.room = ? AND m.pinned IS NOT NULL", [_readable(me, roomId).id], paging)


@routes.getting("chat.getStarredMessages", gives="messages")
async def starred(me: Me, paging: Paged, roomId: str) -> Response:
    return page_of(me, f"m.room = ? AND {STARRED_BY}", [_readable(me, roomId).id, me.user.id], paging)


@routes.getting("chat.getMentionedMessages", gives="messages")
async def mentioned(me: Me, paging: Paged, roomId: str) -> Response:
    return page_of(me, f"m.room = ? AND {MENTIONING}", [_readable(me, roomId).id, me.user.id], paging)


# Threads


@routes.getting("chat.getThreadsList", gives="threads")
async def threads_list(me: Me, paging: Paged, rid: str, type: str = "", text: str = "") -> Response:
    room = _readable(me, rid)
    where, arguments = f"m.room = ? AND {_STARTS_A_THREAD}", [room.id]
    if type == "following":
        where, arguments = f"{where} AND {FOLLOWED_BY}", [*arguments, me.user.id]
    if text:
        where, arguments = f"{where} AND {CONTAINING}", [*arguments, text]
    return page_of(me, where, arguments, paging, name="threads", order="last_reply DESC, m.rowid DESC")


@routes.getting("chat.getThreadMessages", gives="messages")
async def thread_messages(me: Me, paging: Paged, tmid: str) -> Response:
    start = _thread(me, tmid)
    return page_of(me, "m.thread = ?", [start.id], paging, order="m.at, m.rowid")


# Changed since


@routes.getting("chat.syncThreadsList")
async def sync_threads_list(me: Me, rid: str, updatedSince: str) -> Response:
    room, since = _readable(me, rid), parse_ms(updatedSince, "updatedSince")
    found = messages.select(
        me.tenant, f"m.room = ? AND m.updated > ? AND {_STARTS_A_THREAD}", [room.id, since]
    )
    return success(threads={"update": shapes.message_list(me.tenant, found, me.user), "remove": []})


@routes.getting("chat.syncThreadMessages")
async def sync_thread_messages(me: Me, tmid: str, updatedSince: str) -> Response:
    start, since = _thread(me, tmid), parse_ms(updatedSince, "updatedSince")
    found = messages.select(
        me.tenant, "m.thread = ? AND m.updated > ?", [start.id, since], order="m.at, m.rowid"
    )
    return success(messages={"update": shapes.message_list(me.tenant, found, me.user), "remove": []})


@routes.getting("chat.syncMessages")
async def sync_messages(me: Me, roomId: str, lastUpdate: str) -> Response:
    room, since = _readable(me, roomId), parse_ms(lastUpdate, "lastUpdate")
    updated = messages.select(me.tenant, "m.room = ? AND m.updated > ?", [room.id, since])
    deleted = me.tenant.rows(
        "SELECT * FROM chat_deleted WHERE room = ? AND at > ? ORDER BY at", room.id, since
    )
    return success(
        result={
            "updated": shapes.message_list(me.tenant, updated, me.user),
            "deleted": [{"_id": row["id"], "_deletedAt": iso(row["at"])} for row in deleted],
        }
    )


@routes.getting("chat.getDeletedMessages")
async def deleted(me: Me, paging: Paged, roomId: str, since: str) -> Response:
    room, after = _readable(me, roomId), parse_ms(since, "since")
    total = me.tenant.value("SELECT count(*) FROM chat_deleted WHERE room = ? AND at > ?", room.id, after)
    rows = me.tenant.rows(
        "SELECT id FROM chat_deleted WHERE room = ? AND at > ? ORDER BY at, id LIMIT ? OFFSET ?",
        room.id,
        after,
        -1 if paging.count is None else paging.count,
        paging.offset,
    )
    return paging.answer("messages", [{"_id": row["id"]} for row in rows], total)


_STARTS_A_THREAD = "EXISTS (SELECT 1 FROM chat_messages r WHERE r.thread = m.id)"


def _readable(me: Caller, room_id: str) -> Room:
    return rights.require_read(me.tenant, me.user, rooms.by_id(me.tenant, room_id))


def _thread(me: Caller, message_id: str) -> Message:
    try:
        return actions.require_message(me.tenant, me.user, message_id)
    except Refused as refused:
        if refused.kind == "error-message-not-found":
            raise Refused("error-invalid-message", "Invalid Message") from None
        raise
