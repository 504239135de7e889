"""The trainer's side of the office: starts its process, leases tenants, notices when it dies.

Every failure is an `OfficeError`: an attempt in a company that went down says nothing about the policy.
After a death the next lease starts a new process; the old one's tenants are gone.
"""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tac_rl.config.office import ColleaguesSection, OfficeSection
from tac_rl.errors import ConfigError, OfficeError, OverlayError
from tac_rl.office import wire
from tac_rl.office.overlay import Overlay
from tac_rl.office.verbs import sandbox_files
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.launch import last_line
from tac_rl.serving.endpoint import Endpoint

_END_SECONDS = 10.0


class Lease(Protocol):
    """One attempt's company. Every method raises `OfficeError` where the office fails."""

    async def serve(self, listeners: Mapping[int, socket.socket]) -> None:
        """Answer on duplicates of these listeners, by TAC's port; the caller keeps its own."""
        ...

    async def shut(self) -> None:
        """Close the doors opened so far: whoever came through them is out, and colleagues fall silent."""
        ...

    async def changes(self) -> dict[str, Any]:
        """What the attempt changed: `{"changes": ..., "summary": [sentence, ...]}`."""
        ...

    async def close(self) -> None:
        """Give the company back. Safe to call twice, and after a death of the office."""
        ...


class Office(Protocol):
    """Leases companies."""

    commands: Path
    """A folder with the office's command line, to be mounted into sandboxes."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def lease(
        self, name: str, snapshot: str, overlays: Sequence[Overlay] = (), *, seed: int = 0
    ) -> Lease:
        """A fresh company: the snapshot with the overlays over it; the same arguments give the same company."""
        ...


class EmbeddedOffice:
    """A process of ours that serves every tenant."""

    def __init__(
        self,
        section: OfficeSection,
        base: Path,
        *,
        tenants: Path,
        log: Path | None = None,
        base_model: Endpoint | None = None,
    ) -> None:
        """`base`, `tenants`: runtime folders of this process, swept when it is dead; `log`: for messages.

        `base_model`: who plays the colleagues where the config says `mind: engine`.
        """
        self._section = section
        self._base_model = base_model
        self._log = log
        self._base = base
        self._tenants = tenants
        self._process: _Process | None = None
        self._starting = asyncio.Lock()
        self.commands = self._base / f"commands-{secrets.token_hex(3)}"

    async def start(self) -> None:
        """Start the process where none runs; `OfficeError` where it is not ready in time."""
        async with self._starting:
            if self._process is None or self._process.dead:
                await self._stop()
                if not self.commands.is_dir():
                    write_commands(self.commands)
                process = _Process(self._section, self._log, self._tenants, self._base_model)
                self._process = process
                await process.ready(self._section.start_seconds)

    async def stop(self) -> None:
        async with self._starting:
            await self._stop()
        runtime.remove(self.commands)
        for folder in {self._base, self._tenants}:
            with contextlib.suppress(OSError):  # Sandboxes of this process still use it.
                folder.rmdir()

    async def lease(
        self, name: str, snapshot: str, overlays: Sequence[Overlay] = (), *, seed: int = 0
    ) -> "TenantLease":
        await self.start()
        process = self._process
        assert process is not None
        # The first lease of a snapshot may have to make it.
        await process.request("prepare", seconds=self._section.start_seconds, snapshot=snapshot)
        lease = TenantLease(process, f"{name}-{secrets.token_hex(3)}", self._section.request_seconds)
        await lease.make(snapshot, overlays, seed)
        return lease

    async def _stop(self) -> None:
        if self._process is not None:
            await asyncio.to_thread(self._process.end)
            self._process = None


class TenantLease:
    """A tenant of the embedded office."""

    def __init__(self, process: "_Process", name: str, seconds: float) -> None:
        self._process = process
        self._name = name
        self._seconds = seconds
        self._closed = False

    async def make(self, snapshot: str, overlays: Sequence[Overlay], seed: int) -> None:
        documents = [o.model_dump(mode="json", by_alias=True, exclude_defaults=True) for o in overlays]
        await self._request("make", snapshot=snapshot, overlays=documents, seed=seed)

    async def serve(self, listeners: Mapping[int, socket.socket]) -> None:
        await self._request("serve", listeners=list(listeners.values()), ports=list(listeners))

    async def shut(self) -> None:
        await self._request("shut")

    async def changes(self) -> dict[str, Any]:
        answer = await self._request("changes")
        return {"changes": answer["changes"], "summary": answer["summary"]}

    async def save(self, snapshot: str) -> str:
        """Keep the tenant's state as a snapshot; gives the versioned name."""
        return str((await self._request("save", snapshot=snapshot))["snapshot"])

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OfficeError):  # A dead office has no tenants; a slow one removes it later.
            await self._request("remove")

    async def _request(
        self, op: str, *, listeners: Sequence[socket.socket] = (), **fields: Any
    ) -> dict[str, Any]:
        return await self._process.request(
            op, seconds=self._seconds, listeners=listeners, tenant=self._name, **fields
        )


