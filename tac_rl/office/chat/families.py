"""Channels and groups: the same endpoints under two names, with two words for what they are about."""

from dataclasses import dataclass
from typing import Literal

from tac_rl.office.chat import rights, rooms
from tac_rl.office.chat.calls import Caller
from tac_rl.office.chat.refusals import Refused
from tac_rl.office.chat.rooms import Room


@dataclass(frozen=True)
class Family:
    prefix: str
    kind: Literal["channel", "group"]

    @property
    def one(self) -> str:
        """The field of an answer that holds one room."""
        return self.kind

    def find(self, me: Caller, room_id: str | None, name: str | None, *, archived: bool = True) -> Room:
        """The room that a request names; a group that isn't theirs is as good as none."""
        if not room_id and not name:
            raise Refused(
                "error-roomid-param-not-provided", 'The parameter "roomId" or "roomName" is required'
            )
        tenant = me.tenant
        room = rooms.by_id(tenant, room_id) if room_id else rooms.by_name(tenant, name or "")
        if room is None or room.kind != self.kind or not rights.may_read(tenant, me.user, room):
            raise Refused(
                "error-room-not-found",
                f'The required "roomId" or "roomName" param provided does not match any {self.kind}',
            )
        if room.archived and not archived:
            raise Refused("error-room-archived", f"The {self.kind}, {room.name}, is archived")
        return room


CHANNELS = Family("channels", "channel")
GROUPS = Family("groups", "group")
