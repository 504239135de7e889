"""Requests between the trainer and the office's process: frames over a Unix socket, with listeners attached.

A frame is 5 bytes (big endian: length of the body, number of file descriptors), to which the descriptors
are attached, and a body of JSON.
"""

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

_HEAD = struct.Struct(">IB")
MOST_DESCRIPTORS = 16


def send(stream: socket.socket, document: dict[str, Any], listeners: Sequence[socket.socket] = ()) -> None:
    """Write one frame (blocking)."""
    body = json.dumps(document, separators=(",", ":")).encode()
    head = _HEAD.pack(len(body), len(listeners))
    if listeners:
        socket.send_fds(stream, [head], [listener.fileno() for listener in listeners])
    else:
        stream.sendall(head)
    stream.sendall(body)


def receive(stream: socket.socket) -> tuple[dict[str, Any], list[socket.socket]] | None:
    """Read one frame (blocking); None where the other side is gone."""
    try:
        head, fds, _, _ = socket.recv_fds(stream, _HEAD.size, MOST_DESCRIPTORS)
    except ConnectionError:
        return None
    listeners = [socket.socket(fileno=fd) for fd in fds]
    head += _exactly(stream, _HEAD.size - len(head)) if head else b""
    if len(head) < _HEAD.size:
        return None
    length, count = _HEAD.unpack(head)
    body = _exactly(stream, length)
    if len(body) < length or len(listeners) != count:
        return None
    return json.loads(body), listeners


def _exactly(stream: socket.socket, count: int) -> bytes:
    """`count` bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < count:
        try:
            part = stream.recv(min(count - len(data), 1 << 20))
        except ConnectionError:
            break
        if not part:
            break
        data += part
    return bytes(data)
