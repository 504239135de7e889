"""Where sockets and logs live while a process lasts.

    <base>/<owner's pid>-<owner's start time>/<provider>/<number>/   a sandbox: log, processes, control/
    <base>/<owner's pid>-<owner's start time>/<provider>/system/     what the provider's sandboxes share

Pid and start time together name a process for as long as the machine is up.
"""

import contextlib
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

from tac_rl.errors import SandboxError

_SOCKET_PATH_BYTES = 107
"""The longest path that a Unix socket can have on Linux."""
_IDENTITY = re.compile(r"[0-9]{1,10}-[0-9]{1,20}")
_LONGEST_REST = "/4194304-99999999999999/abcd/9999999/control/s"


def runtime_base(configured: Path | None = None) -> Path:
    """The folder for all runs of this user, private to it; made where there is none."""
    base = configured or Path(tempfile.gettempdir()) / f"tac-rl-{os.getuid()}"
    base = base.absolute()
    if len(os.fsencode(base)) + len(_LONGEST_REST) > _SOCKET_PATH_BYTES:
        most = _SOCKET_PATH_BYTES - len(_LONGEST_REST)
        raise SandboxError(
            f"{base} is too long for Unix sockets: set sandbox.runtime_dir to a path of at most {most} bytes"
        )
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = base.stat().st_uid
    except OSError as error:
        raise SandboxError(
            f"{base}: {error.strerror}; set sandbox.runtime_dir to a folder of yours"
        ) from error
    if owner != os.getuid():
        raise SandboxError(f"{base} belongs to another user; set sandbox.runtime_dir to a folder of yours")
    return base


def start_time(pid: int) -> int | None:
    """When a process started (clock ticks since boot); None where there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def identity(pid: int) -> str:
    """`pid-starttime` of a live process."""
    return f"{pid}-{start_time(pid) or 0}"


def is_identity(name: str) -> bool:
    """Whether a name has the form that `identity` gives."""
    return _IDENTITY.fullmatch(name) is not None


def is_alive(name: str) -> bool:
    """Whether the process that `identity` named still runs."""
    pid, _, started = name.partition("-")
    return is_identity(name) and start_time(int(pid)) == int(started)


def kill(name: str) -> None:
    """SIGKILL to the process that `identity` named, if it still is that one."""
    if is_alive(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(name.partition("-")[0]), signal.SIGKILL)


def remove(folder: Path) -> None:
    """Remove a folder of ours; what vanishes meanwhile is no error."""
    shutil.rmtree(folder, ignore_errors=True)
