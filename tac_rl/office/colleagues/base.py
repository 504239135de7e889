"""What a mind is told, and what it owes: it turns one message to a colleague into what they say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tac_rl.errors import InfrastructureError
from tac_rl.office.base import Person
from tac_rl.office.overlay import ColleagueOverlay


class MindError(InfrastructureError):
    """A mind could not think of an answer; the colleague stays silent."""


@dataclass(frozen=True)
class Said:
    """One message of a conversation."""

    by_asker: bool
    text: str


@dataclass(frozen=True)
class Turn:
    """A message that a colleague has to answer."""

    colleague: Person
    scenario: ColleagueOverlay
    asker: Person
    history: tuple[Said, ...]
    """What the two said to each other in this attempt, in whichever rooms; oldest first."""
    text: str
    """The new message."""
    spoken_to: bool
    """By name or in private. Otherwise they overheard it (`@all`) and speak only if they have something to say."""
    names: Mapping[str, str]
    """Username -> name, of everybody."""
    seed: int
    """Of the attempt: decides between phrasings that mean the same."""


class Mind(Protocol):
    """Thinks for colleagues. One mind may serve many conversations at once."""

    async def answer(self, turn: Turn) -> str | None:
        """What the colleague says; None where they say nothing. `MindError` where it could not think."""
        ...

    async def close(self) -> None: ...
