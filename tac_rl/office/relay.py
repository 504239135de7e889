"""The relay of external mode: passes a sandbox's connections on to a real stack of services.

Stands where `doors.Doors` stands and is called in the same way, so that whoever leases workplaces uses
either. It reads no protocol: bytes go both ways, an end of input is passed on as such (half-close),
and a far end that can't be reached closes the connection that asked for it.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from tac_rl.errors import OfficeError
from tac_rl.office.base import ServiceName

CHUNK = 1 << 16
FLUSH_SECONDS = 30.0
"""How long a side that has heard the end may take to read what is still buffered for it."""
_log = logging.getLogger(__name__)


@dataclass
class Relay:
    """One workplace's connections to the real services. Call everything from the event loop's thread."""

    targets: Mapping[ServiceName, tuple[str, int]]
    """Host and port of each service."""
    connect_seconds: float = 5.0
    """How long the far end may take to accept."""
    most_connections: int = 256
    """At once, over all services; one more is closed at once."""
    _servers: list[asyncio.Server] = field(default_factory=list)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: bool = False

    async def serve(self, service: ServiceName, listener: socket.socket) -> None:
        """Relay what connects to a listening socket (TCP or Unix), which is ours from now on."""
        target = self.targets.get(service)
        if target is None:
            listener.close()
            raise OfficeError(f"no address for the service {service.value}: name its host and port")

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            full = len(self._connections) >= self.most_connections
            if full:
                _log.warning("%s: more than %d connections at once", service.value, self.most_connections)
            if full or self._closed:
                writer.transport.abort()
                return
            self._connections.add(task)
            try:
                await self._relay(service, target, reader, writer)
            finally:
                self._connections.discard(task)
                writer.transport.abort()

        listener.setblocking(False)
        if listener.family == socket.AF_UNIX:
            server = await asyncio.start_unix_server(accepted, sock=listener)
        else:
            # What is accepted inherits this; else each answer of two parts waits for a delayed ACK, 40 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = await asyncio.start_server(accepted, sock=listener)
        self._servers.append(server)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        self._closed = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _relay(
        self,
        service: ServiceName,
        target: tuple[str, int],
        near_reader: asyncio.StreamReader,
        near_writer: asyncio.StreamWriter,
    ) -> None:
        """Until both sides have said all, one of them broke off, or `close` ends it."""
        try:
            async with asyncio.timeout(self.connect_seconds):
                far_reader, far_writer = await asyncio.open_connection(*target)
        except (OSError, TimeoutError) as error:
            _log.warning("%s at %s:%d can't be reached: %s", service.value, *target, error or "timed out")
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(near_reader, far_writer))
                both.create_task(_pass_on(far_reader, near_writer))
            # What is still in a buffer when both have ended goes out before the connections are aborted.
            for writer in (near_writer, far_writer):
                writer.close()
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(FLUSH_SECONDS):
                        await writer.wait_closed()
        except* OSError as errors:
            _log.debug("%s: a connection broke: %s", service.value, errors.exceptions[0])
        finally:
            far_writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes until the end of input, which is then passed on too."""
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
