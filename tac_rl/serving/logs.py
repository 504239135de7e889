"""Where engines that run as processes write, and the last lines of it for error messages."""

import os
import tempfile
from pathlib import Path
from typing import IO

LOG_FILE = "engine.log"
_TAIL_BYTES = 3000


def open_log(folder: Path | None) -> IO[bytes]:
    """`engine.log` in `folder`, appended to; without a folder, a file that vanishes when closed."""
    if folder is None:
        return tempfile.TemporaryFile(prefix="tac_rl-engine-")
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / LOG_FILE).open("ab+")


def log_tail(log: IO[bytes] | None) -> str:
    """The end of what was written, for error messages."""
    if log is None:
        return ""
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode(errors="replace").strip()
