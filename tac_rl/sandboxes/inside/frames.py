"""Frames: 4 bytes (big endian) length of a JSON header, the header, `header["size"]` bytes of body."""

from __future__ import annotations

import json
import struct
import sys

# `typing` and `socket` would slow every start by several milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any


def receive_frame(connection: socket) -> tuple[dict[str, Any], bytes]:
    """The next request. Where the host is gone, this process ends, and with it the sandbox."""
    (length,) = struct.unpack(">I", _receive(connection, 4))
    header = json.loads(_receive(connection, length))
    return header, _receive(connection, header["size"])


def send_frame(connection: socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Answer a request."""
    text = json.dumps({**header, "size": len(body)}).encode()
    connection.sendall(struct.pack(">I", len(text)) + text + body)


def _receive(connection: socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(min(count - len(data), 1 << 20))
        if not part:
            sys.exit(0)
        data += part
    return bytes(data)