def write_commands(folder: Path) -> None:
    """Lay out the office's command line, readable for the users of sandboxes."""
    for name, content in sandbox_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if path.parent.name == "bin" else 0o644)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


class _Process:
    """One office process: requests by id, answered in any order."""

    def __init__(
        self, section: OfficeSection, log: Path | None, base: Path, base_model: Endpoint | None
    ) -> None:
        self._folder = base / f"office-{secrets.token_hex(3)}"
        self._folder.mkdir(parents=True, mode=0o700)
        settings = {
            "folder": str(self._folder),
            "snapshots": str(section.snapshots) if section.snapshots else None,
            "colleagues": self._colleagues(section.colleagues, base_model).model_dump(mode="json"),
        }
        self._stream, theirs = socket.socketpair()
        command = [sys.executable, "-m", "tac_rl.office.server", str(theirs.fileno()), str(os.getpid())]
        self._log = log or self._folder / "log"
        with theirs, self._log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*command, json.dumps(settings)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {0: self._ready}
        self._last_id = 0
        self._sending = threading.Lock()
        self.dead = False
        threading.Thread(target=self._read, name="office", daemon=True).start()

    def _colleagues(self, section: ColleaguesSection, base_model: Endpoint | None) -> ColleaguesSection:
        """`mind: engine` spelt out as the language model that it is; its key is in a file, where no `ps` shows it."""
        if section.mind != "engine":
            return section
        if base_model is None:
            raise ConfigError(
                "office.colleagues.mind: engine needs an engine, and none runs here; use rules, or llm with a base_url"
            )
        key = self._folder / "base-model-key"
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(base_model.api_key)
        where = {"base_url": base_model.base_url, "model": base_model.model, "api_key_file": key}
        return section.model_copy(update={"mind": "llm", **where})

    async def ready(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), seconds)
        except TimeoutError:
            raise OfficeError(
                f"the office was not ready within {seconds:g} s (office.start_seconds)"
            ) from None

    async def request(
        self, op: str, *, seconds: float, listeners: Sequence[socket.socket] = (), **fields: Any
    ) -> dict[str, Any]:
        if self.dead:
            raise OfficeError(f"the office's process has ended; {op} could not be asked of it")
        self._last_id += 1
        number = self._last_id
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(seconds):
                await asyncio.to_thread(self._send, {"op": op, "id": number, **fields}, listeners)
                document = await answer
        except TimeoutError:
            raise OfficeError(f"the office did not answer {op} within {seconds:g} s") from None
        except OSError as error:
            raise OfficeError(f"the office's process is gone ({error})") from error
        finally:
            self._waiting.pop(number, None)
        if "error" in document:
            kind = OverlayError if document["error"] == OverlayError.__name__ else OfficeError
            raise kind(document["message"])
        return document

    def end(self) -> None:
        """Close the connection, which ends the process, and wait for that; then by force."""
        self.dead = True
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        try:
            self._popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(_END_SECONDS)
        runtime.remove(self._folder)

    def _send(self, document: dict[str, Any], listeners: Sequence[socket.socket]) -> None:
        with self._sending:
            wire.send(self._stream, document, listeners)

    def _read(self) -> None:
        """In a thread: hand out answers; at the end of the stream fail whoever still waits."""
        while (frame := wire.receive(self._stream)) is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                self._loop.call_soon_threadsafe(self._answered, frame[0])
        self.dead = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended)

    def _answered(self, document: dict[str, Any]) -> None:
        answer = self._waiting.pop(document["id"], None)
        if answer is not None and not answer.done():
            answer.set_result(document)

    def _ended(self) -> None:
        said = last_line(self._log)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(OfficeError(f"the office's process has ended{said}"))
        self._waiting.clear()
