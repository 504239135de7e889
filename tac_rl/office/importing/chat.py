"""The chat: rooms, members, roles and messages, through Rocket.Chat's REST API.

An administrator sees every channel, but not the private groups and direct messages of others. These are read
with the accounts of those who are in them, as far as these have the stack's common password.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from tac_rl.errors import OfficeError
from tac_rl.office.base import AGENT_CHAT, PASSWORD
from tac_rl.office.importing.client import Api, Tell
from tac_rl.office.importing.people import People
from tac_rl.office.overlay import ChannelOverlay, ChatOverlay, DirectOverlay, MessageOverlay

PAGE = 100
Json = dict[str, Any]


async def import_chat(
    url: str, people: People, tell: Tell, *, username: str = AGENT_CHAT, password: str = PASSWORD
) -> ChatOverlay:
    """Everything that the accounts can see; adds to `people` who has an account."""
    async with Api("the chat", url) as api:
        account = await _log_in(api, username, password)
        if account is None:
            raise OfficeError(f"the chat: {api.url} refuses {username}; check the account's password")
        reader = _Reader(api, people, tell)
        accounts = [user async for user in reader.pages("users.list", "users", account)]
        for user in accounts:
            reader.meet(user)
        async for room in reader.pages("channels.list", "channels", account):
            await reader.read(room, account)
        for user in accounts:
            if user.get("username") in reader.names:
                own = (
                    account
                    if user["username"] == username
                    else await _log_in(api, user["username"], password)
                )
                if own is None:
                    tell(f"chat: {user['username']} has another password: their private rooms are left out")
                    continue
                for endpoint, field in (("groups.list", "groups"), ("im.list", "ims")):
                    async for room in reader.pages(endpoint, field, own):
                        await reader.read(room, own)
        return reader.overlay()


async def _log_in(api: Api, username: str, password: str) -> Json | None:
    """The headers of an account; None when it is refused."""
    body = {"user": username, "password": password}
    status, _, content = await api.send("POST", "/api/v1/login", body=body, allowed=(400, 401, 403))
    if status != 200:
        return None
    data = api.parsed("/api/v1/login", content).get("data", {})
    return {"X-Auth-Token": str(data.get("authToken", "")), "X-User-Id": str(data.get("userId", ""))}


class _Reader:
    """Collects rooms."""

    def __init__(self, api: Api, people: People, tell: Tell) -> None:
        self.api = api
        self.people = people
        self.tell = tell
        self.names: dict[str, str] = {}
        """The service's username -> the office's."""
        self.channels: dict[str, ChannelOverlay] = {}
        self.direct: dict[str, DirectOverlay] = {}

    async def pages(
        self, endpoint: str, field: str, account: Json, **query: str | int
    ) -> AsyncIterator[Json]:
        """Every item of a list."""
        offset = 0
        while True:
            asked = {**query, "count": PAGE, "offset": offset}
            # A person who joined no channel is answered 404 by some versions.
            status, _, content = await self.api.send(
                "GET", f"/api/v1/{endpoint}", query=asked, headers=account, allowed=(404,)
            )
            items = self.api.parsed(endpoint, content).get(field, []) if status == 200 else []
            for item in items:
                yield item
            if len(items) < PAGE:
                return
            offset += PAGE

    def meet(self, user: Json) -> None:
        """Take over an account, unless it is a bot's."""
        if user.get("type", "user") != "user" or not user.get("username"):
            return
        emails = user.get("emails") or [{}]
        self.names[user["username"]] = self.people.add(
            user["username"],
            user.get("name") or "",
            emails[0].get("address", ""),
            bio=user.get("bio") or "",
            admin="admin" in user.get("roles", ()),
        )

    async def read(self, room: Json, account: Json) -> None:
        """Take over a room, once."""
        if room["_id"] in self.channels or room["_id"] in self.direct:
            return
        family = {"c": "channels", "p": "groups", "d": "im"}.get(room.get("t", ""))
        if family is None:
            return
        messages = await self._messages(family, room["_id"], account)
        if family == "im":
            between = tuple(self.names[name] for name in room.get("usernames", ()) if name in self.names)
            if len(between) >= 2 and messages:
                self.direct[room["_id"]] = DirectOverlay(between=tuple(sorted(between)), messages=messages)
            return
        listed = self.pages(f"{family}.members", "members", account, roomId=room["_id"])
        members = [self.names[m["username"]] async for m in listed if m.get("username") in self.names]
        roles = await self._roles(family, room["_id"], account)
        owners = roles.get("owner", [])
        if len(owners) > 1:
            self.tell(
                f"chat: #{room['name']} has {len(owners)} owners; {owners[0]} stays, the others are moderators"
            )
        self.channels[room["_id"]] = ChannelOverlay(
            name=room["name"],
            private=family == "groups",
            topic=room.get("topic") or "",
            description=room.get("description") or "",
            owner=owners[0] if owners else AGENT_CHAT,
            moderators=tuple(sorted({*roles.get("moderator", []), *owners[1:]})),
            members=tuple(sorted(members)),
            messages=messages,
        )

    async def _roles(self, family: str, room_id: str, account: Json) -> dict[str, list[str]]:
        path = f"/api/v1/{family}.roles"
        document = await self.api.json(path, query={"roomId": room_id}, headers=account)
        roles: dict[str, list[str]] = {}
        for entry in document.get("roles", []):
            name = self.names.get(entry.get("u", {}).get("username", ""))
            for role in entry.get("roles", []) if name else ():
                roles.setdefault(role, []).append(str(name))
        return {role: sorted(names) for role, names in roles.items()}

    async def _messages(self, family: str, room_id: str, account: Json) -> tuple[MessageOverlay, ...]:
        """Of a room, oldest first, replies under what they answer; without the system's own messages."""
        query: dict[str, str | int] = {"roomId": room_id, "showThreadMessages": "true"}
        listed = self.pages(f"{family}.history", "messages", account, **query)
        found = [message async for message in listed if self._is_said(message)]
        found.sort(key=lambda message: (message["ts"], message["_id"]))
        threads: dict[str, list[Json]] = {}
        present = {message["_id"] for message in found}
        for message in found:
            if message.get("tmid") in present:
                threads.setdefault(message["tmid"], []).append(message)
        return tuple(
            self._message(message, threads.get(message["_id"], []))
            for message in found
            if message.get("tmid") not in present
        )

    def _is_said(self, message: Json) -> bool:
        author = message.get("u", {}).get("username")
        return not message.get("t") and bool(message.get("msg")) and author in self.names

    def _message(self, message: Json, replies: list[Json]) -> MessageOverlay:
        reactions = {
            emoji.strip(":"): tuple(
                self.names[name] for name in given.get("usernames", ()) if name in self.names
            )
            for emoji, given in (message.get("reactions") or {}).items()
        }
        return MessageOverlay.model_validate(
            {
                "from": self.names[message["u"]["username"]],
                "text": message["msg"],
                "at": datetime.fromisoformat(message["ts"]),
                "reactions": {emoji: who for emoji, who in reactions.items() if who},
                "replies": [self._message(reply, []) for reply in replies],
            }
        )

    def overlay(self) -> ChatOverlay:
        return ChatOverlay(
            channels=tuple(sorted(self.channels.values(), key=lambda channel: channel.name)),
            direct=tuple(sorted(self.direct.values(), key=lambda direct: direct.between)),
        )
