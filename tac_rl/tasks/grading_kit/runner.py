"""Runs one program that agents may have written: bounded in time and output, and nothing of it survives."""

import ctypes
import os
import select
import signal
import subprocess
import time

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
LIBC = ctypes.CDLL(None)


def run(command, seconds, cwd, limit, env):
    """Exit status (None where it was killed or couldn't start) and the first `limit` bytes of its output."""
    # Nothing of the same user may read this process's memory or descriptors, and orphans come back to it.
    LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    clean = {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": "/tmp",
        "LC_ALL": "C.UTF-8",
    }
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**clean, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None, ""
    try:
        output, ended = _read(process, time.monotonic() + seconds, limit)
        code = process.wait(timeout=0.2) if ended else None
    except subprocess.TimeoutExpired:
        code = None
    finally:
        process.stdout.close()
        _kill_descendants()
    return code if code is None or code >= 0 else None, bytes(output).decode("utf-8", "replace")


def _read(process, deadline, limit):
    """Read until the program has exited (what runs on in the background doesn't count), or the deadline."""
    output = bytearray()
    descriptor = process.stdout.fileno()
    os.set_blocking(descriptor, False)
    pidfd = os.pidfd_open(process.pid)
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return output, False
            ready, _, _ = select.select([descriptor, pidfd], [], [], left)
            chunk = None
            if descriptor in ready:
                chunk = os.read(descriptor, 1 << 16)
                output += chunk[: limit - len(output)]
            if not chunk and pidfd in ready:
                return output, True
            if chunk == b"":  # Closed its output, but hasn't exited.
                return output, bool(select.select([pidfd], [], [], left)[0])
    finally:
        os.close(pidfd)


def _kill_descendants():
    """Kill children until none is left; as subreaper, this process inherits every orphan."""
    while True:
        for pid in _children():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children():
    """Process ids with this process as parent. (`/proc/self/task/*/children` needs a kernel option.)"""
    mine = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == mine:
            yield int(name)
