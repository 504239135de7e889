"""What the guard starts ends with its owner, with everything it started in turn and everything that leaves."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tac_rl.errors import EngineError
from tac_rl.serving import guard, leftovers

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


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


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


# An owner with a command under the guard, as the vLLM server's is. The command makes shared memory, which the
# resource tracker that would remove it never hears of, and a socket; a child of it, in a session of its own,
# lives on. Tells: folder, guard, command, child, shared memory.
OWNER = """
import os, subprocess, sys, time
from tac_rl.serving import guard, leftovers
folder = leftovers.make_folder()
command = '''
import os, socket, subprocess, sys, tempfile, time
from multiprocessing import resource_tracker, shared_memory
memory = shared_memory.SharedMemory(create=True, size=4096)
resource_tracker.unregister(memory._name, "shared_memory")
socket.socket(socket.AF_UNIX).bind(tempfile.mktemp())
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(os.getpid(), child.pid, memory.name, flush=True)
time.sleep(600)
'''
process = subprocess.Popen(
    [sys.executable, guard.__file__, "--folder", folder, sys.executable, "-c", command],
    stdin=subprocess.PIPE, env={**os.environ, **leftovers.environment(folder)})
print(folder, process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short temporary folder of the test's own: no other test's leftovers, and room for sockets' names."""
    with tempfile.TemporaryDirectory(prefix="tac-rl-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", None)
        yield Path(folder)


@pytest.mark.parametrize("killed", ["owner", "owner and guard", "everything at once"])
def test_what_a_killed_owner_s_command_left_is_removed(killed: str, temporary: Path) -> None:
    foreign = Path("/dev/shm") / f"tac-rl-test-{os.getpid()}"
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        lines = [owner.stdout.readline().split() for _ in range(2)]
        (folder, guard_pid), (command, child, name) = sorted(lines, key=len)
        foreign.write_text("somebody else's, made meanwhile")
        record = Path(folder) / "shared-memory"
        eventually(lambda: record.exists() and name in record.read_text())
        assert any(path.is_socket() for path in Path(folder).iterdir())
        victims = {
            "owner": [],
            "owner and guard": [guard_pid],
            "everything at once": [guard_pid, command, child],
        }
        for pid in [*victims[killed], owner.pid]:
            os.kill(int(pid), signal.SIGKILL)
        owner.wait(timeout=30)
        if killed == "owner":
            eventually(lambda: not alive(int(guard_pid)))
        else:
            assert leftovers.sweep() == [Path(folder)]
        assert not Path(folder).exists()
        assert not (Path("/dev/shm") / name).exists()
        assert foreign.exists()
        assert not any(alive(int(pid)) for pid in (guard_pid, command, child))
    finally:
        owner.kill()
        owner.wait(timeout=30)
        foreign.unlink(missing_ok=True)
        leftovers.sweep()


def test_the_folders_of_live_owners_and_of_strangers_are_left_alone(temporary: Path) -> None:
    ours = leftovers.make_folder()
    (strange := leftovers.base_folder() / "notes").mkdir()
    assert leftovers.sweep() == []
    assert ours.exists() and strange.exists()


def test_a_temporary_folder_too_deep_for_sockets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "deep" * 20)
    with pytest.raises(EngineError, match="set TMPDIR"):
        leftovers.make_folder()
