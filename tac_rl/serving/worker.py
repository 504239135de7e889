"""The process of the transformers engine: `python -m tac_rl.serving.worker FD PARENT_PID SETTINGS`.

Reads and writes frames on the inherited socket FD: four bytes of length (big endian), then JSON in
UTF-8. The first frame it writes is `ready` or `error`. It ends when the socket does, so it can't outlive
the process that started it, not even in the middle of a step.
"""

import ctypes
import json
import os
import queue
import signal
import socket
import struct
import sys
import threading
from typing import Any

_PR_SET_PDEATHSIG = 1


def read_exactly(sock: socket.socket, count: int) -> bytes | None:
    """`count` bytes, or None at the end of the stream."""
    parts = bytearray()
    while len(parts) < count:
        part = sock.recv(count - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: list[str]) -> None:
    sock = socket.socket(fileno=int(arguments[0]))
    die_with_parent(int(arguments[1]))
    # The terminal's Ctrl-C goes to the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
        core = Core(CoreSettings(**json.loads(arguments[2])))
    except EngineError as error:
        write({"error": "EngineError", "message": str(error)})
        return
    write({"ready": core.ready})
    core.run(inbox, write)


if __name__ == "__main__":
    main(sys.argv[1:])
