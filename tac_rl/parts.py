"""Parts of the system as services of their own: a Unix socket, and a process for each connection to it.

A service keeps nothing and has no config. Whoever connects sends one line of JSON,

    {"settings": {...}}    a process of its own, begun with these settings, takes the connection over
    {"ping": true}         answered {"ok": ...} and closed: the service is there

and the process ends when its connection does, just as one that the trainer started itself. So every trainer
finds a fresh part, and one that dies leaves nothing behind. The socket is for the trainer's user and group
(mode 0660): who may connect may name files that the service can read.
"""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tac_rl.errors import ConfigError, InfrastructureError

Settings = dict[str, Any]
_LINE_BYTES = 1 << 20
_LINE_SECONDS = 10.0
_END_SECONDS = 5.0
_SOCKET_PATH_BYTES = 107
_PR_SET_PDEATHSIG = 1
_LOG = logging.getLogger(__name__)


def command(module: str, fd: int, settings: Mapping[str, Any]) -> list[str]:
    """The command line of a part's process, whoever starts it."""
    return [sys.executable, "-P", "-m", module, str(fd), str(os.getpid()), json.dumps(settings)]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, in which this program can be imported from anywhere."""
    root = str(Path(__file__).resolve().parents[1])
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, inherited] if inherited else [root]), **more}


def _as_they_are(settings: Settings) -> AbstractContextManager[Settings]:
    return nullcontext(settings)


@dataclass(frozen=True)
class Part:
    """What runs behind a socket: `python -m MODULE FD PARENT_PID SETTINGS`, with the connection as FD."""

    module: str
    prepare: Callable[[Settings], AbstractContextManager[Settings]] = _as_they_are
    """From the settings sent to those that the process gets, for as long as it runs."""
    environment: Callable[[Settings], dict[str, str]] = lambda _: environment()
    alone: bool = False
    """One process at a time: the next connection waits a while for the end of the one before."""


def take_over(arguments: list[str]) -> tuple[socket.socket, Settings]:
    """At the start of a part's process: its connection and its settings; from now on it dies with its parent."""
    stream = socket.socket(fileno=int(arguments[0]))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(arguments[1]):
        os._exit(1)
    # The terminal's Ctrl-C goes to the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings: Settings = json.loads(arguments[2])
    return stream, settings


# The side that connects ------------------------------------------------------------------------------


def connect(
    path: Path, settings: Mapping[str, Any], setting: str, kind: type[InfrastructureError]
) -> socket.socket:
    """A connection (blocking) that a process with these settings takes over. `setting` and `kind`: for errors."""
    try:
        stream = _open(path)
        stream.sendall(json.dumps({"settings": settings}).encode() + b"\n")
    except OSError as error:
        raise kind(
            f"{setting}: no service answers at {path} ({error}); start it with serve_part.py (docs/compose.md)"
        ) from error
    stream.settimeout(None)
    return stream


def ping(path: Path) -> dict[str, Any]:
    """What a service says about itself; `InfrastructureError` where none answers."""
    try:
        with _open(path) as stream:
            stream.sendall(b'{"ping": true}\n')
            answer: dict[str, Any] = json.loads(stream.makefile("rb").readline(_LINE_BYTES))
        said: dict[str, Any] = answer["ok"]
    except (OSError, ValueError, KeyError) as error:
        raise InfrastructureError(f"no service answers at {path}: {error!r}") from error
    return said


def _open(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(_LINE_SECONDS)
    try:
        stream.connect(str(path))
    except OSError:
        stream.close()
        raise
    return stream


# The side that listens -------------------------------------------------------------------------------


@dataclass
class Service:
    """Hands every connection to a process of its own. `serve` runs until it is cancelled."""

    part: Part
    path: Path
    _processes: set[asyncio.subprocess.Process] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def serve(self) -> None:
        """Raises `ConfigError` where the socket can't be made."""
        listener = _listen(self.path)
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                stream, _ = await asyncio.get_running_loop().sock_accept(listener)
                task = asyncio.create_task(self._attend(stream))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            listener.close()
            self.path.unlink(missing_ok=True)
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _attend(self, stream: socket.socket) -> None:
        """One connection, from its line to the end of its process."""
        with stream:
            stream.setblocking(False)
            try:
                async with asyncio.timeout(_LINE_SECONDS):
                    request = json.loads(await _line(stream))
                if "settings" not in request:
                    said = {"part": self.part.module, "processes": len(self._processes)}
                    await asyncio.get_running_loop().sock_sendall(
                        stream, json.dumps({"ok": said}).encode() + b"\n"
                    )
                    return
            except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError.
                _LOG.warning("a connection without a usable request: %r", error)
                return
            if not self.part.alone:
                await self._run(stream, request["settings"])
                return
            try:
                await asyncio.wait_for(self._turn.acquire(), _LINE_SECONDS)
            except TimeoutError:
                _LOG.warning("a connection was refused: another one has the service")
                return
            try:
                await self._run(stream, request["settings"])
            finally:
                self._turn.release()

    async def _run(self, stream: socket.socket, settings: Settings) -> None:
        with self.part.prepare(settings) as prepared:
            stream.setblocking(True)
            process = await asyncio.create_subprocess_exec(
                *command(self.part.module, stream.fileno(), prepared),
                pass_fds=[stream.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env=self.part.environment(prepared),
            )
            stream.close()  # Now only the process holds it: when that ends, the other side sees it.
            self._processes.add(process)
            _LOG.info("process %d begins", process.pid)
            try:
                status = await process.wait()
                _LOG.info("process %d has ended (status %d)", process.pid, status)
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(process.wait(), _END_SECONDS)
                self._processes.discard(process)


async def _line(stream: socket.socket) -> bytes:
    """One line. Nothing follows it: the other side waits for what the process says first."""
    data = bytearray()
    while not data.endswith(b"\n"):
        part = await asyncio.get_running_loop().sock_recv(stream, _LINE_BYTES)
        if not part or len(data) > _LINE_BYTES:
            raise ValueError("no line")
        data += part
    return bytes(data)


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise ConfigError(f"--socket: {path} is longer than {_SOCKET_PATH_BYTES} bytes")
    if path.is_socket():
        try:
            ping(path)
        except InfrastructureError:
            path.unlink(missing_ok=True)  # A dead service's.
        else:
            raise ConfigError(f"--socket: another service answers at {path}; choose another path")
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    umask = os.umask(0o117)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise ConfigError(f"--socket: can't listen at {path} ({error}); its folder must exist") from error
    finally:
        os.umask(umask)
    listener.listen(64)
    return listener
