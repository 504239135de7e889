"""The trainer's side of the office: starts its processes, leases tenants, notices when one dies.

Every failure is an `OfficeError`: an attempt in a company that went down says nothing about the policy.
After a death the next lease starts a new process; the old one's tenants are gone.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tac_rl import parts
from tac_rl.config.office import ColleaguesSection, OfficeSection
from tac_rl.errors import ConfigError, OfficeError, OverlayError
from tac_rl.office import wire
from tac_rl.office.overlay import Overlay
from tac_rl.office.verbs import sandbox_files
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.launch import last_line
from tac_rl.serving.endpoint import Endpoint

_END_SECONDS = 10.0
TENANTS_A_PROCESS = 16
"""With more, another process is started where the config allows one: a process works on one core."""


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
    """Processes of ours, or of a service (`office.socket`), that serve the tenants: one, and more for many tenants."""

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
        A service has folders and a log of its own.
        """
        self._section = section
        self._base_model = base_model
        self._log = log
        self._base = base
        self._tenants = tenants
        self._processes: list[_Connection] = []
        self._starting = asyncio.Lock()
        self.commands = self._base / f"commands-{secrets.token_hex(3)}"

    async def start(self) -> None:
        """Start a process where none runs; `OfficeError` where it is not ready in time."""
        async with self._starting:
            await self._least_busy()

    async def stop(self) -> None:
        async with self._starting:
            await self._end(self._processes)
        runtime.remove(self.commands)
        for folder in {self._base, self._tenants}:
            with contextlib.suppress(OSError):  # Sandboxes of this process still use it.
                folder.rmdir()

    async def lease(
        self, name: str, snapshot: str, overlays: Sequence[Overlay] = (), *, seed: int = 0
    ) -> "TenantLease":
        async with self._starting:
            process = await self._least_busy()
            process.tenants += 1
        try:
            # The first lease of a snapshot may have to make it.
            await process.request("prepare", seconds=self._section.start_seconds, snapshot=snapshot)
            lease = TenantLease(process, f"{name}-{secrets.token_hex(3)}", self._section.request_seconds)
            await lease.make(snapshot, overlays, seed)
        except BaseException:
            process.tenants -= 1
            raise
        return lease

    async def _least_busy(self) -> "_Connection":
        """The living process with the fewest tenants; a new one where all have their fill."""
        await self._end([process for process in self._processes if process.dead])
        found = min(self._processes, key=lambda process: process.tenants, default=None)
        if found is None or (
            found.tenants >= TENANTS_A_PROCESS and len(self._processes) < self._section.most_processes
        ):
            if not self.commands.is_dir():
                write_commands(self.commands)
            found = await self._begin()
            self._processes.append(found)
            try:
                await found.ready(self._section.start_seconds)
            except BaseException:
                await self._end([found])
                raise
        return found

    async def _begin(self) -> "_Connection":
        section = self._section
        settings: dict[str, Any] = {
            "snapshots": str(section.snapshots) if section.snapshots else None,
            **_colleagues(section.colleagues, self._base_model),
        }
        if section.socket is None:
            return _Process(settings, self._tenants / f"office-{secrets.token_hex(3)}", self._log)
        settings["memory_mb"] = section.memory_mb
        return _Connection(
            await asyncio.to_thread(parts.connect, section.socket, settings, "office.socket", OfficeError)
        )

    async def _end(self, processes: Sequence["_Connection"]) -> None:
        for process in list(processes):
            await asyncio.to_thread(process.end)
            self._processes.remove(process)


class TenantLease:
    """A tenant of the embedded office."""

    def __init__(self, process: "_Connection", name: str, seconds: float) -> None:
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
        self._process.tenants -= 1
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


def _colleagues(section: ColleaguesSection, base_model: Endpoint | None) -> dict[str, Any]:
    """The colleagues' settings; `mind: engine` spelt out as the language model that it is."""
    if section.mind != "engine":
        return {"colleagues": section.model_dump(mode="json")}
    if base_model is None:
        raise ConfigError(
            "office.colleagues.mind: engine needs an engine, and none runs here; use rules, or llm with a base_url"
        )
    where = {"mind": "llm", "base_url": base_model.base_url, "model": base_model.model}
    return {"colleagues": section.model_copy(update=where).model_dump(mode="json"), "key": base_model.api_key}


def settle(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """An office process's settings, with a new folder of its own; a key goes into a file, where no `ps` shows it."""
    folder.mkdir(parents=True, mode=0o700)
    settled = {**settings, "folder": str(folder)}
    key = settled.pop("key", None)
    if key is not None:
        file = folder / "base-model-key"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(key)
        settled["colleagues"] = {**settled["colleagues"], "api_key_file": str(file)}
    return settled


class _Connection:
    """To an office process: requests by id, answered in any order."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {0: self._ready}
        self._last_id = 0
        self._sending = threading.Lock()
        self.dead = False
        self.tenants = 0
        """Leases of it that are not closed."""
        threading.Thread(target=self._read, name="office", daemon=True).start()

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
        """Close the connection, which ends the process."""
        self.dead = True
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def _epitaph(self) -> str:
        """What the process said last, to follow an error message."""
        return "; its service's log says why"

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
        said = self._epitaph()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(OfficeError(f"the office's process has ended{said}"))
        self._waiting.clear()


class _Process(_Connection):
    """An office process of our own."""

    def __init__(self, settings: dict[str, Any], folder: Path, log: Path | None) -> None:
        """`folder`: for the tenants; made here, removed at the end."""
        self._folder = folder
        settled = settle(settings, folder)
        ours, theirs = socket.socketpair()
        self._log = log or folder / "log"
        with theirs, self._log.open("ab") as output:
            self._popen = subprocess.Popen(
                parts.command("tac_rl.office.server", theirs.fileno(), settled),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=parts.environment(),
            )
        super().__init__(ours)

    def end(self) -> None:
        """As of the connection; and wait for the end, then by force."""
        super().end()
        try:
            self._popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(_END_SECONDS)
        runtime.remove(self._folder)

    def _epitaph(self) -> str:
        return last_line(self._log)
