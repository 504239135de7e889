"""A worker process: started once with OpenHands' Python, handed a socket for each conversation."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tac_rl.agents.openhands import wire
from tac_rl.errors import AgentWorkerError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.launch import last_line

_END_SECONDS = 5.0
_START = Path(__file__).parent / "worker" / "start.py"
_RESERVED_FRAME_BYTES = 64 << 20


class Conversation:
    """The trainer's end of one conversation's socket."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, epitaph: Callable[[], str]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._epitaph = epitaph

    async def receive(self) -> dict[str, Any]:
        """The next frame; `AgentWorkerError` where the worker is gone."""
        try:
            frame = await wire_read(self._reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise AgentWorkerError(
                f"the OpenHands worker ended during a conversation{self._epitaph()}"
            ) from None
        return frame

    def send(self, document: dict[str, Any]) -> None:
        self._writer.write(wire.encoded(document))

    def close(self) -> None:
        """Hang up: the worker's thread ends at its next word."""
        self._writer.transport.abort()


async def wire_read(reader: asyncio.StreamReader) -> dict[str, Any]:
    """One frame of a stream."""
    (length,) = wire.HEAD.unpack(await reader.readexactly(wire.HEAD.size))
    if length > _RESERVED_FRAME_BYTES:
        raise AgentWorkerError(f"the OpenHands worker sent a frame of {length} bytes")
    frame: dict[str, Any] = json.loads(await reader.readexactly(length))
    return frame


class WorkerProcess:
    """One process. `start` once; after its death it is of no more use."""

    def __init__(self, python: Path, folder: Path, log: Path | None) -> None:
        """`folder`: where it may write, made here and removed at the end; `log`: for messages, else in `folder`."""
        self._python = python
        self._folder = folder / f"worker-{secrets.token_hex(3)}"
        self._log = log or self._folder / "worker.log"
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._waiting: asyncio.Task[None] | None = None
        self.dead = False
        self.conversations = 0
        """How many it is driving."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self, seconds: float) -> None:
        """Start it and wait until OpenHands is imported; `AgentWorkerError` where that fails."""
        for name in ("home", "tmp"):
            (self._folder / name).mkdir(mode=0o700, parents=True)
        ours, theirs = socket.socketpair()
        self._control = ours
        log: IO[bytes] = self._log.open("ab")
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(str(self._python), "-I", str(_START), str(theirs.fileno()), str(os.getpid())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder / "home",
                env=_environment(self._folder),
            )
            theirs.close()
            ours.setblocking(False)
            first = await asyncio.wait_for(self._first(ours), seconds)
        except TimeoutError:
            await self.stop()
            raise AgentWorkerError(
                f"the OpenHands worker was not ready within {seconds:g} s (agent.openhands.start_seconds)"
            ) from None
        except (OSError, struct.error) as error:
            said = last_line(self._log)
            await self.stop()
            raise AgentWorkerError(f"the OpenHands worker did not start: {error}{said}") from error
        except BaseException:
            await self.stop()
            raise
        finally:
            theirs.close()
            log.close()
        if "error" in first:
            await self.stop()
            raise AgentWorkerError(
                f"{self._python}: OpenHands can't be imported ({first['error']}): make its environment anew with "
                "./setup.sh --openhands"
            )
        self._waiting = asyncio.create_task(self._await_end(self._process))

    async def _first(self, control: socket.socket) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < 4 or len(data) < 4 + wire.HEAD.unpack_from(data)[0]:
            part = await loop.sock_recv(control, 4096)
            if not part:
                raise ConnectionResetError("it ended while starting")
            data += part
        first: dict[str, Any] = json.loads(data[4:])
        return first

    async def _await_end(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self.dead = True

    async def converse(self, order: dict[str, Any], listener: socket.socket | None) -> Conversation:
        """Hand over one conversation, and where its browser connects; `AgentWorkerError` where the worker is gone."""
        assert self._control is not None
        ours, theirs = socket.socketpair()
        try:
            handed = [theirs, *([listener] if listener else [])]
            socket.send_fds(self._control, [b"c"], [one.fileno() for one in handed])
        except OSError as error:
            ours.close()
            raise AgentWorkerError(f"the OpenHands worker is gone ({error}){self._epitaph()}") from error
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        conversation = Conversation(reader, writer, self._epitaph)
        conversation.send(order)
        return conversation

    async def stop(self) -> None:
        """End it, by closing its socket, else by force. Safe to call twice."""
        self.dead = True
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._process.wait()), _END_SECONDS)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        if self._waiting is not None:
            await self._waiting
            self._waiting = None
        runtime.remove(self._folder)

    def _epitaph(self) -> str:
        return last_line(self._log)


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours but what a process needs; everything that OpenHands writes goes into `folder`."""
    home, temporary = str(folder / "home"), str(folder / "tmp")
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {
        **kept,
        "HOME": home,
        "TMPDIR": temporary,
        "TMUX_TMPDIR": temporary,
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_CONFIG_HOME": f"{home}/.config",
        "XDG_DATA_HOME": f"{home}/.local/share",
        "OH_PERSISTENCE_DIR": f"{home}/.openhands",
        "OPENHANDS_SUPPRESS_BANNER": "1",
        "LOG_LEVEL": "ERROR",
        # litellm otherwise asks the network for prices while it is imported, in a thread that deadlocks imports
        # on a busy machine.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "ALLOW_SHORT_CONTEXT_WINDOWS": "true",
        "DO_NOT_TRACK": "1",
        "ANONYMIZED_TELEMETRY": "false",
        "NO_PROXY": "127.0.0.1",
    }
