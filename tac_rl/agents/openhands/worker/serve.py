"""The worker's main loop: a thread for each conversation that the owner hands over."""

import os
import socket
import threading
import traceback
from typing import NoReturn

from tac_rl.agents.openhands import wire

_THREAD_STACK_BYTES = 4 << 20


def serve(control: socket.socket) -> NoReturn:
    """Never returns: the process ends when its owner closes the control socket."""
    try:
        from tac_rl.agents.openhands.worker import conversation  # The import that takes ten seconds.

        versions = conversation.versions()
    except Exception as error:
        traceback.print_exc()
        wire.send(control, {"error": f"{type(error).__name__}: {error}"})
        os._exit(1)
    threading.stack_size(_THREAD_STACK_BYTES)
    wire.send(control, {"ready": versions})
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        except OSError:
            break
        if not data:
            break
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        stream, listener = sockets if len(sockets) == 2 else (sockets[0], None)
        threading.Thread(
            target=conversation.run, args=(stream, listener), name="conversation", daemon=True
        ).start()
    # Threads may be in the middle of a model call: nobody waits for them any more.
    os._exit(0)
