"""Starting, stopping, dying and cleaning up, with and without the owner's help."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tac_rl.config.sandbox import SandboxSection
from tac_rl.errors import SandboxError, SandboxUnavailableError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import Mount, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider, BubblewrapSandbox
from tac_rl.sandboxes.select import make_limits, make_provider
from tac_rl.sandboxes.sweep import find_leftovers, sweep
from tests.sandbox_helpers import in_sandbox, processes_mentioning

OWNER = """
import asyncio, sys
from pathlib import Path
from tac_rl.sandboxes.base import SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider

async def main():
    provider = BubblewrapProvider(runtime_dir=Path(sys.argv[1]))
    for number in range(3):
        sandbox = await provider.start(SandboxSpec(f"s{number}"))
        await sandbox.exec(f"setsid bash -c 'exec -a marker-{sys.argv[2]} sleep 1000' & echo $! > pid")
        await sandbox.exec("until grep -q marker /proc/$(cat pid)/cmdline; do :; done")
    busy = asyncio.create_task(sandbox.exec("sleep 1000", timeout_s=1000))
    await asyncio.sleep(0)
    print("ready", flush=True)
    await busy

asyncio.run(main())
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A short runtime folder of the test's own."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:  # pytest's own are too long for sockets
        yield Path(folder)


def test_many_sandboxes_at_once(base: Path) -> None:
    async def one(provider: BubblewrapProvider, number: int) -> str:
        sandbox = await provider.start(SandboxSpec(f"s{number}"))
        await sandbox.put({"me": str(number).encode()})
        result = await sandbox.exec("cat me; ls / | wc -l; python3 -c 'print(1)'; sleep 0.1")
        await sandbox.stop()
        return result.output.split("\n")[0][:2]

    async def work() -> list[str]:
        provider = BubblewrapProvider(runtime_dir=base)
        try:
            return await asyncio.gather(*(one(provider, number) for number in range(10, 42)))
        finally:
            await provider.close()

    assert asyncio.run(work()) == [str(number)[:1] + str(number)[1:] for number in range(10, 42)]
    assert list(base.iterdir()) == []


def test_stop_twice_and_close_remove_every_trace(base: Path) -> None:
    async def work() -> None:
        provider = BubblewrapProvider(runtime_dir=base)
        first = await provider.start(SandboxSpec("first"))
        await provider.start(SandboxSpec("second"))
        await first.exec("setsid sleep 100 &")
        await first.stop()
        await first.stop()
        with pytest.raises(SandboxError, match="sandbox first: it ended during exec"):
            await first.exec("true")
        await provider.close()
        await provider.close()

    asyncio.run(work())
    assert list(base.iterdir()) == []
    assert processes_mentioning(str(base)) == []


def test_a_sandbox_that_dies_is_an_error_and_stop_still_cleans_up(base: Path) -> None:
    async def work() -> None:
        provider = BubblewrapProvider(runtime_dir=base)
        sandbox = await provider.start(SandboxSpec("doomed"))
        assert isinstance(sandbox, BubblewrapSandbox)
        running = asyncio.create_task(sandbox.exec("sleep 100", timeout_s=100))
        await asyncio.sleep(0)
        signal.pidfd_send_signal(sandbox._process.init_pidfd, signal.SIGKILL)
        with pytest.raises(SandboxError, match="sandbox doomed: it ended during exec"):
            await running
        with pytest.raises(SandboxError, match="it ended"):
            await sandbox.get("x")
        await sandbox.stop()
        await provider.close()

    asyncio.run(work())
    assert list(base.iterdir()) == []


def test_a_cancelled_command_is_killed_by_the_next_request() -> None:
    async def work(sandbox: BubblewrapSandbox) -> str:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sandbox.exec("echo early; sleep 1000", timeout_s=1000), 0.2)
        return (await sandbox.exec("pgrep -c sleep; echo on")).output

    output = in_sandbox(work)
    assert "early" not in output and output.endswith("0\non\n")


def test_concurrent_calls_take_turns() -> None:
    async def work(sandbox: BubblewrapSandbox) -> list[str]:
        results = await asyncio.gather(*(sandbox.exec(f"sleep 0.01; echo {number}") for number in range(10)))
        return [result.output for result in results]

    assert in_sandbox(work) == [f"{number}\n" for number in range(10)]


def test_killing_the_owner_leaves_no_process_and_the_sweep_removes_the_rest(base: Path) -> None:
    marker = os.urandom(6).hex()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(base), marker],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"ready\n"
        pids = {*processes_mentioning(f"marker-{marker}"), *processes_mentioning(str(base))} - {owner.pid}
        fds = [os.pidfd_open(pid) for pid in pids]
        assert find_leftovers(base) == []
        owner.kill()
        owner.wait(10)
    assert len(fds) >= 6, "three sleeps and three bubblewraps"
    for fd in fds:
        assert _ends(fd)
        os.close(fd)
    assert processes_mentioning(f"marker-{marker}") == []
    (leftover,) = find_leftovers(base)
    assert leftover.folder.name.startswith(f"{owner.pid}-")
    assert sweep(base) == [leftover] or leftover.processes  # They may still have been ending above.
    assert list(base.iterdir()) == [] and sweep(base) == []


