"""The chat's client: Rocket.Chat's REST API as plain data."""

from __future__ import annotations

import os

from .http import Missing, Refused, Web
from .names import pick, pick_person

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

URL = "http://the-agent-company.com:3000"
USER, PASSWORD = "theagentcompany", "theagentcompany"
_METHODS = {"c": "channels", "p": "groups", "d": "im"}
"""Kind of a room -> the beginning of the names of its API methods."""


def from_environment(user: str | None = None) -> Chat:
    """At TAC's address as the agent, or as the environment says, or as somebody else with everybody's password."""
    get = os.environ.get
    url = get("OFFICE_CHAT_URL", URL)
    if user is not None:
        return Chat(url, user)
    return Chat(url, get("OFFICE_CHAT_USER", USER), get("OFFICE_CHAT_PASSWORD", PASSWORD))


class Chat:
    """The chat as one user sees it; logs in when first used."""

    def __init__(self, url: str = URL, user: str = USER, password: str = PASSWORD) -> None:
        self.user = user
        self._password = password
        self._web = Web(url)
        self._logged_in = False

    def get(self, method: str, /, **query: Any) -> Any:
        """The answer to an API method such as `channels.info`."""
        self._log_in()
        return self._web.json("GET", f"/api/v1/{method}", query)

    def post(self, method: str, /, **body: Any) -> Any:
        self._log_in()
        return self._web.json("POST", f"/api/v1/{method}", body=body)

    def of_room(self, room: dict[str, Any], method: str) -> str:
        """The API method for this kind of room: `channels.history`, `groups.history`, `im.history`."""
        return f"{_METHODS[room['t']]}.{method}"

    def _log_in(self) -> None:
        if self._logged_in:
            return
        try:
            found = self._web.json(
                "POST", "/api/v1/login", body={"user": self.user, "password": self._password}
            )
        except Refused as error:
            raise Refused(error.status, f"the chat refuses the account {self.user!r}: {error}") from None
        data = found["data"]
        self._web.headers.update({"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]})
        self._logged_in = True

    # Rooms: Rocket.Chat's own documents, with `_id`, `t` (c channel, p group, d direct), `name`, `topic`, ...

    def rooms(self) -> list[dict[str, Any]]:
        """All channels, then the groups (private channels) that the user is in."""
        channels = self.get("channels.list", count=0)["channels"]
        groups = self.get("groups.list", count=0)["groups"]
        return [{"t": "c", **room} for room in channels] + [{"t": "p", **room} for room in groups]

    def room(self, name: str) -> dict[str, Any]:
        """A channel or group by its name, or with `@person` the conversation with them."""
        if name.startswith("@"):
            username = self.person(name)["username"]
            room = self.direct(username)
            return (
                room if room is not None else {"t": "d", **self.post("im.create", username=username)["room"]}
            )
        name = name.lstrip("#")
        for kind, (method, key) in {"c": ("channels.info", "channel"), "p": ("groups.info", "group")}.items():
            try:
                return {"t": kind, **self.get(method, roomName=name)[key]}
            except (Refused, Missing):
                continue
        return pick(name, "room", [(room["name"], room) for room in self.rooms()])

    def direct(self, username: str) -> dict[str, Any] | None:
        """The user's conversation with one other, where there is one."""
        pair = sorted({self.user, username})
        for room in self.get("im.list", count=0)["ims"]:
            if sorted(room.get("usernames") or ()) == pair:
                return {**room, "t": "d"}
        return None

    def members(self, room: dict[str, Any]) -> list[dict[str, Any]]:
        """`username`, `name`, and `roles` (owner, moderator, leader) of each member, by username."""
        found = self.get(self.of_room(room, "members"), roomId=room["_id"], count=0)["members"]
        roles = {}
        if room["t"] != "d":
            entries = self.get(self.of_room(room, "roles"), roomId=room["_id"])["roles"]
            roles = {entry["u"]["username"]: sorted(entry["roles"]) for entry in entries}
        members = [
            {"username": m["username"], "name": m.get("name") or "", "roles": roles.get(m["username"], [])}
            for m in found
        ]
        return sorted(members, key=lambda member: str(member["username"]))

    def messages(
        self, room: dict[str, Any], count: int = 20, oldest: str | None = None
    ) -> list[dict[str, Any]]:
        """The room's last messages (0: all), oldest first; not what the chat itself notes (who joined and so on).

        Each has `id`, `author`, `text`, `at` (ISO 8601), `thread` (the id of the message that it replies
        to, or None), `reactions` (emoji name -> usernames) and `files` (names).
        """
        method = self.of_room(room, "history")
        asked = count + 20 if count else 0
        while True:
            found = self.get(method, roomId=room["_id"], count=asked, oldest=oldest)["messages"]
            messages = [as_message(message) for message in reversed(found) if not message.get("t")]
            if len(messages) >= count or len(found) < asked:
                return messages[-count:] if count else messages
            asked *= 4

    def send(self, room: dict[str, Any], text: str) -> dict[str, Any]:
        """Post a message; Rocket.Chat's document of it."""
        sent: dict[str, Any] = self.post("chat.postMessage", roomId=room["_id"], text=text)["message"]
        return sent

    # People: Rocket.Chat's own documents, with `_id`, `username`, `name`, `bio`, ...

    def people(self) -> list[dict[str, Any]]:
        people: list[dict[str, Any]] = self.get("users.list", count=0)["users"]
        return people

    def person(self, name: str) -> dict[str, Any]:
        """Somebody by username or name (first names do where they are unique)."""
        name = name.lstrip("@")
        try:
            found: dict[str, Any] = self.get("users.info", username=name)["user"]
            return found
        except (Refused, Missing):
            username = pick_person(name, [(p["username"], p.get("name") or "") for p in self.people()])
            return self.person(username)


def as_message(message: dict[str, Any]) -> dict[str, Any]:
    """Rocket.Chat's document of a message, as `Chat.messages` tells it."""
    return {
        "id": message["_id"],
        "author": message["u"]["username"],
        "text": message.get("msg") or "",
        "at": message["ts"],
        "thread": message.get("tmid"),
        "reactions": {
            emoji.strip(":"): list(who["usernames"])
            for emoji, who in (message.get("reactions") or {}).items()
        },
        "files": [file["name"] for file in message.get("files") or () if file.get("name")],
    }
