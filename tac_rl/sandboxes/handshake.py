"""How a sandbox's server and the host meet: the server connects, hands out its listeners, and is served."""

import asyncio
import socket
from pathlib import Path

from tac_rl.errors import SandboxError
from tac_rl.sandboxes.client import Connection


def listen(path: Path) -> socket.socket:
    """Where one server may connect; closed by the caller once it has."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        listener.listen(1)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


async def adopt(stream: socket.socket, ports: tuple[int, ...]) -> tuple[Connection, dict[int, socket.socket]]:
    """The connection of a server that has just connected, and its listeners by port.

    `SandboxError` where it could not listen on its ports.
    """
    try:
        listeners = await _receive_listeners(stream, ports)
    except BaseException:
        stream.close()
        raise
    _, connection = await asyncio.get_running_loop().create_unix_connection(Connection, sock=stream)
    return connection, listeners


async def readable(fd: int) -> None:
    """Wait until a file descriptor has something to read; a pidfd has when its process has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


async def _receive_listeners(stream: socket.socket, ports: tuple[int, ...]) -> dict[int, socket.socket]:
    """What the server hands out before anything else, in the order of `ports`."""
    if not ports:
        return {}
    stream.setblocking(False)
    await readable(stream.fileno())
    _, fds, _, _ = socket.recv_fds(stream, 1, len(ports))
    listeners = [socket.socket(fileno=fd) for fd in fds]
    if len(listeners) != len(ports):
        for received in listeners:
            received.close()
        raise SandboxError(f"it could not listen on the ports {', '.join(map(str, ports))}")
    return dict(zip(ports, listeners, strict=True))
