"""Read by every Python process whose PYTHONPATH has this folder: notes down whom it connects to, or looks up.

One JSON list a line, `[event, family or null, address]`, is appended to the file that CONNECTIONS_SEEN names.
"""

import json
import os
import sys
from typing import Any

NOTED = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}


def note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in NOTED:
        family = getattr(arguments[0], "family", None)
        address = arguments[1] if family is not None else arguments[0]
        line = json.dumps([event, family, address], default=str) + "\n"
        seen = os.open(os.environ["CONNECTIONS_SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(seen, line.encode())
        os.close(seen)


if "CONNECTIONS_SEEN" in os.environ:
    sys.addaudithook(note)
