"""What the guard starts ends with its owner, with everything it started in turn."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tac_rl.serving import guard

# A command that starts a child of its own, which ignores polite requests, and tells both process ids.
TREE = """
import os, subprocess, sys
child = subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 60; done"],
                         stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(os.getpid(), child.pid, flush=True)
child.wait()
"""


def start() -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, guard.__file__, sys.executable, "-c", TREE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, [int(word) for word in process.stdout.readline().split()]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [None, signal.SIGKILL], ids=["owner gone", "command killed"])
def test_the_whole_tree_ends(number: signal.Signals | None) -> None:
    process, pids = start()
    assert all(alive(pid) for pid in pids)
    assert process.stdin is not None
    if number is None:
        process.stdin.close()
    else:
        os.kill(pids[0], number)
    assert process.wait(timeout=30) == (1 if number is None else 128 + signal.SIGKILL)
    assert not any(alive(pid) for pid in pids)


def test_the_command_s_status_is_the_guard_s() -> None:
    command = [sys.executable, guard.__file__, sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait(timeout=30) == 7
