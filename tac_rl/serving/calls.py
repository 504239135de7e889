"""Calls over a link: numbered requests, replies awaited with a limit, and a death told to every caller at once."""

import asyncio
import contextlib
import itertools
from typing import Any

from tac_rl import errors
from tac_rl.errors import InfrastructureError, TacRlError
from tac_rl.serving.links import Link, Message


class Calls:
    """The requests that go over one link after another; `who` and `kind` are for errors."""

    def __init__(self, who: str, kind: type[InfrastructureError]) -> None:
        self._who = who
        self._kind = kind
        self._link: Link | None = None
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._numbers = itertools.count(1)
        self._dead = f"{who} is not started"

    @property
    def link(self) -> Link | None:
        return self._link

    async def open(self, link: Link, settings: Message, *, limit_s: float, setting: str) -> Message:
        """Start what the link leads to; gives what it says about itself. `setting`: the limit's, for the error."""
        try:
            async with asyncio.timeout(limit_s):
                ready = await link.open(settings, self._on_reply, self._fail)
        except TimeoutError as error:
            raise self._kind(f"{self._who} did not start within {limit_s:.0f} s ({setting})") from error
        self._link, self._dead = link, ""
        return ready

    async def close(self) -> None:
        """Fail what still waits. Safe to call twice."""
        link, self._link = self._link, None
        self._fail(f"{self._who} was stopped")
        if link is not None:
            await link.close()

    async def request(self, message: Message, limit_s: float) -> dict[str, Any]:
        """The answer to `message`, or the error that it is answered with."""
        if self._dead or self._link is None:
            raise self._kind(self._dead)
        key = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            self._link.send({**message, "id": key})
            async with asyncio.timeout(limit_s):
                reply = await future
        except (TimeoutError, asyncio.CancelledError) as error:
            self._cancel(key)
            if isinstance(error, TimeoutError):
                raise self._kind(
                    f"{self._who} did not answer {message['op']!r} within {limit_s:.0f} s"
                ) from error
            raise
        finally:
            self._waiting.pop(key, None)
        if "error" in reply:
            raise _error(reply, self._kind)
        answer: dict[str, Any] = reply["ok"]
        return answer

    def _cancel(self, key: int) -> None:
        """Free what a request holds that nobody waits for any more."""
        if self._link is not None and not self._dead:
            with contextlib.suppress(OSError):
                self._link.send({"op": "cancel", "id": next(self._numbers), "target": key})

    def _on_reply(self, message: Message) -> None:
        future = self._waiting.get(message["id"])
        if future is not None and not future.done():
            future.set_result(message)

    def _fail(self, reason: str) -> None:
        self._dead = reason
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._kind(reason))


def _error(reply: Message, default: type[InfrastructureError]) -> TacRlError:
    """The error that the other side raised, as one of ours."""
    known = getattr(errors, reply["error"], None)
    kind = known if isinstance(known, type) and issubclass(known, TacRlError) else default
    return kind(reply["message"])
