"""Conversations: scripts of `data/talk.yaml` played by people in rooms, collected into an overlay's messages."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from tac_rl.office.overlay import MessageOverlay
from tac_rl.office.seeds.people import BY_NAME
from tac_rl.office.seeds.products import data
from tac_rl.office.seeds.world import Work, World

Script = Sequence[str]
_REACTIONS = ("thumbsup", "thumbsup", "tada", "heart", "eyes", "rocket", "smile", "raised_hands", "coffee")


@dataclass
class Message:
    author: str
    text: str
    at: datetime
    reactions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    replies: list["Message"] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {
            "from": self.author,
            "text": self.text,
            "at": self.at,
            "reactions": self.reactions,
            "replies": [reply.document() for reply in sorted(self.replies, key=lambda m: m.at)],
        }


class Talk:
    """Everything that is said, by room. A room is a channel's name, or the sorted usernames of a conversation."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.rooms: dict[str | tuple[str, ...], list[Message]] = {}
        self._decks: dict[str, list[int]] = {}

    def say(self, room: str | tuple[str, ...], author: str, at: datetime, text: str) -> Message:
        message = Message(author, text, at)
        self.rooms.setdefault(room, []).append(message)
        return message

    def here(self, day: date, *people: str) -> str:
        """The first of these people who is not away; Sarah where all are."""
        return next((person for person in people if not self.world.away(person, day)), "sarah_johnson")

    def private(self, *people: str) -> tuple[str, ...]:
        """The room of two people."""
        return tuple(sorted(people))

    def deal(self, group: str) -> Script:
        """A script of a group: each is used before one is used again."""
        scripts: list[Script] = data("talk")[group]
        deck = self._decks.setdefault(group, [])
        if not deck:
            deck += self.chance.sample(range(len(scripts)), len(scripts))
        return scripts[deck.pop()]

    def play(
        self,
        group: str,
        room: str | tuple[str, ...],
        start: datetime,
        roles: Mapping[str, str],
        slots: Mapping[str, str] | None = None,
        *,
        certain: bool = False,
        lasts: timedelta | None = None,
    ) -> bool:
        """Have a conversation, unless somebody who would take part is away (`certain`: everybody is there).

        `lasts` spreads it over a time; by default people answer within minutes. False when it did not take place.
        """
        return self.play_script(self.deal(group), room, start, roles, slots, certain=certain, lasts=lasts)

    def play_script(
        self,
        script: Script,
        room: str | tuple[str, ...],
        start: datetime,
        roles: Mapping[str, str],
        slots: Mapping[str, str] | None = None,
        *,
        certain: bool = False,
        lasts: timedelta | None = None,
    ) -> bool:
        """As `play`, with a script that was dealt already."""
        if not certain and any(self.world.away(person, start.date()) for person in roles.values()):
            return False
        values = {**(slots or {}), **names(roles)}
        first: Message | None = None
        at = start
        for line in script:
            head, _, text = line.partition(": ")
            author = roles[head.removeprefix("> ")]
            said = Message(author, text.format(**values), at)
            if head.startswith("> ") and first is not None:
                first.replies.append(said)
            else:
                self.rooms.setdefault(room, []).append(said)
                first = first or said
            if lasts is None:
                at += timedelta(seconds=self.chance.randint(25, 420))
            else:
                at += timedelta(
                    seconds=round(lasts.total_seconds() / len(script) * self.chance.uniform(0.9, 1.1))
                )
        return True

    def react(self, room: str, people: Sequence[str], share: float) -> None:
        """Let people react to some of the messages of a room."""
        for message in self.rooms.get(room, []):
            if self.chance.random() < share:
                others = [person for person in people if person != message.author]
                emoji = self.chance.choice(_REACTIONS)
                who = self.chance.sample(others, min(len(others), self.chance.randint(1, 4)))
                message.reactions[emoji] = tuple(sorted(who))

    def messages(self, room: str | tuple[str, ...]) -> tuple[MessageOverlay, ...]:
        """Of a room, in order."""
        found = sorted(self.rooms.get(room, []), key=lambda message: message.at)
        return tuple(MessageOverlay.model_validate(message.document()) for message in found)


def names(roles: Mapping[str, str]) -> dict[str, str]:
    """`{role}` is a first name, `{at_role}` a mention."""
    values = {role: BY_NAME[person].short for role, person in roles.items()}
    return values | {f"at_{role}": f"@{person}" for role, person in roles.items()}


def about(work: Work) -> dict[str, str]:
    """The slots of an issue."""
    return {
        "ref": work.ref,
        "title": work.title,
        "title_low": work.title_in_text,
        "detail": work.detail,
        "area": work.area,
        "product": work.product.name,
        "priority": work.priority,
    }
