"""One attempt as its conversation's thread sees it: the socket to the trainer, turns, malformed calls.

Tools ask the trainer to act in the sandbox, so nothing that a model wrote runs where the worker runs.
"""

import contextlib
import socket
from typing import Any

from tac_rl.agents.base import Ending
from tac_rl.agents.calls import too_many
from tac_rl.agents.openhands import wire


class Over(Exception):
    """The trainer has hung up: time is over, or a part of ours failed. Nobody waits for an answer."""


class Stop(Exception):
    """The attempt ends here."""

    def __init__(self, ending: Ending, detail: str = "") -> None:
        super().__init__(detail)
        self.ending = ending
        self.detail = detail


class Attempt:
    """What the agent of one conversation and its tools share."""

    def __init__(self, stream: socket.socket, order: dict[str, Any]) -> None:
        self._stream = stream
        self._max_malformed = int(order["max_malformed"])
        self._malformed = 0
        """Malformed calls in a row."""
        self.turn = 0
        """Replies so far."""
        self.ending: Ending | None = None
        """How the agent said it ended."""
        self.detail = ""
        self._text = ""

    def reply(self, text: str) -> None:
        """A reply has come; `text` is told with the first thing that is done about it."""
        self.turn += 1
        self._text = text

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Let the trainer act in the sandbox; raises `Over` where it has hung up.

        `quiet=True`: no step of the model's, so nobody is told.
        """
        text = ""
        if op == "exec" and not fields.get("quiet"):
            text, self._text = self._text, ""
        try:
            wire.send(self._stream, {"op": op, "turn": self.turn, "text": text, **fields})
        except OSError:
            raise Over from None
        answer = wire.receive(self._stream)
        if answer is None:
            raise Over
        return answer

    def tell(
        self, *, tool: str = "", arguments: str = "", error: str = "", result: dict[str, Any] | None = None
    ) -> None:
        """Tell whoever watches about a step that ran no command.

        `result`: what came of it where there is something to tell (`output`, `failed`, `seconds`).
        """
        text, self._text = self._text, ""
        frame = {"op": "step", "turn": self.turn, "text": text, "tool": tool, "arguments": arguments}
        try:
            wire.send(self._stream, {**frame, "error": error, "result": result})
        except OSError:
            raise Over from None

    def end(self, document: dict[str, Any]) -> None:
        """The last frame."""
        with contextlib.suppress(OSError):
            wire.send(self._stream, {"op": "end", "turns": self.turn, **document})

    def ran(self) -> None:
        """A call was carried out."""
        self._malformed = 0

    def malformed(self, why: str) -> None:
        """Count a malformed call; raises `Stop` where there were too many in a row."""
        self._malformed += 1
        if self._malformed >= self._max_malformed:
            raise Stop(Ending.AGENT_FAILED, too_many(self._malformed, why))


def text_of(message: Any) -> str:
    """All text of one of the SDK's messages."""
    return "".join(part.text for part in message.content if hasattr(part, "text"))
