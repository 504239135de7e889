"""A room's pages: messages and the box to write one, its people, its threads, its settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from tac_rl.office.chat import actions, api_files, messages, rendering, rights, rooms, store, users
from tac_rl.office.chat.actions import Text
from tac_rl.office.chat.api_overview import mark_read
from tac_rl.office.chat.calls import Caller
from tac_rl.office.chat.messages import Message
from tac_rl.office.chat.refusals import Failed, Refused
from tac_rl.office.chat.rendering import Fields, Viewer, go, page
from tac_rl.office.chat.rooms import Role, Room
from tac_rl.office.chat.users import User

PER_PAGE = 50
NOTICES = {
    "uj": "joined",
    "ul": "left",
    "au": "added {}",
    "ru": "removed {}",
    "r": "renamed the room to {}",
    "room_changed_topic": "set the topic: {}",
    "room_changed_description": "set the description: {}",
    "room_changed_announcement": "set the announcement: {}",
    "room_changed_privacy": "made the room {}",
    "room-archived": "archived the room",
    "room-unarchived": "took the room out of the archive",
    "room-set-read-only": "made the room read only",
    "room-removed-read-only": "made the room writable",
    "subscription-role-added": "gave {} a role",
    "subscription-role-removed": "took a role from {}",
    "message_pinned": "pinned a message",
}
"""What stands in a room's history besides messages; {} is the notice's text."""
_ROLES: dict[str, Role] = {role: role for role in rooms.ROLES}
_TEXTS: tuple[Text, ...] = ("topic", "description", "announcement")

routes = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Place:
    """A room as its page's address names it; a direct room may not have been made yet."""

    title: str
    url: str
    room: Room | None
    people: list[User]


def _on(method: str, suffix: str = "") -> Callable[[Any], Any]:
    """Serve this at `/channel/KEY`, `/group/KEY` and `/direct/KEY`."""

    def add(function: Any) -> Any:
        for kind in ("channel", "group", "direct"):
            routes.add_api_route(f"/{kind}/{{key}}{suffix}", function, methods=[method], response_model=None)
        return function

    return add


@_on("GET")
async def room_page(me: Viewer, request: Request, key: str, before: str = "") -> Response:
    place = _place(me, request, key)
    if place.room is not None and rooms.membership(me.tenant, place.room.id, me.user.username):
        mark_read(me.tenant, place.room, me.user.username)
    return _show(me, place, before=int(before) if before.isdecimal() and len(before) < 16 else None)


@_on("POST", "/message")
async def write(me: Viewer, request: Request, key: str, given: Fields) -> Response:
    place = _place(me, request, key)
    text, thread = given.get("text", "").strip(), given.get("thread") or None
    try:
        if not text:
            raise Failed("Write something first.")
        room = place.room or rooms.direct(me.tenant, place.people)
        message = store.post_message(me.tenant, room.id, me.user.username, text, thread=thread)
    except Refused as refused:
        return _show(me, place, error=str(refused), draft=text, status=refused.status)
    return go(f"{place.url}/thread/{thread}" if thread else f"{place.url}#{message.id}")


@_on("POST", "/upload")
async def upload(me: Viewer, request: Request, key: str) -> Response:
    rendering.check_origin(request)
    place = _place(me, request, key)
    try:
        room = place.room or rooms.direct(me.tenant, place.people)
        file, given = await api_files.receive(me, room, request)
        api_files.show(me, room, file, given.get("text", ""), "", None)
    except Refused as refused:
        return _show(me, place, error=str(refused), status=refused.status)
    return go(place.url)


@_on("POST", "/join")
async def join(me: Viewer, request: Request, key: str, given: Fields) -> Response:
    place = _place(me, request, key)
    store.join(me.tenant, _made(place), me.user, given.get("code", ""))
    return go(place.url)


@_on("POST", "/leave")
async def leave(me: Viewer, request: Request, key: str, given: Fields) -> Response:
    place = _place(me, request, key)
    try:
        actions.leave(me.tenant, me.user, _made(place))
    except Refused as refused:
        return _show(me, place, error=str(refused), status=refused.status)
    return go("/home")


@_on("GET", "/thread/{message_id}")
async def thread(me: Viewer, request: Request, key: str, message_id: str) -> Response:
    place = _place(me, request, key)
    start = messages.by_id(me.tenant, message_id)
    if start is None or start.room != _made(place).id:
        raise Failed("There is no such thread here.", 404)
    replies = messages.select(me.tenant, "m.thread = ?", [start.id], order="m.at, m.rowid")
    return page("thread.html", me, place=place, start=start, messages=[start, *replies], notices=NOTICES)


@_on("GET", "/members")
async def members(me: Viewer, request: Request, key: str) -> Response:
    return _members(me, _place(me, request, key), "", 200)


