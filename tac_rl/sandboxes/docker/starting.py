"""From a shape to a container whose server has connected; and the way back, whatever happens in between."""

import asyncio
import contextlib
import itertools
import re
import secrets
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tac_rl.errors import SandboxError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.client import Connection
from tac_rl.sandboxes.docker.containers import (
    Policy,
    Shape,
    container_config,
    create_and_start,
    is_running,
    remove,
)
from tac_rl.sandboxes.docker.daemon import Daemon
from tac_rl.sandboxes.handshake import adopt, listen
from tac_rl.sandboxes.settings import HOSTS

_LOOK_SECONDS = 1.0
"""How often a container that keeps us waiting is asked whether it still runs."""


@dataclass(frozen=True, eq=False)
class Started:
    """A container whose server is connected and has not been told anything yet."""

    id: str
    name: str
    shape: Shape
    connection: Connection
    listeners: Mapping[int, socket.socket]
    folder: Path


def container_name(name: str) -> str:
    """A new name for a container of the sandbox `name`."""
    return f"tac-rl-{re.sub(r'[^a-zA-Z0-9_.-]', '-', name)[:80]}-{secrets.token_hex(4)}"


class Starter:
    """Starts containers and removes them; knows of each one from before it is made until it is gone."""

    def __init__(self, daemon: Daemon, home: Path, policy: Policy, *, start_seconds: float) -> None:
        """`home`: the provider's runtime folder, there already; `start_seconds`: from asking to a connected server."""
        self._daemon = daemon
        self._home = home
        self._policy = policy
        self._seconds = start_seconds
        self._hosts = home / "hosts"
        self._hosts.write_text(HOSTS)
        self._hosts.chmod(0o644)
        self._numbers = itertools.count()
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self, shape: Shape, name: str, labels: Mapping[str, str]) -> Started:
        """`SandboxError` says why there is none; then nothing of it stays. `name`: part of the container's."""
        folder = self._home / str(next(self._numbers))
        control = folder / "control"
        control.mkdir(parents=True)
        # The container's root may not pass by permissions; on the host the runtime folder is private.
        control.chmod(0o755)
        container = container_name(name)
        config = container_config(
            shape,
            self._policy,
            server=shape.image.server,
            control=control,
            hosts=self._hosts,
            labels=labels,
        )
        listener = listen(control / "s")
        (control / "s").chmod(0o666)
        making = asyncio.ensure_future(
            self._daemon.call(lambda api: create_and_start(api, container, config))
        )
        try:
            async with asyncio.timeout(self._seconds):
                stream = await self._accept(listener, making, container)
                connection, listeners = await adopt(stream, shape.ports)
        except BaseException as error:
            self._end(self._give_up(making, container, folder))
            if isinstance(error, TimeoutError):
                raise SandboxError(f"it was not ready within {self._seconds:g} s") from error
            raise
        finally:
            listener.close()
            (control / "s").unlink(missing_ok=True)  # Nothing to connect to for what runs later.
        return Started(making.result(), container, shape, connection, listeners, folder)

    async def discard(self, started: Started) -> None:
        """Kill and remove a container; safe to call twice, and where it has ended by itself."""
        started.connection.close()
        for listener in started.listeners.values():
            listener.close()
        await asyncio.shield(self._end(self._remove(started.id, started.folder)))

    def rename(self, started: Started, name: str) -> str:
        """Give a container from the pool the name of what it is used for, in the background."""
        container = container_name(name)
        self._end(self._rename(started.id, container))
        return container

    async def wait(self) -> None:
        """Until everything that was given up or discarded is gone."""
        while self._ending:
            await asyncio.wait(set(self._ending))

    async def _accept(
        self, listener: socket.socket, making: "asyncio.Future[str]", container: str
    ) -> socket.socket:
        accepting = asyncio.ensure_future(asyncio.get_running_loop().sock_accept(listener))
        try:
            await asyncio.shield(making)
            while not (await asyncio.wait((accepting,), timeout=_LOOK_SECONDS))[0]:
                if not await self._daemon.call(lambda api: is_running(api, container)):
                    raise SandboxError("its container ended before the server was ready")
            return accepting.result()[0]
        except BaseException:
            if accepting.done() and not accepting.cancelled() and not accepting.exception():
                accepting.result()[0].close()
            raise
        finally:
            accepting.cancel()

    def _end(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _give_up(self, making: "asyncio.Future[str]", container: str, folder: Path) -> None:
        with contextlib.suppress(Exception):  # Whoever asked has been told.
            await making
        with contextlib.suppress(SandboxError):  # The next sweep tries again.
            await self._remove(container, folder)

    async def _rename(self, container: str, name: str) -> None:
        with contextlib.suppress(SandboxError):  # Names are for people; it may be gone already.
            await self._daemon.call(lambda api: api.rename(container, name))

    async def _remove(self, container: str, folder: Path) -> None:
        try:
            await self._daemon.call(lambda api: remove(api, container))
        finally:
            runtime.remove(folder)
