"""What a vLLM server leaves outside our reach when it is killed: sockets, temporary files, shared memory, workers.

Each server has a folder of its own as its TMPDIR:

    <temporary folder>/tac-rl-<user>-engines/<owner's pid>-<owner's start time>-<random>/

Its guard (`guard.py`) notes its shared memory there, and in the end removes everything. Where the guard was
killed too, the owner's `stop` does that, and where the owner is gone, the next start of any engine.
"""

import getpass
import os
import secrets
import tempfile
from pathlib import Path

from tac_rl.errors import EngineError
from tac_rl.sandboxes.runtime import identity, is_alive, is_identity
from tac_rl.serving.guard import remove_folder

_SOCKET_PATH_BYTES = 107
"""The longest path that a Unix socket can have on Linux."""
_SOCKET_NAME_BYTES = 37
"""vLLM's sockets are named by a UUID; with the slash before it."""


def base_folder() -> Path:
    """Where all servers of this user have their folders; not made by this."""
    return Path(tempfile.gettempdir()).absolute() / f"tac-rl-{os.getuid()}-engines"


def make_folder() -> Path:
    """A folder for one server of this process. Raises `EngineError` where it can't be had."""
    base = base_folder()
    folder = base / f"{identity(os.getpid())}-{secrets.token_hex(2)}"
    if len(os.fsencode(folder)) + _SOCKET_NAME_BYTES > _SOCKET_PATH_BYTES:
        raise EngineError(f"{folder} is too long for vLLM's sockets: set TMPDIR to a shorter path")
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if base.stat().st_uid != os.getuid():
            raise EngineError(f"{base} belongs to another user; set TMPDIR to a folder of yours")
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise EngineError(f"{folder}: {error.strerror}; set TMPDIR to a folder of yours") from error
    return folder


def environment(folder: Path) -> dict[str, str]:
    """What makes a server use its folder; compiled code stays where other servers find it again."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    compiled = str(Path(tempfile.gettempdir()) / f"torchinductor_{user}")  # where torch itself would put it
    return {
        "TMPDIR": str(folder),
        "VLLM_RPC_BASE_PATH": str(folder),
        "TORCHINDUCTOR_CACHE_DIR": os.environ.get("TORCHINDUCTOR_CACHE_DIR", compiled),
    }


def sweep() -> list[Path]:
    """Remove what servers of dead owners left; the folders found are returned."""
    base = base_folder()
    left = []
    for folder in sorted(base.iterdir()) if base.is_dir() else ():
        owner, _, _ = folder.name.rpartition("-")
        if is_identity(owner) and not is_alive(owner):
            remove_folder(folder)
            left.append(folder)
    return left