@_on("POST", "/members")
async def change_members(me: Viewer, request: Request, key: str, given: Fields) -> Response:
    """`action` is invite, kick, add or remove; the last two are about a `role`."""
    place = _place(me, request, key)
    room, action = _made(place), given.get("action")
    try:
        user = users.require(me.tenant, None, given.get("username", "").strip().lstrip("@"))
        if action == "invite":
            actions.invite(me.tenant, me.user, room, [user])
        elif action == "kick":
            actions.kick(me.tenant, me.user, room, user)
        elif action in ("add", "remove") and given.get("role") in _ROLES:
            actions.set_role(me.tenant, me.user, room, user, _ROLES[given["role"]], action == "add")
        else:
            raise Failed("There is no such action.")
    except Refused as refused:
        return _members(me, place, str(refused), refused.status)
    return go(f"{place.url}/members")


@_on("GET", "/settings")
async def settings(me: Viewer, request: Request, key: str) -> Response:
    place = _place(me, request, key)
    return page("settings.html", me, place=place, room=_made(place), error="")


@_on("POST", "/settings")
async def change_settings(me: Viewer, request: Request, key: str, given: Fields) -> Response:
    place = _place(me, request, key)
    room, action = _made(place), given.get("action")
    try:
        if action == "delete":
            actions.delete_room(me.tenant, me.user, room)
            return go("/home")
        if action in ("archive", "unarchive"):
            actions.set_archived(me.tenant, me.user, room, action == "archive")
        else:
            with me.tenant.transaction():
                for which in _TEXTS:
                    if which in given and given[which] != getattr(room, which):
                        actions.set_text(me.tenant, me.user, room, which, given[which][:10_000])
                name = given.get("name", "").strip().lstrip("#")
                if name and room.name and name != room.name:
                    room = actions.rename(me.tenant, me.user, room, name)
    except Refused as refused:
        return page("settings.html", me, refused.status, place=place, room=room, error=str(refused))
    return go(rendering.url(room, me.user, place.people))


@routes.post("/message/{message_id}")
async def change_message(me: Viewer, message_id: str, given: Fields) -> Response:
    """`action` is edit (with `text`), delete, react (with `emoji`), pin or unpin."""
    message = actions.require_message(me.tenant, me.user, message_id)
    action = given.get("action")
    if action == "edit":
        actions.edit(me.tenant, me.user, message, given.get("text", "").strip())
    elif action == "delete":
        actions.delete(me.tenant, me.user, message)
    elif action == "react":
        emoji = given.get("emoji", "").strip(": ")
        if not messages.is_emoji(emoji):
            raise Failed("There is no such emoji.")
        messages.react(me.tenant, message, f":{emoji}:", me.user.username)
    elif action == "pin":
        actions.pin(me.tenant, me.user, message)
    elif action == "unpin":
        actions.unpin(me.tenant, me.user, message)
    else:
        raise Failed("There is no such action.")
    return go(given.get("next", "/home"))


@routes.get("/message/{message_id}")
async def message_page(me: Viewer, message_id: str) -> Response:
    """One message, with what can be done with it."""
    message = actions.require_message(me.tenant, me.user, message_id)
    room = rooms.by_id(me.tenant, message.room)
    assert room is not None  # it was readable
    people = rooms.people_of(me.tenant, [room.id])[room.id]
    back = rendering.url(room, me.user, people)
    may_change = message.author == me.user.username or rights.may_moderate(me.tenant, me.user, room)
    return page("message.html", me, message=message, back=back, may_change=may_change)


# Inside


def _place(me: Caller, request: Request, key: str) -> Place:
    """What the address names; refused where there is nothing, or nothing that the viewer may see."""
    kind = request.url.path.split("/")[1]
    room: Room | None
    if kind == "direct":
        peer = users.by_any(me.tenant, key)
        room = rooms.by_id(me.tenant, key) if peer is None else rooms.direct_between(me.tenant, me.user, peer)
        if room is None and peer is not None:
            return Place(peer.name, f"/direct/{quote(peer.username, safe='')}", None, [me.user, peer])
    else:
        room = rooms.by_name(me.tenant, key)
    if room is None or room.kind != kind or not rights.may_read(me.tenant, me.user, room):
        raise Failed("There is no such room, or it is not open to you.", 404)
    people = rooms.people_of(me.tenant, [room.id])[room.id]
    title = rendering.title(room, me.user, people)
    return Place(title, rendering.url(room, me.user, people), room, people)


def _made(place: Place) -> Room:
    if place.room is None:
        raise Failed("Nobody has written here yet.", 404)
    return place.room


def _show(
    me: Caller,
    place: Place,
    *,
    before: int | None = None,
    error: str = "",
    draft: str = "",
    status: int = 200,
) -> Response:
    found: list[Message] = []
    if place.room is not None:
        found = messages.history(me.tenant, place.room.id, latest=before, count=PER_PAGE + 1)
    older = found[PER_PAGE - 1].at if len(found) > PER_PAGE else None
    joined = place.room is None or any(user.id == me.user.id for user in place.people)
    return page(
        "room.html",
        me,
        status,
        place=place,
        room=place.room,
        messages=found[:PER_PAGE][::-1],
        older=older,
        joined=joined,
        error=error,
        draft=draft,
        notices=NOTICES,
    )


def _members(me: Caller, place: Place, error: str, status: int) -> Response:
    room = _made(place)
    roles = {each.username: each.roles for each in rooms.memberships(me.tenant, room.id)}
    return page(
        "members.html", me, status, place=place, room=room, roles=roles, all_roles=rooms.ROLES, error=error
    )
