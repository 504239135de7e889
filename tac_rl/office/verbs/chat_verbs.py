"""The verbs of the chat."""

from __future__ import annotations

from time import monotonic, sleep

from .chat import Chat, as_message, from_environment
from .http import Problem
from .names import first_line
from .table import Verbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANSWER_SECONDS = 10.0
"""How long `ask` waits."""
_LOOK_SECONDS = (0.01, 0.2)
"""Between two looks for an answer, at first and at most: colleagues who go by rules answer at once."""
_FOUND_LIMIT = 20

VERBS = Verbs(
    "chat",
    "The company's chat. ROOM is a channel; @person is your conversation with them.",
    {
        "ROOM": "a channel's name, or @person for your conversation with them",
        "PERSON": "a username such as alex_turner, or a name",
        "PEOPLE": "usernames, with spaces between them",
        "N": "how many messages (default 20)",
        "TEXT": "any words",
        "EMOJI": "an emoji's name such as thumbsup",
        "ROLE": "owner, moderator or leader",
    },
    from_environment,
)


@VERBS.verb("channels", "all rooms, with the number of their members")
def channels(chat: Chat) -> list[str]:
    return [f"{room['name']} {_count(room)}{_private(room)}" for room in chat.rooms()]


@VERBS.verb("read ROOM [N]", "the last N messages, oldest first")
def read(chat: Chat, room: str, n: int | None = None) -> list[str]:
    return _lines(chat.messages(chat.room(room), n or 20))


@VERBS.verb("send ROOM TEXT...", "write a message")
def send(chat: Chat, room: str, text: str) -> str:
    found = chat.room(room)
    chat.send(found, text)
    return f"sent to {_name(found, room)}"


@VERBS.verb("dm PERSON [TEXT...]", "write to somebody directly; without a text: read the conversation")
def dm(chat: Chat, person: str, text: str | None = None) -> str | list[str]:
    username = chat.person(person)["username"]
    if text is None:
        room = chat.direct(username)
        return _lines(chat.messages(room, 20)) if room else f"no messages with {username}"
    chat.post("chat.postMessage", channel=f"@{username}", text=text)
    return f"sent to {username}"


@VERBS.verb("ask PERSON TEXT...", "write to somebody directly and wait for the answer")
def ask(chat: Chat, person: str, text: str) -> list[str]:
    username = chat.person(person)["username"]
    sent = as_message(chat.post("chat.postMessage", channel=f"@{username}", text=text)["message"])
    room = chat.direct(username)
    if room is None:
        raise Problem(f"the conversation with {username} has disappeared")
    deadline = monotonic() + ANSWER_SECONDS
    pause, longest = _LOOK_SECONDS
    while monotonic() < deadline:
        sleep(pause)
        pause = min(2 * pause, longest)
        answers = [m for m in chat.messages(room, 20, oldest=sent["at"]) if m["author"] == username]
        if answers:
            return _lines(answers)
    raise Problem(
        f"{username} has not answered in {ANSWER_SECONDS:.0f} s; look later with: chat dm {username}"
    )


@VERBS.verb("people [TEXT...]", "everybody, or whom the text fits: username, name, what they do")
def people(chat: Chat, text: str | None = None) -> list[str]:
    lines = [_about(person) for person in sorted(chat.people(), key=lambda p: str(p["username"]))]
    wanted = (text or "").casefold()
    found = [line for line in lines if wanted in line.casefold()]
    if not found:
        raise Problem(f"nobody fits {text!r}; see: chat people")
    return found


@VERBS.verb("who PERSON...", "username, name, what they do, e-mail")
def who(chat: Chat, person: str) -> list[str]:
    found = chat.person(person)
    emails = [email["address"] for email in found.get("emails") or ()]
    lines = [f"username: {found['username']}", f"name: {found.get('name') or ''}"]
    lines += [f"about: {bio}" for bio in [(found.get("bio") or "").strip()] if bio]
    return lines + [f"email: {email}" for email in emails]


@VERBS.verb("members ROOM", "who is in a room, and with which role")
def members(chat: Chat, room: str) -> list[str]:
    return [" ".join([m["username"], *m["roles"]]) for m in chat.members(chat.room(room))]


@VERBS.verb("create ROOM [PEOPLE...]", "make a channel, with these members")
def create(chat: Chat, room: str, people: str | None = None) -> str:
    usernames = [chat.person(person)["username"] for person in (people or "").split()]
    chat.post("channels.create", name=room.lstrip("#"), members=usernames)
    return f"created {room.lstrip('#')}"


@VERBS.verb("create-private ROOM [PEOPLE...]", "make a private channel, with these members")
def create_private(chat: Chat, room: str, people: str | None = None) -> str:
    usernames = [chat.person(person)["username"] for person in (people or "").split()]
    chat.post("groups.create", name=room.lstrip("#"), members=usernames)
    return f"created {room.lstrip('#')}"


@VERBS.verb("invite ROOM PERSON...", "add somebody to a room")
def invite(chat: Chat, room: str, person: str) -> str:
    return _with_person(chat, room, "invite", person, "invited {} to {}")


