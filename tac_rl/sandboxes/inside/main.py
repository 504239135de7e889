"""The server: connects, confines itself, and answers the host's requests one by one."""

from __future__ import annotations

import _socket
import os
import select
import sys

from .confine import WORKSPACE, as_user, confine
from .frames import receive_frame, send_frame
from .shell import Shell

# `typing` and `socket` would slow every start by several milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

_IDLE_TICK_MS = 100
_BACKLOG = 64


class Server:
    """Answers requests; between them it watches what background processes use."""

    def __init__(self, connection: socket, settings: dict[str, Any]) -> None:
        self.connection = connection
        self.uid = settings["uid"]
        self.frozen = False
        self.shell = Shell(settings, connection.fileno())
        self.poll = select.poll()
        for fd in (connection.fileno(), self.shell.wake_fd):
            self.poll.register(fd, select.POLLIN)

    def serve(self) -> None:
        """Until the host closes the connection: then `receive_frame` ends the process."""
        while True:
            ready = self.poll.poll(_IDLE_TICK_MS if self.shell.busy else None)
            for fd, _ in ready:
                if fd == self.connection.fileno():
                    header, body = receive_frame(self.connection)
                    answer, data = self.answer(header, body)
                    send_frame(self.connection, {"id": header["id"], **answer}, data)
                else:
                    self.shell.reap()
            if not ready:
                self.shell.enforce_limits()

    def answer(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Do what one request asks; an operating system's error is an answer too."""
        op = header["op"]
        try:
            if op == "exec":
                if self.frozen:
                    return {"error": "it is frozen: no command can run any more"}, b""
                return self.shell.execute(body, header["seconds"], header["output_bytes"])
            if op == "freeze":
                self.frozen = True
                self.shell.kill_everything()
                return {}, b""
            return self.work_on_files(op, header, body)
        except OSError as error:
            if op == "get" and isinstance(error, FileNotFoundError):
                return {"missing": str(error)}, b""
            return {"error": f"{op}: {error}"}, b""

    def work_on_files(self, op: str, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        from . import files  # Here, because tarfile would slow every start.

        if op == "reset":
            self.shell.kill_everything()
        with as_user(self.uid):
            if op == "put":
                files.put(header["files"], body)
            elif op == "get":
                return {}, files.get(header["path"], header["max_bytes"])
            elif op == "export":
                return {}, files.export(header["max_bytes"])
            elif op == "reset":
                files.wipe()
            else:
                return {"error": f"unknown operation {op!r}"}, b""
        if op == "reset":
            self.frozen = False
            self.shell.restart(WORKSPACE)
        return {}, b""


def hand_out_listeners(connection: socket, ports: list[int]) -> None:
    """Listen on this sandbox's loopback, and give the listening sockets to the host.

    They stay in this network namespace, whoever accepts from them: so the host's office answers commands
    in here, without a network and without a process of its own in the sandbox.
    """
    listeners = []
    for port in ports:
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        listeners.append(listener)
    if listeners:
        fds = b"".join(listener.fileno().to_bytes(4, sys.byteorder) for listener in listeners)
        connection.sendmsg([b"L"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
    for listener in listeners:
        listener.close()


def main() -> None:
    """Serve the host whose socket is the first argument; the others are ports to listen on for it."""
    os.closerange(3, 1024)  # What bubblewrap or docker left open would be inherited by the commands.
    connection = _socket.socket(_socket.AF_UNIX)
    connection.connect(sys.argv[1])
    hand_out_listeners(connection, [int(port) for port in sys.argv[2:]])
    header, _ = receive_frame(connection)
    confine(header)
    server = Server(connection, header)
    send_frame(connection, {"id": header["id"]})
    server.serve()
