"""The office's process: `python -m tac_rl.office.server FD PARENT_PID SETTINGS`.

Serves tenants on listeners that it is handed (see `doors.py`), and answers the trainer's requests on the
inherited socket FD. It ends when that socket does, so it can't outlive the process that started it.
"""

import asyncio
import dataclasses
import gc
import logging
import os
import queue
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import uvloop

from tac_rl.config.office import ColleaguesSection
from tac_rl.errors import OfficeError, TacRlError
from tac_rl.office import wire
from tac_rl.office.base import PORTS
from tac_rl.office.changes import summary
from tac_rl.office.colleagues.desk import Desk, make_desk
from tac_rl.office.doors import Applications, Doors
from tac_rl.office.overlay import Overlay
from tac_rl.office.snapshots import Snapshots
from tac_rl.office.tenants import Origin, TenantStore
from tac_rl.parts import take_over

_SERVICE_AT = {port: name for name, port in PORTS.items()}


class OfficeServer:
    """Answers requests about tenants; every method runs on the event loop's thread."""

    def __init__(self, store: TenantStore, colleagues: ColleaguesSection) -> None:
        self.store = store
        self._colleagues = colleagues
        self._applications = Applications()
        self._doors: dict[str, list[Doors]] = {}
        self._desks: dict[str, Desk] = {}

    async def answer(self, request: dict[str, Any], listeners: list[socket.socket]) -> dict[str, Any]:
        """Do what one request asks; a mistake is an answer too."""
        try:
            return await self._do(request["op"], request, listeners)
        except TacRlError as error:
            return {"error": type(error).__name__, "message": str(error)}
        except Exception as error:
            logging.exception("request %s failed", request.get("op"))
            return {"error": OfficeError.__name__, "message": f"{type(error).__name__}: {error}"}

    async def _do(self, op: str, request: dict[str, Any], listeners: list[socket.socket]) -> dict[str, Any]:
        name = request.get("tenant", "")
        if op == "make":
            overlays = tuple(Overlay.model_validate(document) for document in request["overlays"])
            await self.make(name, Origin(request["snapshot"], overlays, request["seed"]))
            return {}
        if op == "prepare":
            await asyncio.to_thread(self.store.prepare, request["snapshot"])
            return {}
        if op == "remove":
            await self.remove(name)
            return {}
        if name not in self.store.tenants:
            raise OfficeError(f"there is no tenant {name!r}")
        if op == "serve":
            await self.serve(name, dict(zip(request["ports"], listeners, strict=True)))
            return {}
        if op == "shut":
            await self.shut(name)
            return {}
        if op == "changes":
            found = self.store.changes(name)
            return {"changes": dataclasses.asdict(found), "summary": summary(found)}
        if op == "save":
            return {"snapshot": self.store.save(name, request["snapshot"])}
        raise OfficeError(f"unknown request {op!r}")

    async def make(self, name: str, origin: Origin) -> None:
        """A fresh tenant, with its colleagues at their desks; nobody can reach it yet."""
        tenant = self.store.make(name, origin)
        try:
            colleagues = tenant.colleagues()
            if colleagues:
                self._desks[name] = make_desk(tenant, colleagues, self._colleagues, seed=origin.seed)
        except BaseException:
            self.store.remove(name)
            raise

    async def serve(self, name: str, listeners: dict[int, socket.socket]) -> None:
        """Open doors to a tenant: by TAC's ports, whatever port a listener is bound to."""
        doors = self._applications.open(self.store.tenants[name])
        self._doors.setdefault(name, []).append(doors)
        for port, listener in listeners.items():
            await doors.serve(_SERVICE_AT[port], listener)

    async def shut(self, name: str) -> None:
        """Close every door of a tenant, end its requests, and let its colleagues fall silent."""
        desk = self._desks.pop(name, None)
        if desk is not None:
            await desk.close()
        for doors in self._doors.pop(name, []):
            await doors.close()

    async def remove(self, name: str) -> None:
        await self.shut(name)
        self.store.remove(name)

    async def close(self) -> None:
        for name in list(self.store.tenants):
            await self.remove(name)


def main(arguments: list[str]) -> None:
    stream, settings = take_over(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    root = Path(settings["snapshots"]) if settings["snapshots"] else None
    store = TenantStore(Path(settings["folder"]), Snapshots(root))
    server = OfficeServer(store, ColleaguesSection.model_validate(settings["colleagues"]))
    uvloop.run(_answer_all(stream, server))
    os._exit(0)


async def _answer_all(stream: socket.socket, server: OfficeServer) -> None:
    """Until the trainer closes its end. Reading and writing block, so each has a thread."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    working: set[asyncio.Task[None]] = set()

    async def answer(request: dict[str, Any], listeners: list[socket.socket]) -> None:
        answers.put({"id": request["id"], **await server.answer(request, listeners)})

    def begin(request: dict[str, Any], listeners: list[socket.socket]) -> None:
        task = loop.create_task(answer(request, listeners))
        working.add(task)
        task.add_done_callback(working.discard)

    def read() -> None:
        while (frame := wire.receive(stream)) is not None:
            loop.call_soon_threadsafe(begin, *frame)
        loop.call_soon_threadsafe(ended.set)

    def write() -> None:
        while True:
            try:
                wire.send(stream, answers.get())
            except OSError:  # The reader notices too, and ends the process.
                return

    # What is there now stays. Requests leave little garbage, and looking for it costs a twentieth of their time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    answers.put({"id": 0})  # Ready.
    for work in (read, write):
        threading.Thread(target=work, name=work.__name__, daemon=True).start()
    await ended.wait()
    await server.close()


if __name__ == "__main__":
    main(sys.argv[1:])
