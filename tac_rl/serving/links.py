"""How the transformers engine reaches its core: a process of its own, or a thread of this one.

A link starts the core, carries commands to it and replies back, and notices at once when it dies.
Nothing here imports torch in the calling process unless the thread is chosen.
"""

import asyncio
import contextlib
import json
import os
import queue
import socket
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tac_rl.errors import EngineError
from tac_rl.serving.logs import log_tail, open_log

Message = dict[str, Any]
_STOP_SECONDS = 5.0
_REAP_SECONDS = 1.0


class ProcessLink:
    """The core as a child process that reads and writes frames on a socket pair."""

    def __init__(self, logs: Path | None) -> None:
        self._logs = logs
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def open(
        self, settings: Message, on_reply: Callable[[Message], None], on_death: Callable[[str], None]
    ) -> Message:
        """Start the process and wait for its first frame: what the core says about itself."""
        ours, theirs = socket.socketpair()
        self._log = open_log(self._logs)
        root = str(Path(__file__).resolve().parents[2])
        inherited = os.environ.get("PYTHONPATH")
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, inherited] if inherited else [root]),
            "HF_HUB_OFFLINE": "1",
            "TQDM_DISABLE": "1",
            "OMP_NUM_THREADS": str(settings["threads"]),
        }
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "tac_rl.serving.worker"),
                *(str(theirs.fileno()), str(os.getpid()), json.dumps(settings)),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=env,
            )
            theirs.close()
            reader, self._writer = await asyncio.open_connection(sock=ours)
            first = await self._read(reader)
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
        self._reading = asyncio.create_task(self._pump(reader, on_reply, on_death))
        ready: Message = first["ready"]
        return ready

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> Message | None:
        try:
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            message: Message = json.loads(await reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        on_reply: Callable[[Message], None],
        on_death: Callable[[str], None],
    ) -> None:
        while (message := await self._read(reader)) is not None:
            on_reply(message)
        status: int | None = None
        if self._process is not None:
            # The socket is closed, so the process has ended or is about to.
            with contextlib.suppress(TimeoutError):
                status = await asyncio.wait_for(self._process.wait(), _REAP_SECONDS)
        on_death(
            f"the engine process ended unexpectedly (status {status}); end of its log:\n{log_tail(self._log)}"
        )

    def send(self, message: Message) -> None:
        assert self._writer is not None
        body = json.dumps(message, separators=(",", ":")).encode()
        self._writer.write(struct.pack(">I", len(body)) + body)

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._writer is not None:
            self._writer.close()  # The process ends when its socket does.
            self._writer = None
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