def _ends(pidfd: int) -> bool:
    import select

    return bool(select.select([pidfd], [], [], 20)[0])


def test_the_sweep_ends_recorded_processes_of_dead_owners_and_spares_the_living(base: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as orphan, subprocess.Popen(["sleep", "1000"]) as bystander:
        dead = base / "4194000-1" / "abcd" / "0"
        dead.mkdir(parents=True)
        (dead / "processes").write_text(f"{runtime.identity(orphan.pid)}\n{bystander.pid}-1\n")
        (base / runtime.identity(os.getpid()) / "abcd").mkdir(parents=True)
        (base / "somebody's file").write_text("")
        (found,) = find_leftovers(base)
        assert found.processes == (runtime.identity(orphan.pid),)
        assert sweep(base) == [found]
        assert orphan.wait(10) == -signal.SIGKILL
        assert bystander.poll() is None
        bystander.kill()
    names = {path.name for path in base.iterdir()}
    assert names == {runtime.identity(os.getpid()), "somebody's file"}


PLAIN_USER = """
import asyncio, sys
from pathlib import Path
from tac_rl.sandboxes.base import SandboxLimits, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider

async def main():
    provider = BubblewrapProvider(runtime_dir=Path(sys.argv[1]))
    provider.check()
    sandbox = await provider.start(SandboxSpec("plain", SandboxLimits(processes=16, memory_mb=96, disk_mb=4)))
    for command in (
        "id -u; kill -9 1; kill -9 -1; cat /proc/1/environ /proc/1/maps; ls /proc/1/fd; touch /x /etc/x /run/x",
        "echo > /dev/stderr; grep CapEff /proc/self/status; head -c 9M /dev/zero > x; rm x",
        "while true; do (sleep 100 &); done",
        "python3 -c 'x = bytearray(9 << 30)'",
    ):
        print((await sandbox.exec(command)).output)
    await provider.close()

asyncio.run(main())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="all tests here run as a plain user already")
def test_a_plain_user_has_the_same_limits() -> None:
    python, repository = Path("/usr/bin/python3"), Path(__file__).parents[1]
    usable = [python, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import tac_rl.sandboxes.bubblewrap"]
    if subprocess.run(
        [*usable, str(repository)], user=65534, group=65534, check=False, capture_output=True
    ).returncode:
        pytest.skip("no Python and repository that another user may read")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        result = subprocess.run(
            [python, "-c", PLAIN_USER, folder],
            user=65534,
            group=65534,
            extra_groups=[],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(repository), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert list(Path(folder).iterdir()) == []
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("1000\n")
    assert result.stdout.count("Permission denied") >= 3 and result.stdout.count("Read-only file system") == 3
    assert "\nCapEff:\t0000000000000000\n" in result.stdout
    for said in ("No space left on device", "the limit of 16 processes was reached"):
        assert said in result.stdout
    assert "MemoryError" in result.stdout or "limit of 96 MB of memory" in result.stdout


def test_a_start_that_fails_says_why_and_leaves_nothing(base: Path) -> None:
    async def work() -> None:
        provider = BubblewrapProvider(runtime_dir=base)
        with pytest.raises(SandboxError, match="sandbox x: the mount /nonexistent/y does not exist"):
            await provider.start(SandboxSpec("x", read_only_mounts=(Mount("/nonexistent/y", "/data"),)))
        with pytest.raises(SandboxError, match=r"sandbox x did not start: .*bwrap: "):
            await provider.start(SandboxSpec("x", read_only_mounts=(Mount("/usr", "/proc/self/nope"),)))
        await provider.close()

    asyncio.run(work())
    assert list(base.iterdir()) == []


def test_a_missing_bubblewrap_is_reported_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailableError, match="install bubblewrap"):
        BubblewrapProvider(runtime_dir=base).check()


def test_refused_namespaces_are_reported_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: Path
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxUnavailableError, match="unprivileged_userns_clone=1"):
        BubblewrapProvider(runtime_dir=base).check()


def test_a_runtime_folder_with_a_long_path_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"too long for Unix sockets: set sandbox\.runtime_dir"):
        BubblewrapProvider(runtime_dir=tmp_path / ("x" * 80)).check()


def test_the_config_makes_a_working_provider(base: Path) -> None:
    section = SandboxSection(runtime_dir=base, memory_mb=128, processes=9)
    make_provider(section).check()
    assert make_limits(section).memory_mb == 128 and make_limits(section).processes == 9
