"""The lock of a run directory: a file that names the writing process by pid and start time.

A dead process's lock is taken over. The start time (clock ticks since boot, /proc/PID/stat field 22) tells a
living holder from another process that got the same pid later.
"""

import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from tac_rl.errors import RunError
from tac_rl.runs.schema import translated

LOCK = "lock"


@dataclass(frozen=True)
class Holder:
    pid: int
    start_ticks: int
    host: str


def process_start_ticks(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None where it does not live (or is a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the command in brackets and may hold spaces and brackets itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def read_holder(directory: Path) -> Holder | None:
    """Who holds the lock, dead or alive; None where nobody does."""
    try:
        data = json.loads((directory / LOCK).read_text())
        return Holder(int(data["pid"]), int(data["start_ticks"]), str(data["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def holder_lives(holder: Holder) -> bool | None:
    """Whether the holder still runs; None where it is on another host and can't be asked."""
    if holder.host != socket.gethostname():
        return None
    return process_start_ticks(holder.pid) == holder.start_ticks


def take(directory: Path) -> None:
    """Take the lock, or raise `RunError` where a living process has it."""
    path = directory / LOCK
    with translated(path), path.open("a+") as file:
        # The flock only covers this read-then-write, so two starters can't both find a dead holder.
        fcntl.flock(file, fcntl.LOCK_EX)
        holder = read_holder(directory)
        if holder is not None:
            lives = holder_lives(holder)
            if lives:
                raise RunError(
                    f"{directory}: in use by process {holder.pid}; "
                    "watch it with monitor.py, or stop it before --resume"
                )
            if lives is None:
                raise RunError(
                    f"{directory}: in use by process {holder.pid} on {holder.host}; "
                    f"if that process is gone, remove {path} and try again"
                )
        own = os.getpid()
        ticks = process_start_ticks(own)
        if ticks is None:
            raise RunError(f"{path}: /proc/{own}/stat can't be read; mount /proc to run TAC-RL")
        file.seek(0)
        file.truncate()
        json.dump(asdict(Holder(own, ticks, socket.gethostname())), file)
        file.flush()


def release(directory: Path) -> None:
    """Give the lock back; the file stays (empty), so that a waiting starter holds the same inode."""
    path = directory / LOCK
    with translated(path), path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
