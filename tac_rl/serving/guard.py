"""Run a command that can't outlive its owner: `python guard.py COMMAND ...`.

The owner holds the other end of this process's standard input. When that closes, however the owner
ended, the guard ends the command and everything the command started: first politely, then by force.
When the command ends by itself, the guard does the same to what it left behind and exits with its
status. Uses the standard library only, so that any interpreter can run it (Linux).
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLITE_SECONDS = 3.0
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LIBC = ctypes.CDLL(None)


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
    for number, seconds in ((signal.SIGTERM, _POLITE_SECONDS), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + seconds
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
        while time.monotonic() < deadline:
            if not _group_alive(group):
                return
            time.sleep(0.02)


def main(command: list[str]) -> int:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)  # The owner decides, by closing our input.
    # Orphans of the command become ours, so that they can be waited for.
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_before_command
    )
    ended = os.pidfd_open(child.pid)
    select.select([sys.stdin.fileno(), ended], [], [])
    status = child.poll()
    _end_group(child.pid)
    return 1 if status is None else (status if status >= 0 else 128 - status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
