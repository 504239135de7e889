"""An office of one tenant, served over loopback by a thread of the test's own process: the real server code."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tac_rl.office.base import ServiceName
from tac_rl.office.doors import Applications
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.process import EmbeddedOffice, _Process
from tac_rl.office.services import make_empty
from tac_rl.office.tenant import Tenant

PEOPLE = [
    {"username": "theagentcompany", "name": "The Agent", "email": "agent@company.com", "admin": True},
    {"username": "alex_turner", "name": "Alex Turner", "title": "Engineer"},
    {"username": "sarah_johnson", "name": "Sarah Johnson", "title": "Lead"},
    {"username": "mike_chen", "name": "Mike Chen", "title": "Sales"},
]
"""Of a small office for tests."""


@dataclass
class ServedOffice:
    tenant: Tenant
    urls: dict[str, str]
    """Service name -> http://127.0.0.1:PORT"""
    loop: asyncio.AbstractEventLoop

    def call(self, function: Any, *arguments: Any) -> Any:
        """Run a function on the event loop's thread, where the tenant's database may be used."""

        async def run() -> Any:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)


def only_process_of(office: EmbeddedOffice) -> int:
    """The process id of an office that has one process, and that one its own."""
    (process,) = office._processes
    assert isinstance(process, _Process)
    return process._popen.pid


@contextmanager
def served_office(
    folder: Path,
    overlay: dict[str, Any] | None = None,
    *,
    seed: int = 0,
    services: Sequence[ServiceName] = tuple(ServiceName),
    applications: Applications | None = None,
) -> Iterator[ServedOffice]:
    """A fresh office in `folder` with `PEOPLE` and the overlay, served until the block ends (these services).

    `applications`: those of these services, for tests that serve many offices; default: new ones.
    """
    make_empty(folder / "office")
    document = {"people": PEOPLE, **(overlay or {})}
    tenant = Tenant("test", folder / "office", seed=seed)
    lay_over(tenant, parse_overlay(document, "the test's overlay"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    doors = (applications or Applications(services)).open(tenant)
    urls = {}
    try:
        for service in services:
            listener = socket.create_server(("127.0.0.1", 0))
            urls[service.value] = f"http://127.0.0.1:{listener.getsockname()[1]}"
            asyncio.run_coroutine_threadsafe(doors.serve(service, listener), loop).result(30)
        yield ServedOffice(tenant, urls, loop)
    finally:
        asyncio.run_coroutine_threadsafe(doors.close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        tenant.close()
        loop.close()
