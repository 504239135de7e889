"""How the transformers engine reaches its core: a process of its own, a thread of this one, or a service's process.

A link starts the core, carries commands to it and replies back, and notices at once when it dies.
Nothing here imports torch in the calling process unless the thread is chosen.
"""

import asyncio
import contextlib
import json
import queue
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

from tac_rl import parts
from tac_rl.errors import EngineError, InfrastructureError
from tac_rl.serving.logs import log_tail, open_log

Message = dict[str, Any]
_STOP_SECONDS = 5.0
_REAP_SECONDS = 1.0


class Link(Protocol):
    """A way to something that answers messages."""

    async def open(
        self, settings: Message, on_reply: Callable[[Message], None], on_death: Callable[[str], None]
    ) -> Message:
        """Start it and wait for its first message: what it says about itself."""
        ...

    def send(self, message: Message) -> None: ...

    async def close(self) -> None: ...


async def read_frame(reader: asyncio.StreamReader) -> Message | None:
    """One message: four bytes of length (big endian), then JSON; None where the other side is gone."""
    try:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        message: Message = json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return message


def frame(message: Message) -> bytes:
    """What `read_frame` reads."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return struct.pack(">I", len(body)) + body


def engine_environment(settings: Message) -> dict[str, str]:
    """The environment of the core's process."""
    return parts.environment(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", OMP_NUM_THREADS=str(settings["threads"]))


class _StreamLink(ABC):
    """What links over a socket share: frames both ways, and the news that the other side is gone."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def _first(self, stream: socket.socket) -> tuple[asyncio.StreamReader, Message | None]:
        reader, self._writer = await asyncio.open_connection(sock=stream)
        return reader, await read_frame(reader)

    def _go_on(
        self,
        reader: asyncio.StreamReader,
        on_reply: Callable[[Message], None],
        on_death: Callable[[str], None],
    ) -> None:
        async def pump() -> None:
            while (message := await read_frame(reader)) is not None:
                on_reply(message)
            on_death(await self._epitaph())

        self._reading = asyncio.create_task(pump())

    @abstractmethod
    async def _epitaph(self) -> str:
        """What there is to say of the other side's end."""

    def send(self, message: Message) -> None:
        assert self._writer is not None
        self._writer.write(frame(message))

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._writer is not None:
            self._writer.close()  # The process ends when its socket does.
            self._writer = None


class ProcessLink(_StreamLink):
    """The core as a child process that reads and writes frames on a socket pair."""

    def __init__(self, logs: Path | None) -> None:
        super().__init__()
        self._logs = logs
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def open(
        self, settings: Message, on_reply: Callable[[Message], None], on_death: Callable[[str], None]
    ) -> Message:
        ours, theirs = socket.socketpair()
        self._log = open_log(self._logs)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *parts.command("tac_rl.serving.worker", theirs.fileno(), settings),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=engine_environment(settings),
            )
            theirs.close()
            reader, first = await self._first(ours)
        except BaseException:
            theirs.close()
            ours.close()
            await self.close()
            raise
        if first is None or "error" in first:
            reason = (
                first["message"]
                if first
                else f"it ended while starting; end of its log:\n{log_tail(self._log)}"
            )
            await self.close()
            raise EngineError(f"the engine process did not start: {reason}")
        self._go_on(reader, on_reply, on_death)
        ready: Message = first["ready"]
        return ready

    async def _epitaph(self) -> str:
        status: int | None = None
        if self._process is not None:
            # The socket is closed, so the process has ended or is about to.
            with contextlib.suppress(TimeoutError):
                status = await asyncio.wait_for(self._process.wait(), _REAP_SECONDS)
        return (
            f"the engine process ended unexpectedly (status {status}); end of its log:\n{log_tail(self._log)}"
        )

    async def close(self) -> None:
        await super().close()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None


class ServiceLink(_StreamLink):
    """A process that a service begins for this connection; the log is the service's."""

    def __init__(self, path: Path, setting: str, kind: type[InfrastructureError]) -> None:
        """`setting`: the field of the config that names the socket; `kind`: what failures are raised as."""
        super().__init__()
        self._path = path
        self._setting = setting
        self._kind = kind

    async def open(
        self, settings: Message, on_reply: Callable[[Message], None], on_death: Callable[[str], None]
    ) -> Message:
        stream = await asyncio.to_thread(parts.connect, self._path, settings, self._setting, self._kind)
        try:
            reader, first = await self._first(stream)
        except BaseException:
            stream.close()
            await self.close()
            raise
        if first is None or "error" in first:
            await self.close()
            reason = first["message"] if first else "it ended while starting; the service's log says why"
            raise self._kind(f"the service at {self._path} did not begin: {reason}")
        self._go_on(reader, on_reply, on_death)
        ready: Message = first["ready"]
        return ready

    async def _epitaph(self) -> str:
        return f"the process of the service at {self._path} ended unexpectedly; the service's log says why"


class ThreadLink:
    """The core in a thread of this process: no copying, but it shares the interpreter with the caller."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def open(
        self, settings: Message, on_reply: Callable[[Message], None], on_death: Callable[[str], None]
    ) -> Message:
        from tac_rl.serving.core import Core, CoreSettings

        loop = asyncio.get_running_loop()
        core = await asyncio.to_thread(Core, CoreSettings(**settings))

        def tell(callback: Callable[[Any], None], value: object) -> None:
            with contextlib.suppress(RuntimeError):  # The event loop is gone: nobody waits any more.
                loop.call_soon_threadsafe(callback, value)

        def run() -> None:
            try:
                core.run(self._inbox, lambda message: tell(on_reply, message))
            except Exception as error:  # Whatever it was, the core is dead: say so.
                tell(on_death, f"the engine thread failed: {type(error).__name__}: {error}")

        self._thread = threading.Thread(target=run, name="engine", daemon=True)
        self._thread.start()
        return core.ready

    def send(self, message: Message) -> None:
        self._inbox.put(message)

    async def close(self) -> None:
        if self._thread is not None:
            self._inbox.put(None)
            await asyncio.to_thread(self._thread.join, _STOP_SECONDS)
            self._thread = None
