"""One real TAC stack instead of an office of ours: the same packages, agents and checkers against it.

The stack is shared and mutable, so there is one attempt at a time, and a reset before each. Sandboxes still
have no network: the bytes of their connections are passed to the stack's addresses by a relay.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from tac_rl.config.office import ExternalSection, OfficeSection
from tac_rl.errors import OfficeError
from tac_rl.office.base import PORTS, ServiceName
from tac_rl.office.overlay import Overlay
from tac_rl.office.process import write_commands
from tac_rl.office.relay import Relay
from tac_rl.sandboxes import runtime

TAC_NAMES = {
    ServiceName.CHAT: "rocketchat",
    ServiceName.FORGE: "gitlab",
    ServiceName.TRACKER: "plane",
    ServiceName.DRIVE: "owncloud",
}
"""As the stack's api-server calls the services."""

_POLL_SECONDS = 2.0
_CALL_SECONDS = 120.0
_SERVICE_AT = {port: name for name, port in PORTS.items()}


class ExternalOffice:
    """Leases the one stack, whole, to one attempt after another."""

    def __init__(self, section: OfficeSection, commands: Path) -> None:
        """`commands`: a folder to be made, for the command line."""
        self._stack = section.external
        self._free = asyncio.Lock()
        self.commands = commands

    async def start(self) -> None:
        """`OfficeError` where the stack's api-server doesn't answer."""
        if not self.commands.is_dir():
            write_commands(self.commands)
        await _call(self._stack, "GET", "/api/healthcheck/gitlab", any_status=True)

    async def stop(self) -> None:
        runtime.remove(self.commands)
        with contextlib.suppress(OSError):  # Sandboxes of this process still use it.
            self.commands.parent.rmdir()

    async def lease(
        self, name: str, snapshot: str, overlays: Sequence[Overlay] = (), *, seed: int = 0
    ) -> "StackLease":
        """The stack, reset; it can't take overlays, so packages that have one are refused."""
        if any(overlay != Overlay() for overlay in overlays):
            raise OfficeError(
                f"{name}: its task lays state over the company, which a real stack can't take; "
                "exclude it (tasks.exclude) or use office.mode: embedded"
            )
        await self._free.acquire()
        try:
            await self._reset()
        except BaseException:
            self._free.release()
            raise
        return StackLease(self._stack, self._free)

    async def _reset(self) -> None:
        deadline = time.monotonic() + self._stack.reset_seconds
        for name in TAC_NAMES.values():
            await _call(self._stack, "POST", f"/api/reset-{name}")
        for name in TAC_NAMES.values():
            while await _call(self._stack, "GET", f"/api/healthcheck/{name}", any_status=True) != 200:
                if time.monotonic() > deadline:
                    raise OfficeError(
                        f"{name} was not healthy within {self._stack.reset_seconds:g} s of its reset "
                        "(office.external.reset_seconds)"
                    )
                await asyncio.sleep(_POLL_SECONDS)


class StackLease:
    """The stack while one attempt has it."""

    def __init__(self, stack: ExternalSection, free: asyncio.Lock) -> None:
        self._addresses = {name: (stack.host, getattr(stack, name.value)) for name in ServiceName}
        self._free: asyncio.Lock | None = free
        self._relays: list[Relay] = []

    async def serve(self, listeners: Mapping[int, socket.socket]) -> None:
        relay = Relay(self._addresses)
        self._relays.append(relay)
        for port, listener in listeners.items():
            await relay.serve(_SERVICE_AT[port], listener.dup())

    async def shut(self) -> None:
        for relay in self._relays:
            await relay.close()
        self._relays.clear()

    async def changes(self) -> dict[str, Any]:
        """Unknown: a real stack keeps no first state to compare with."""
        return {"changes": None, "summary": []}

    async def close(self) -> None:
        if self._free is None:
            return
        free, self._free = self._free, None
        with contextlib.suppress(OSError):
            await self.shut()
        free.release()


async def _call(stack: ExternalSection, method: str, path: str, *, any_status: bool = False) -> int:
    url = f"http://{stack.host}:{stack.control}{path}"
    timeout = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.request(method, url) as answer:
            if answer.status >= 400 and not any_status:
                raise OfficeError(f"{url} answered {answer.status} to {method}")
            return answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OfficeError(
            f"the stack's api-server does not answer at {url} ({type(error).__name__}); "
            "see office.external in the config"
        ) from error
