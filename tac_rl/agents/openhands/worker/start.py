"""The worker process: `python -I start.py CONTROL_FD OWNER_PID`, started by `process.py` with OpenHands' Python.

It shows itself only the package `tac_rl` of the source tree that this file is in, since the libraries beside
it may be made for another Python. It is killed with its owner, also where that is killed.
"""

import ctypes
import importlib.util
import os
import signal
import socket
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def show_package(root: Path) -> None:
    """Make `tac_rl` importable, and nothing else that lies beside it."""
    spec = importlib.util.spec_from_file_location(
        "tac_rl", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tac_rl"] = module
    spec.loader.exec_module(module)


def main(arguments: list[str]) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(arguments[1]):
        os._exit(1)
    # The terminal's Ctrl-C goes to the whole group; the owner decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    show_package(Path(__file__).resolve().parents[3])
    from tac_rl.agents.openhands.worker.serve import serve

    serve(socket.socket(fileno=int(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
