"""Doors: listening sockets through which one tenant's services are reached.

A door may have been opened in another network namespace: a listening socket stays in the namespace in
which it was made, whoever accepts from it. So a sandbox without a network listens on its own loopback,
hands the listeners out, and its commands reach this tenant and nothing else, at TAC's addresses.
"""

import asyncio
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from tac_rl.office.base import ServiceName
from tac_rl.office.services import SERVICES
from tac_rl.office.tenant import Tenant

KEEP_ALIVE_SECONDS = 60
_log = logging.getLogger(__name__)


class Applications:
    """The services' applications, shared by all tenants of a process."""

    def __init__(self, services: Iterable[ServiceName] = ServiceName) -> None:
        self._configs = {name: _configure(SERVICES[name].make_app()) for name in services}

    def open(self, tenant: Tenant) -> "Doors":
        return Doors(tenant, self._configs)


@dataclass
class Doors:
    """One tenant's doors. Call everything from the event loop's thread."""

    tenant: Tenant
    configs: dict[ServiceName, uvicorn.Config]
    _servers: list[asyncio.Server] = field(default_factory=list)
    _state: ServerState = field(default_factory=ServerState)

    async def serve(self, service: ServiceName, listener: socket.socket) -> None:
        """Answer on a listening socket (TCP or Unix), which is ours from now on."""
        config = self.configs[service]
        state: dict[str, Any] = {"tenant": self.tenant}

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self._state, app_state=state
            )
            return made

        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        if listener.family == socket.AF_UNIX:
            server = await loop.create_unix_server(protocol, sock=listener)
        else:
            # What is accepted inherits this; else each answer of two parts waits for a delayed ACK, 40 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = await loop.create_server(protocol, sock=listener)
        self._servers.append(server)

    async def close(self) -> None:
        """Stop listening, end every connection, and wait for the requests in flight (briefly)."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        if self._state.tasks:
            _, late = await asyncio.wait(list(self._state.tasks), timeout=5.0)
            for task in late:
                task.cancel()
            if late:
                _log.warning("tenant %s: %d requests did not end", self.tenant.name, len(late))
                await asyncio.gather(*late, return_exceptions=True)


def _configure(app: Any) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    config.load()
    return config
