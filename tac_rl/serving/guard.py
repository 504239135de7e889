"""Run a command that can't outlive its owner: `python guard.py [--folder FOLDER] COMMAND ...`.

The owner holds the other end of this process's standard input. When that closes, however the owner
ended, the guard ends the command and everything the command started: first politely, then by force.
When the command ends by itself, the guard does the same to what it left behind and exits with its
status. Uses the standard library only, so that any interpreter can run it (Linux).

With `--folder` the command has that folder as its TMPDIR (the caller's environment must say so), and the folder
goes with it. So does the shared memory that its processes made, since a process that is killed can't remove its
own, and those of its processes that left its group. The memory's names are noted in the folder as they appear,
so that `leftovers.py` can remove them where the guard was killed too.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLITE_SECONDS = 3.0
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LIBC = ctypes.CDLL(None)

SHARED_MEMORY = Path("/dev/shm")
_RECORD = "shared-memory"
_LOOK_SECONDS = 0.2
_FORCE_SECONDS = 5.0


def _before_command() -> None:
    """In the child: default signals; and a guard that is killed itself takes the command with it."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _group_alive(group: int) -> bool:
    """Whether the command's process group still has members, after reaping those that ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _end_group(group: int) -> None:
    """SIGTERM, a while to obey it, SIGKILL."""
    for number, seconds in ((signal.SIGTERM, _POLITE_SECONDS), (signal.SIGKILL, _FORCE_SECONDS)):
        deadline = time.monotonic() + seconds
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
        while time.monotonic() < deadline:
            if not _group_alive(group):
                return
            time.sleep(0.02)


def processes_of(folder: Path) -> list[int]:
    """Live processes that were started with `folder` as their TMPDIR, this one excepted."""
    mark = b"TMPDIR=" + os.fsencode(folder)
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
            except OSError:
                continue  # It has ended, or it is another user's.
    return found


def _shared_memory() -> set[tuple[int, str]]:
    """Inode and name of each file there is."""
    try:
        with os.scandir(SHARED_MEMORY) as entries:
            return {(entry.inode(), entry.name) for entry in entries if entry.is_file(follow_symlinks=False)}
    except OSError:
        return set()  # No such folder here: then there is no such memory.


def _held_by(pid: int) -> set[int]:
    """Inodes of the shared memory that a process has open or mapped."""
    held = set()
    try:
        device = SHARED_MEMORY.stat().st_dev
        for opened in Path(f"/proc/{pid}/fd").iterdir():
            try:
                status = opened.stat()
            except OSError:
                continue  # Closed meanwhile.
            if status.st_dev == device:
                held.add(status.st_ino)
        with Path(f"/proc/{pid}/maps").open("rb") as maps:
            held |= {int(line.split()[4]) for line in maps if os.fsencode(SHARED_MEMORY) in line}
    except OSError:
        pass  # It ends just now.
    return held


class _Noting:
    """Notes which files in /dev/shm the folder's processes made. What was there before them is not theirs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = _shared_memory()

    def look(self) -> None:
        fresh = _shared_memory() - self._known
        if not fresh:
            return
        self._known |= fresh
        held: set[int] = set()
        for pid in processes_of(self._folder):
            held |= _held_by(pid)
        with (self._folder / _RECORD).open("a") as file:
            file.writelines(f"{inode} {name}\n" for inode, name in fresh if inode in held)


def remove_folder(folder: Path) -> None:
    """End by force what still runs with this folder, remove it and the shared memory noted in it.

    Safe to call twice.
    """
    deadline = time.monotonic() + _FORCE_SECONDS
    while (alive := processes_of(folder)) and time.monotonic() < deadline:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    try:
        noted = [line.partition(" ") for line in (folder / _RECORD).read_text().splitlines()]
    except OSError:
        noted = []
    for inode, _, name in noted:
        path = SHARED_MEMORY / name
        try:
            if path.lstat().st_ino == int(inode):  # else somebody else has the name by now
                path.unlink()
        except OSError:
            continue
    shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)  # The owner decides, by closing our input.
    folder, command = None, arguments
    if arguments[0] == "--folder":
        folder, command = Path(arguments[1]), arguments[2:]
    noting = _Noting(folder) if folder is not None else None
    # Orphans of the command become ours, so that they can be waited for.
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_before_command
    )
    watched = [sys.stdin.fileno(), os.pidfd_open(child.pid)]
    while not select.select(watched, [], [], _LOOK_SECONDS if noting else None)[0]:
        assert noting is not None
        noting.look()
    status = child.poll()
    if noting is not None:
        noting.look()
    _end_group(child.pid)
    if folder is not None:
        remove_folder(folder)
    return 1 if status is None else (status if status >= 0 else 128 - status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
