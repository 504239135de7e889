"""im.* and dm.*: direct rooms. Where Rocket.Chat wants the id of one, the other person's id or name will do."""

from typing import Annotated

from fastapi import Query, Response

from tac_rl.office.chat import actions, rights, rooms, shapes, users
from tac_rl.office.chat import models as m
from tac_rl.office.chat.api_rooms_change import set_open
from tac_rl.office.chat.api_rooms_read import (
    ROOM_COLUMNS,
    counters_of,
    files_of,
    history_of,
    members_of,
    messages_of,
)
from tac_rl.office.chat.calls import Caller, Me, Paged, Paging, body, query, success
from tac_rl.office.chat.refusals import Refused
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.routing import Routes

routes = Routes()


def _both(name: str) -> tuple[str, str]:
    return f"im.{name}", f"dm.{name}"


@routes.getting(*_both("list"), gives="ims")
async def list_(me: Me, paging: Paged) -> Response:
    where = "EXISTS (SELECT 1 FROM chat_members m WHERE m.room = r.id AND m.username = ?)"
    return _listed(me, where, [me.user.username], paging)


@routes.getting(*_both("list.everyone"), gives="ims")
async def list_everyone(me: Me, paging: Paged) -> Response:
    rights.require_admin(me.user)
    return _listed(me, "1", [], paging)


@routes.posting(*_both("create"), gives="room")
async def create(me: Me, given: Annotated[m.DirectCreateBody, body(m.DirectCreateBody)]) -> Response:
    names = [given.username] if given.username else (given.usernames or "").split(",")
    names = [name.strip() for name in names if name and name.strip()]
    if not names:
        raise Refused("error-room-not-found", 'The required "username" or "usernames" param was not provided')
    people = [] if given.excludeSelf and me.user.admin else [me.user]
    for name in names:
        user = users.by_username(me.tenant, name)
        if user is None:
            raise Refused("error-invalid-user", "Invalid user")
        people.append(user)
    room = rooms.direct(me.tenant, people)
    return success(room={**shapes.room(me.tenant, room, me.user), "rid": room.id})


@routes.posting(*_both("delete"))
async def delete(me: Me, given: Annotated[m.DirectBody, body(m.DirectBody)]) -> Response:
    room = _require(me, given.roomId, given.username)
    actions.delete_room(me.tenant, me.user, room)
    return success()


@routes.getting(*_both("history"), gives="history")
async def history(
    me: Me,
    paging: Paged,
    given: Annotated[m.HistoryQuery, query(m.HistoryQuery)],
    roomId: Annotated[str, Query(description="Of the room, or of the person on its other side")],
) -> Response:
    room = _find(me, roomId)
    if room is None:
        return success(messages=[])
    return history_of(me, room, paging, given)


@routes.getting(*_both("messages"), gives="messages")
async def messages_(
    me: Me, paging: Paged, roomId: str | None = None, username: str | None = None
) -> Response:
    room = _find(me, roomId or username)
    return paging.answer("messages", [], 0) if room is None else messages_of(me, room, paging)


@routes.getting(*_both("messages.others"))
async def messages_others(me: Me, roomId: str) -> Response:
    """What others write to each other is nobody's business, as is Rocket.Chat's default."""
    raise Refused("error-endpoint-disabled", "This endpoint is disabled")


@routes.getting(*_both("members"), gives="members")
async def members(
    me: Me, paging: Paged, roomId: str | None = None, username: str | None = None, filter: str = ""
) -> Response:
    return members_of(me, _require(me, roomId, username), paging, filter)


@routes.getting(*_both("files"), gives="files")
async def files(me: Me, paging: Paged, roomId: str | None = None, username: str | None = None) -> Response:
    return files_of(me, _require(me, roomId, username), paging)


@routes.getting(*_both("counters"), gives="counters")
async def counters(me: Me, roomId: str, userId: str | None = None) -> Response:
    return counters_of(me, _require(me, roomId, None), userId)


@routes.posting(*_both("open"))
async def open_(me: Me, given: Annotated[m.DirectBody, body(m.DirectBody)]) -> Response:
    room = _require(me, given.roomId, given.username)
    rooms.mark(me.tenant, room.id, me.user.username, open=True)
    return success()


@routes.posting(*_both("close"))
async def close(me: Me, given: Annotated[m.DirectBody, body(m.DirectBody)]) -> Response:
    return set_open(me, _require(me, given.roomId, given.username), False)


@routes.posting(*_both("setTopic"))
async def set_topic(me: Me, given: Annotated[m.DirectTopicBody, body(m.DirectTopicBody)]) -> Response:
    room = _require(me, given.roomId, given.username)
    actions.set_text(me.tenant, me.user, room, "topic", given.topic)
    return success(topic=given.topic)


def _listed(me: Caller, where: str, arguments: list[str], paging: Paging) -> Response:
    found, total = rooms.page(
        me.tenant,
        f"r.kind = 'direct' AND {where}",
        arguments,
        offset=paging.offset,
        count=paging.count,
        order=paging.order(ROOM_COLUMNS, "r.created"),
    )
    return paging.answer("ims", shapes.room_list(me.tenant, found, me.user), total)


def _find(me: Caller, key: str | None) -> Room | None:
    """The direct room that this names; None where it names a person with whom there is none yet."""
    if not key:
        raise Refused("error-room-param-not-provided", 'Query param "roomId" or "username" is required')
    peer = users.by_any(me.tenant, key)
    if peer is not None:
        return rooms.direct_between(me.tenant, me.user, peer)
    room = rooms.by_id(me.tenant, key)
    if room is None or room.kind != "direct" or not rights.may_read(me.tenant, me.user, room):
        raise _not_found()
    return room


def _require(me: Caller, room_id: str | None, username: str | None) -> Room:
    room = _find(me, room_id or username)
    if room is None:
        raise _not_found()
    return room


def _not_found() -> Refused:
    return Refused(
        "error-room-not-found", 'The required "roomId" param provided does not match any direct message'
    )
