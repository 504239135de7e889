"""What the REST API takes and gives, for checking requests and for the OpenAPI document.

Requests are checked against these; answers are made by `shapes.py` and only described here, with the
fields that clients rely on. Parameters that Rocket.Chat doesn't know are ignored.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

# What is given


class _Given(BaseModel):
    model_config = ConfigDict(extra="allow")


class UserRef(_Given):
    id: str = Field(alias="_id")
    username: str
    name: str | None = None


class UserShape(_Given):
    id: str = Field(alias="_id")
    username: str
    name: str
    status: str


class MessageShape(_Given):
    id: str = Field(alias="_id")
    rid: str
    msg: str
    ts: str
    u: UserRef
    updatedAt: str = Field(alias="_updatedAt")
    mentions: list[UserRef]
    channels: list[dict[str, str]]


class RoomShape(_Given):
    id: str = Field(alias="_id")
    t: Literal["c", "p", "d"]
    msgs: int
    usersCount: int
    ts: str
    updatedAt: str = Field(alias="_updatedAt")


class SubscriptionShape(_Given):
    id: str = Field(alias="_id")
    rid: str
    t: Literal["c", "p", "d"]
    name: str
    unread: int
    open: bool


class Success(_Given):
    success: Literal[True]


class Failure(_Given):
    success: Literal[False]
    error: str
    errorType: str | None = None


class NotLoggedInAnswer(_Given):
    status: Literal["error"]
    message: str


def _answer(name: str, **fields: Any) -> type[BaseModel]:
    described: dict[str, Any] = {field: (kind, ...) for field, kind in fields.items()}
    return create_model(f"{name}Answer", __base__=Success, **described)


def _page(name: str, **fields: Any) -> type[BaseModel]:
    return _answer(name, **fields, count=int, offset=int, total=int)


ANSWERS: dict[str, type[BaseModel]] = {
    "channel": _answer("Channel", channel=RoomShape),
    "group": _answer("Group", group=RoomShape),
    "room": _answer("Room", room=RoomShape),
    "channels": _page("Channels", channels=list[RoomShape]),
    "groups": _page("Groups", groups=list[RoomShape]),
    "ims": _page("Ims", ims=list[RoomShape]),
    "rooms": _page("Rooms", rooms=list[RoomShape]),
    "members": _page("Members", members=list[UserShape]),
    "moderators": _answer("Moderators", moderators=list[UserRef]),
    "roles": _answer("Roles", roles=list[dict[str, Any]]),
    "online": _answer("Online", online=list[UserRef]),
    "history": _answer("History", messages=list[MessageShape]),
    "messages": _page("Messages", messages=list[MessageShape]),
    "mentions": _page("Mentions", mentions=list[MessageShape]),
    "threads": _page("Threads", threads=list[MessageShape]),
    "files": _page("Files", files=list[dict[str, Any]]),
    "message": _answer("Message", message=MessageShape),
    "posted": _answer("Posted", ts=int, channel=str, message=MessageShape),
    "deleted": _answer("Deleted", ts=int),
    "user": _answer("User", user=UserShape),
    "users": _page("Users", users=list[UserShape]),
    "users in role": _page("UsersInRole", users=list[UserRef]),
    "presence": _answer("Presence", presence=str),
    "subscriptions": _answer("Subscriptions", update=list[SubscriptionShape], remove=list[Any]),
    "updates": _answer("Updates", update=list[RoomShape], remove=list[Any]),
    "subscription": _answer("Subscription", subscription=SubscriptionShape | None),
    "counters": _answer(
        "Counters",
        joined=bool,
        members=int | None,
        unreads=int | None,
        unreadsFrom=str | None,
        msgs=int | None,
        latest=str | None,
        userMentions=int | None,
    ),
}
"""By what they hold."""


# What is taken: parameters of the address that several endpoints share

MAX_INT = 2**53


class RoomQuery(BaseModel):
    """By which a request names a room."""

    roomId: str | None = None
    roomName: str | None = None


class PageQuery(BaseModel):
    """Which part of a list, in which order."""

    offset: int = Field(0, ge=0, le=MAX_INT)
    count: int | None = Field(None, ge=0, le=MAX_INT, description="0: all")
    sort: str | None = Field(None, description='JSON, such as {"name": 1}')
    query: str | None = Field(None, description='JSON, such as {"name": "general"}')


class HistoryQuery(BaseModel):
    """Which messages of a room; times are ISO 8601."""

    latest: str | None = None
    oldest: str | None = None
    inclusive: str = "false"
    unreads: str = "false"
    showThreadMessages: str = "false"


# What is taken: bodies


class RoomBody(BaseModel):
    roomId: str | None = None
    roomName: str | None = None


class MemberBody(RoomBody):
    userId: str | None = None
    username: str | None = None


class InviteBody(MemberBody):
    userIds: list[str] | None = None
    usernames: list[str] | None = None


class JoinBody(RoomBody):
    joinCode: str | None = None


class CreateRoomBody(BaseModel):
    name: str = Field(min_length=1)
    members: list[str] = []
    readOnly: bool = False


class RenameBody(RoomBody):
    name: str = Field(min_length=1)


class TopicBody(RoomBody):
    topic: str = Field(max_length=10_000)


class DescriptionBody(RoomBody):
    description: str = Field(max_length=10_000)


class PurposeBody(RoomBody):
    purpose: str = Field(max_length=10_000)


class AnnouncementBody(RoomBody):
    announcement: str = Field(max_length=10_000)


class ReadOnlyBody(RoomBody):
    readOnly: bool


class TypeBody(RoomBody):
    type: Literal["c", "p"]


class DefaultBody(RoomBody):
    default: bool


class JoinCodeBody(RoomBody):
    joinCode: str


class DirectCreateBody(BaseModel):
    username: str | None = None
    usernames: str | None = None
    """With commas between them."""
    excludeSelf: bool = False


class DirectBody(BaseModel):
    roomId: str | None = None
    username: str | None = None


class DirectTopicBody(DirectBody):
    topic: str = Field(max_length=10_000)


class PasswordDigest(BaseModel):
    digest: str
    algorithm: Literal["sha-256"]


class LoginBody(BaseModel):
    user: str | dict[str, str] | None = None
    username: str | None = None
    email: str | None = None
    password: str | PasswordDigest | None = None
    resume: str | None = None


class PostMessageBody(BaseModel):
    roomId: str | list[str] | None = None
    channel: str | list[str] | None = None
    text: str | None = None
    msg: str | None = None
    alias: str | None = None
    emoji: str | None = None
    avatar: str | None = None
    attachments: list[dict[str, Any]] | None = None
    tmid: str | None = None
    tshow: bool = False


class OutgoingMessage(BaseModel):
    id: str | None = Field(None, alias="_id", min_length=1, max_length=64)
    rid: str
    msg: str = ""
    alias: str | None = None
    emoji: str | None = None
    avatar: str | None = None
    attachments: list[dict[str, Any]] | None = None
    tmid: str | None = None
    tshow: bool = False


class SendMessageBody(BaseModel):
    message: OutgoingMessage


class UpdateMessageBody(BaseModel):
    roomId: str
    msgId: str
    text: str


class DeleteMessageBody(BaseModel):
    roomId: str
    msgId: str


class MessageBody(BaseModel):
    messageId: str


class ReactBody(MessageBody):
    emoji: str | None = None
    reaction: str | None = None
    shouldReact: bool | None = None


class FollowBody(BaseModel):
    mid: str


class CreateUserBody(BaseModel):
    email: str
    name: str
    password: str = Field(min_length=1)
    username: str
    active: bool = True
    bio: str = ""
    roles: list[str] | None = None
    joinDefaultChannels: bool = True


class UserChanges(BaseModel):
    username: str | None = None
    name: str | None = None
    email: str | None = None
    password: str | None = None
    bio: str | None = None
    active: bool | None = None
    roles: list[str] | None = None
    statusText: str | None = None


class UpdateUserBody(BaseModel):
    userId: str
    data: UserChanges


class UserBody(BaseModel):
    userId: str | None = None
    username: str | None = None


class ActiveBody(BaseModel):
    userId: str
    activeStatus: bool


class StatusBody(UserBody):
    message: str | None = None
    status: str | None = None


class RoleBody(BaseModel):
    roleId: str | None = None
    roleName: str | None = None
    username: str
    roomId: str | None = None
    scope: str | None = None


class ReadBody(BaseModel):
    rid: str | None = None
    roomId: str | None = None


class FavoriteBody(RoomBody):
    favorite: bool


class ConfirmFileBody(BaseModel):
    msg: str = ""
    description: str = ""
    tmid: str | None = None
