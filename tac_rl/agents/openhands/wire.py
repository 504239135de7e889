"""What the trainer and a worker say to each other: frames over Unix sockets.

One control socket a worker carries the word that it is ready, and then one byte with a descriptor attached
for each conversation. That descriptor is the conversation's own socket: its thread reads and writes it alone,
so nobody waits for a dispatcher, and whoever closes it ends the conversation. A second descriptor is where the
sandbox's browser connects, where there is one. A frame is 4 bytes (big endian: length of the body) and a body of JSON.
Standard library only: both sides import it.
"""

import json
import socket
import struct
from typing import Any

HEAD = struct.Struct(">I")


def encoded(document: dict[str, Any]) -> bytes:
    """One frame."""
    # ASCII JSON: lone surrogates, which a model may write in JSON, stay escaped.
    body = json.dumps(document, separators=(",", ":")).encode()
    return HEAD.pack(len(body)) + body


def send(stream: socket.socket, document: dict[str, Any]) -> None:
    """Write one frame (blocking); `OSError` where the other side is gone."""
    stream.sendall(encoded(document))


def receive(stream: socket.socket) -> dict[str, Any] | None:
    """Read one frame (blocking); None where the other side is gone."""
    head = _exactly(stream, HEAD.size)
    if len(head) < HEAD.size:
        return None
    (length,) = HEAD.unpack(head)
    body = _exactly(stream, length)
    if len(body) < length:
        return None
    document: dict[str, Any] = json.loads(body)
    return document


def _exactly(stream: socket.socket, count: int) -> bytes:
    """`count` bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < count:
        try:
            part = stream.recv(min(count - len(data), 1 << 20))
        except OSError:
            break
        if not part:
            break
        data += part
    return bytes(data)
