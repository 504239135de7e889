"""The host's side of the protocol that `server.py` speaks: one connection, one request at a time."""

import asyncio
import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

from tac_rl.errors import SandboxError
from tac_rl.sandboxes.base import ExecResult, SandboxSpec

GRACE_SECONDS = 30.0
"""How long an answer may be late before the sandbox counts as broken (a crowded machine is slow)."""
COMMAND_BYTES = 1 << 20
"""The longest command that is handed to a shell."""


class Connection(asyncio.Protocol):
    """Frames over one stream; every answer finds its request by id, also when the caller has gone."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], bytes]]] = {}
        self._transport: asyncio.Transport | None = None
        self._open = False
        self.on_close: Callable[[], None] | None = None

    @property
    def is_open(self) -> bool:
        return self._open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError())
        self._waiting.clear()
        if self.on_close is not None:
            self.on_close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 4:
            (length,) = struct.unpack_from(">I", self._received)
            if len(self._received) < 4 + length:
                return
            header = json.loads(self._received[4 : 4 + length])
            end = 4 + length + header["size"]
            if len(self._received) < end:
                return
            body = bytes(self._received[4 + length : end])
            del self._received[:end]
            answer = self._waiting.pop(header["id"], None)
            if answer is not None and not answer.done():
                answer.set_result((header, body))

    async def request(self, header: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Send one frame and wait for its answer; `ConnectionResetError` where the peer is gone."""
        if not self._open or self._transport is None:
            raise ConnectionResetError
        answer = asyncio.get_running_loop().create_future()
        self._waiting[header["id"]] = answer
        text = json.dumps({**header, "size": len(body)}).encode()
        self._transport.write(b"".join((struct.pack(">I", len(text)), text, body)))
        return await answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class SandboxClient:
    """Sends requests to one sandbox's server. A provider's sandbox adds `stop`."""

    def __init__(self, spec: SandboxSpec, connection: Connection) -> None:
        self.spec = spec
        self._connection = connection
        self._turn = asyncio.Lock()
        self._last_id = 0

    async def init(self, settings: Mapping[str, Any], *, timeout_s: float) -> None:
        """Tell the server its limits; it answers when the shell has been started."""
        await self._request("init", dict(settings), timeout_s=timeout_s)

    async def exec(self, command: str, *, timeout_s: float | None = None) -> ExecResult:
        """Run one command in the persistent shell; see the contract in `base.py`.

        A call that is cancelled leaves the command running until the next request or its time limit.
        """
        limits = self.spec.limits
        seconds = limits.exec_seconds if timeout_s is None else timeout_s
        body = command.encode("utf-8", "replace")
        if len(body) > COMMAND_BYTES:
            message = f"[the command is {len(body)} bytes long; at most {COMMAND_BYTES} are accepted]\n"
            return ExecResult(message, 126, truncated=False, timed_out=False, seconds=0.0)
        header, output = await self._request(
            "exec", {"seconds": seconds, "output_bytes": limits.output_bytes}, body, timeout_s=seconds
        )
        return ExecResult(
            output=output.decode("utf-8", "replace"),
            exit_code=header["exit_code"],
            truncated=header["truncated"],
            timed_out=header["timed_out"],
            seconds=header["seconds"],
        )

    async def put(self, files: Mapping[str, bytes], *, executable: frozenset[str] = frozenset()) -> None:
        """Write files in one request; `SandboxError` where one can't be written (disk full, a folder)."""
        entries = [(path, len(data), path in executable) for path, data in files.items()]
        await self._request("put", {"files": entries}, b"".join(files.values()))

    async def get(self, path: str, *, max_bytes: int = 1 << 20) -> bytes:
        """One regular file's first bytes; `FileNotFoundError` for what is missing or no regular file."""
        _, data = await self._request("get", {"path": path, "max_bytes": max_bytes})
        return data

    async def freeze(self) -> None:
        """Kill everything but the server; later `exec`s raise `SandboxError`."""
        await self._request("freeze")

    async def export(self, *, max_bytes: int) -> bytes:
        """The workspace as tar; files that would take it over `max_bytes` are left out."""
        _, data = await self._request("export", {"max_bytes": max_bytes})
        return data

    async def reset(self) -> None:
        """Kill everything, empty the workspace, home and /tmp, and start a fresh shell (milliseconds).

        For trusted commands only, as in making demonstrations: a rollout gets a sandbox of its own.
        """
        await self._request("reset")

    async def _request(
        self, op: str, fields: Mapping[str, Any] | None = None, body: bytes = b"", *, timeout_s: float = 0.0
    ) -> tuple[dict[str, Any], bytes]:
        async with self._turn:
            self._last_id += 1
            header = {"op": op, "id": self._last_id, **(fields or {})}
            try:
                async with asyncio.timeout(timeout_s + GRACE_SECONDS):
                    answer, data = await self._connection.request(header, body)
            except TimeoutError:
                raise SandboxError(
                    f"sandbox {self.spec.name}: no answer to {op} within {timeout_s + GRACE_SECONDS:g} s"
                ) from None
            except ConnectionResetError:
                raise SandboxError(
                    f"sandbox {self.spec.name}: it ended during {op}{self._epitaph()}"
                ) from None
        if "missing" in answer:
            raise FileNotFoundError(answer["missing"])
        if "error" in answer:
            raise SandboxError(f"sandbox {self.spec.name}: {answer['error']}")
        return answer, data

    def _epitaph(self) -> str:
        """What is known about the end of the sandbox, to follow the error message."""
        return ""
