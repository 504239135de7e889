"""chat.*: writing, changing and marking messages."""

from typing import Annotated, Any

from fastapi import Response

from tac_rl.office.chat import actions, messages, rights, rooms, shapes, store, users
from tac_rl.office.chat import models as m
from tac_rl.office.chat.calls import Caller, Me, body, success
from tac_rl.office.chat.messages import Message
from tac_rl.office.chat.refusals import Failed, Refused, forbidden
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.routing import Routes
from tac_rl.office.chat.times import now_ms

routes = Routes()


@routes.posting("chat.postMessage", gives="posted")
async def post_message(me: Me, given: Annotated[m.PostMessageBody, body(m.PostMessageBody)]) -> Response:
    """To one room or to several; the answer is about the first."""
    keys = [(key, True) for key in _several(given.roomId)]
    keys = keys or [(key, False) for key in _several(given.channel)]
    if not keys:
        raise Failed("roomId or channel param not provided")
    extra = _extra(given.alias, given.emoji, given.avatar, given.attachments)
    text = (given.text or given.msg or "").strip()
    addressed = [_addressed(me, key, by_id) for key, by_id in keys]
    posted = [
        store.post_message(
            me.tenant, room.id, me.user.username, text, thread=given.tmid, shown=given.tshow, extra=extra
        )
        for room in addressed
    ]
    return success(
        ts=posted[0].at,
        channel=addressed[0].name or keys[0][0],
        message=shapes.message(me.tenant, posted[0], me.user),
    )


@routes.posting("chat.sendMessage", gives="message")
async def send_message(me: Me, given: Annotated[m.SendMessageBody, body(m.SendMessageBody)]) -> Response:
    out = given.message
    if rooms.membership(me.tenant, out.rid, me.user.username) is None:
        raise forbidden()
    sent = store.post_message(
        me.tenant,
        out.rid,
        me.user.username,
        out.msg,
        thread=out.tmid,
        shown=out.tshow,
        message_id=out.id,
        extra=_extra(out.alias, out.emoji, out.avatar, out.attachments),
    )
    return success(message=shapes.message(me.tenant, sent, me.user))


@routes.posting("chat.update", gives="message")
async def update(me: Me, given: Annotated[m.UpdateMessageBody, body(m.UpdateMessageBody)]) -> Response:
    found = _in_room(me, given.roomId, given.msgId)
    changed = actions.edit(me.tenant, me.user, found, given.text)
    return success(message=shapes.message(me.tenant, changed, me.user))


@routes.posting("chat.delete", gives="deleted")
async def delete(me: Me, given: Annotated[m.DeleteMessageBody, body(m.DeleteMessageBody)]) -> Response:
    found = _in_room(me, given.roomId, given.msgId)
    actions.delete(me.tenant, me.user, found)
    author = {"_id": found.author_id, "username": found.author, "name": found.author_name}
    gone = {"_id": found.id, "rid": found.room, "u": author}
    return success(_id=found.id, ts=now_ms(me.tenant), message=gone)


@routes.getting("chat.getMessage", gives="message")
async def get_message(me: Me, msgId: str) -> Response:
    found = messages.by_id(me.tenant, msgId)
    room = None if found is None else rooms.by_id(me.tenant, found.room)
    if found is None or room is None or not rights.may_read(me.tenant, me.user, room):
        raise Failed(f'No message found with the id of "{msgId}".')
    return success(message=shapes.message(me.tenant, found, me.user))


@routes.posting("chat.react")
async def react(me: Me, given: Annotated[m.ReactBody, body(m.ReactBody)]) -> Response:
    found = actions.require_message(me.tenant, me.user, given.messageId)
    emoji = (given.emoji or given.reaction or "").strip(":")
    if not emoji:
        raise Refused("error-emoji-param-not-provided", 'The required "emoji" param is missing.')
    if not messages.is_emoji(emoji):
        raise Refused("error-not-allowed", "Invalid emoji provided.")
    messages.react(me.tenant, found, f":{emoji}:", me.user.username, given.shouldReact)
    return success()


@routes.posting("chat.pinMessage", gives="message")
async def pin_message(me: Me, given: Annotated[m.MessageBody, body(m.MessageBody)]) -> Response:
    found = actions.require_message(me.tenant, me.user, given.messageId)
    notice = actions.pin(me.tenant, me.user, found)
    return success(message=shapes.message(me.tenant, notice, me.user))


@routes.posting("chat.unPinMessage")
async def unpin_message(me: Me, given: Annotated[m.MessageBody, body(m.MessageBody)]) -> Response:
    actions.unpin(me.tenant, me.user, actions.require_message(me.tenant, me.user, given.messageId))
    return success()


@routes.posting("chat.starMessage")
async def star_message(me: Me, given: Annotated[m.MessageBody, body(m.MessageBody)]) -> Response:
    found = actions.require_message(me.tenant, me.user, given.messageId)
    messages.star(me.tenant, found, me.user, True)
    return success()


@routes.posting("chat.unStarMessage")
async def unstar_message(me: Me, given: Annotated[m.MessageBody, body(m.MessageBody)]) -> Response:
    found = actions.require_message(me.tenant, me.user, given.messageId)
    messages.star(me.tenant, found, me.user, False)
    return success()


@routes.posting("chat.followMessage")
async def follow_message(me: Me, given: Annotated[m.FollowBody, body(m.FollowBody)]) -> Response:
    found = actions.require_message(me.tenant, me.user, given.mid)
    messages.follow(me.tenant, found, me.user, True)
    return success()


@routes.posting("chat.unfollowMessage")
async def unfollow_message(me: Me, given: Annotated[m.FollowBody, body(m.FollowBody)]) -> Response:
    found = actions.require_message(me.tenant, me.user, given.mid)
    messages.follow(me.tenant, found, me.user, False)
    return success()


def _several(given: str | list[str] | None) -> list[str]:
    return ([given] if given else []) if isinstance(given, str) else [key for key in given or () if key]


def _addressed(me: Caller, key: str, by_id: bool) -> Room:
    """The room behind `roomId`, or behind `#name`, `@username`, or a name or id without a sign before it."""
    if by_id:
        room = rooms.by_id(me.tenant, key)
    elif key.startswith("#"):
        room = rooms.by_any(me.tenant, key[1:])
    elif key.startswith("@"):
        room = None
    else:
        room = rooms.by_any(me.tenant, key)
    if room is None:
        peer = users.by_any(me.tenant, key.removeprefix("@")) if not key.startswith("#") else None
        if peer is None:
            raise Refused("invalid-channel")
        room = rooms.direct(me.tenant, [me.user, peer])
    if not rights.may_read(me.tenant, me.user, room):
        raise Refused("error-not-allowed", "The user is not allowed to post in this room")
    return room


def _extra(
    alias: str | None, emoji: str | None, avatar: str | None, attachments: list[dict[str, Any]] | None
) -> dict[str, Any]:
    given = {"alias": alias, "emoji": emoji, "avatar": avatar, "attachments": attachments}
    return {name: value for name, value in given.items() if value}


def _in_room(me: Caller, room_id: str, message_id: str) -> Message:
    found = messages.by_id(me.tenant, message_id)
    if found is None:
        raise Failed(f'No message found with the id of "{message_id}".')
    if found.room != room_id:
        raise Failed("The room id provided does not match where the message is from.")
    rights.require_read(me.tenant, me.user, rooms.by_id(me.tenant, found.room))
    return found
