"""The DevTools protocol over a socket, as Chromium speaks it on `--remote-debugging-pipe`: JSON, each ended by a NUL.

Whoever is at the other end is in a sandbox and so in the model's reach: it may send anything, or nothing. Messages
and what one action may bring are bounded, every wait ends, and the first word that is no protocol ends it all.
Blocking and for one thread: a conversation drives its browser itself.
"""

import json
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

MOST_MESSAGE_BYTES = 4 << 20
MOST_ACTION_BYTES = 32 << 20
"""All that may arrive during one action."""

T = TypeVar("T")
OnEvent = Callable[[str, str, dict[str, Any]], None]
"""Told of an event's method, its session (empty: the browser's own) and parameters."""


class BrowserGone(Exception):
    """The browser has ended, is silent, or doesn't speak the protocol."""


class CdpError(Exception):
    """The browser answered that it can't."""


class Cdp:
    """One connection; `close` it in the end. All methods raise `BrowserGone`."""

    def __init__(self, stream: socket.socket, on_event: OnEvent) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = stream
        self._on_event = on_event
        self._received = bytearray()
        self._searched = 0
        """How much of `_received` is known to have no end of a message."""
        self._last_id = 0
        self._deadline = 0.0
        self._left_bytes = 0

    def begin(self, seconds: float) -> None:
        """A new action: it has so many seconds for all that it asks."""
        self._deadline = time.monotonic() + seconds
        self._left_bytes = MOST_ACTION_BYTES

    def seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer; `CdpError` where it is a refusal."""
        number = self.send(method, session, **parameters)
        while True:
            message = self._receive(self._deadline)
            if message is None:
                raise BrowserGone(f"it did not answer to {method} in time")
            if message.get("id") == number:
                break
            self._note(message)
        if "error" in message:
            error = message["error"]
            raise CdpError(str(error.get("message") if isinstance(error, dict) else error)[:500])
        return field(message, "result", dict)

    def send(self, method: str, session: str = "", **parameters: Any) -> int:
        """Ask for something whose answer nobody needs; its number."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        try:
            self._stream.settimeout(max(0.001, self.seconds_left()))
            self._stream.sendall(json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise BrowserGone(f"it takes no more requests ({error})") from None
        return self._last_id

    def pump(self, seconds: float) -> None:
        """Take in what it says of itself for so long; 0: what is there already."""
        until = min(time.monotonic() + seconds, self._deadline)
        while (message := self._receive(until)) is not None:
            self._note(message)

    def close(self) -> None:
        self._stream.close()

    def _note(self, message: dict[str, Any]) -> None:
        if "method" in message:
            parameters = message.get("params", {})
            session = message.get("sessionId", "")
            if not isinstance(parameters, dict) or not isinstance(session, str):
                raise BrowserGone("it does not speak the protocol")
            self._on_event(field(message, "method", str), session, parameters)

    def _receive(self, until: float) -> dict[str, Any] | None:
        """The next message; None where there is none by then."""
        while (end := self._received.find(b"\0", self._searched)) < 0:
            self._searched = len(self._received)
            if self._searched > MOST_MESSAGE_BYTES:
                raise BrowserGone(f"it sent a message of more than {MOST_MESSAGE_BYTES >> 20} MB")
            try:
                # Also where no time is left, what is there is taken, or an end would go unseen on a busy machine.
                self._stream.settimeout(max(0.0, until - time.monotonic()))
                part = self._stream.recv(1 << 18)
            except (TimeoutError, BlockingIOError):
                return None
            except OSError as error:
                raise BrowserGone(f"its connection broke ({error})") from None
            if not part:
                raise BrowserGone("it has ended")
            self._left_bytes -= len(part)
            if self._left_bytes < 0:
                raise BrowserGone(f"it sent more than {MOST_ACTION_BYTES >> 20} MB for one action")
            self._received += part
        data = bytes(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise BrowserGone("it does not speak the protocol")
        return message


def field(document: dict[str, Any], name: str, kind: type[T]) -> T:
    """One value of an answer, which must be there and of this kind."""
    value = document.get(name)
    if not isinstance(value, kind):
        raise BrowserGone(f"its answer has no proper {name!r}")
    return value
