"""The process of the transformers engine: `python -m tac_rl.serving.worker FD PARENT_PID SETTINGS`.

Reads and writes frames on the inherited socket FD: four bytes of length (big endian), then JSON in
UTF-8. The first frame it writes is `ready` or `error`. It ends when the socket does, so it can't outlive
the process that started it, not even in the middle of a step.
"""

import json
import os
import queue
import socket
import struct
import sys
import threading
from typing import Any

from tac_rl.parts import take_over


def read_exactly(sock: socket.socket, count: int) -> bytes | None:
    """`count` bytes, or None at the end of the stream."""
    parts = bytearray()
    while len(parts) < count:
        part = sock.recv(count - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def main(arguments: list[str]) -> None:
    sock, settings = take_over(arguments)
    inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def write(message: dict[str, Any]) -> None:
        body = json.dumps(message, separators=(",", ":")).encode()
        sock.sendall(struct.pack(">I", len(body)) + body)

    def read() -> None:
        try:
            while (head := read_exactly(sock, 4)) is not None:
                body = read_exactly(sock, struct.unpack(">I", head)[0])
                if body is None:
                    break
                inbox.put(json.loads(body))
        except OSError:
            pass
        os._exit(0)

    threading.Thread(target=read, name="commands", daemon=True).start()
    from tac_rl.errors import EngineError
    from tac_rl.serving.core import Core, CoreSettings

    try:
        core = Core(CoreSettings(**settings))
    except EngineError as error:
        write({"error": "EngineError", "message": str(error)})
        return
    write({"ready": core.ready})
    core.run(inbox, write)


if __name__ == "__main__":
    main(sys.argv[1:])