@VERBS.verb("kick ROOM PERSON...", "remove somebody from a room")
def kick(chat: Chat, room: str, person: str) -> str:
    return _with_person(chat, room, "kick", person, "removed {} from {}")


@VERBS.verb("moderator ROOM PERSON...", "make somebody a moderator")
def moderator(chat: Chat, room: str, person: str) -> str:
    return _with_person(chat, room, "addModerator", person, "{} is a moderator of {}")


@VERBS.verb("owner ROOM PERSON...", "make somebody an owner")
def owner(chat: Chat, room: str, person: str) -> str:
    return _with_person(chat, room, "addOwner", person, "{} is an owner of {}")


@VERBS.verb("leader ROOM PERSON...", "make somebody the leader")
def leader(chat: Chat, room: str, person: str) -> str:
    return _with_person(chat, room, "addLeader", person, "{} is the leader of {}")


@VERBS.verb("demote ROOM ROLE PERSON...", "take a role away from somebody")
def demote(chat: Chat, room: str, role: str, person: str) -> str:
    if role not in ("owner", "moderator", "leader"):
        raise Problem(f"a role is owner, moderator or leader, not {role!r}")
    return _with_person(chat, room, f"remove{role.capitalize()}", person, f"{{}} is no {role} of {{}}")


@VERBS.verb("topic ROOM TEXT...", "set a room's topic")
def topic(chat: Chat, room: str, text: str) -> str:
    found = chat.room(room)
    chat.post(chat.of_room(found, "setTopic"), roomId=found["_id"], topic=text)
    return f"topic of {_name(found, room)}: {text}"


@VERBS.verb("about ROOM", "a room's topic, description and number of members")
def about(chat: Chat, room: str) -> list[str]:
    found = chat.room(room)
    return [
        f"topic: {found.get('topic') or ''}",
        f"description: {found.get('description') or ''}",
        f"members: {_count(found)}",
    ]


@VERBS.verb("search TEXT...", "messages with these words, in all rooms")
def search(chat: Chat, text: str) -> list[str]:
    named = [(room["name"], room) for room in chat.rooms()]
    for room in chat.get("im.list", count=0)["ims"]:
        others = [name for name in room.get("usernames") or () if name != chat.user]
        named.append(("@" + ",".join(others or [chat.user]), {**room, "t": "d"}))
    lines: list[str] = []
    for name, room in named:
        found = chat.get("chat.search", roomId=room["_id"], searchText=text, count=_FOUND_LIMIT)["messages"]
        lines += [f"{name} {line}" for line in _lines([as_message(m) for m in reversed(found)])]
    if not lines:
        raise Problem(f"no message has {text!r}")
    if len(lines) > _FOUND_LIMIT:
        return [*lines[:_FOUND_LIMIT], f"and {len(lines) - _FOUND_LIMIT} more"]
    return lines


@VERBS.verb("react ROOM EMOJI [TEXT...]", "react to the last message (that has this text)")
def react(chat: Chat, room: str, emoji: str, text: str | None = None) -> str:
    wanted = (text or "").casefold()
    found = [m for m in chat.messages(chat.room(room), 100) if wanted in m["text"].casefold()]
    if not found:
        raise Problem(f"none of the last messages in {room} " + (f"has {text!r}" if text else "is there"))
    chat.post("chat.react", messageId=found[-1]["id"], emoji=f":{emoji.strip(':')}:", shouldReact=True)
    return f"reacted to {_line(found[-1])}"


@VERBS.verb("join ROOM", "join a channel")
def join(chat: Chat, room: str) -> str:
    found = chat.room(room)
    chat.post("channels.join", roomId=found["_id"])
    return f"joined {_name(found, room)}"


@VERBS.verb("leave ROOM", "leave a room")
def leave(chat: Chat, room: str) -> str:
    found = chat.room(room)
    chat.post(chat.of_room(found, "leave"), roomId=found["_id"])
    return f"left {_name(found, room)}"


def _about(person: dict[str, Any]) -> str:
    parts = [person["username"], person.get("name") or "", first_line(person.get("bio"))]
    return ", ".join(part for part in parts if part)


def _lines(messages: list[dict[str, Any]]) -> list[str]:
    return [_line(message) for message in messages]


def _line(message: dict[str, Any]) -> str:
    files = "".join(f"[file {name}] " for name in message["files"])
    return f"{message['author']}: {files}{message['text']}"


def _name(room: dict[str, Any], asked: str) -> str:
    return room.get("name") or asked.lstrip("@")


def _count(room: dict[str, Any]) -> int:
    return int(room.get("usersCount") or 0)


def _private(room: dict[str, Any]) -> str:
    return " private" if room["t"] == "p" else ""


def _with_person(chat: Chat, room: str, method: str, person: str, told: str) -> str:
    found = chat.room(room)
    somebody = chat.person(person)
    chat.post(chat.of_room(found, method), roomId=found["_id"], userId=somebody["_id"])
    return told.format(somebody["username"], _name(found, room))
