"""The office from the command line, for checkers, and over MCP: each verb written down once.

`http`, `names`, `table`, `main` and the services' clients and verbs run inside sandboxes, on any Python from 3.9 with
nothing but its standard library, and import nothing of TAC-RL. This module and `mcp_server` run on the host.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from tac_rl.compiled import with_compiled

SERVICES = ("chat", "forge", "tracker", "drive")
_CLIENTS = ("http", "names", *SERVICES)
_VERBS = ("main", "table", "forge_code_verbs", *(f"{service}_verbs" for service in SERVICES))

# `env` finds the sandbox's Python, whichever it is. -I and -S leave out the environment and site-packages.
_LAUNCHER = """#!/usr/bin/env -S python3 -IS
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, __file__.rpartition("/")[0] + "/../lib")
from verbs.main import main

sys.exit(main("{service}", sys.argv[1:]))
"""


@functools.cache
def sandbox_files() -> Mapping[str, bytes]:
    """The commands: path below one folder -> content. Whatever is in `bin/` is to be executable, and on PATH."""
    files = {f"bin/{service}": _LAUNCHER.format(service=service).encode() for service in SERVICES}
    for name in (*_CLIENTS, *_VERBS):
        files.update({f"lib/verbs/{path}": content for path, content in _module(name).items()})
    return files


@functools.cache
def client_files() -> Mapping[str, bytes]:
    """What `grading_kit/office.py` needs beside it: path -> content."""
    files: dict[str, bytes] = {}
    for name in _CLIENTS:
        files.update({f"verbs/{path}": content for path, content in _module(name).items()})
    return files


def _module(name: str) -> Mapping[str, bytes]:
    return with_compiled(name, (Path(__file__).parent / f"{name}.py").read_bytes())
