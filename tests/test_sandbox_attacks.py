"""Commands that try to harm: the host and the server stay whole, and the sandbox goes on working."""

import asyncio
import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from tac_rl.sandboxes.base import ExecResult, Mount, Sandbox, SandboxLimits, SandboxSpec
from tests.sandbox_helpers import in_sandbox, outputs, provider_of_kind

pytestmark = pytest.mark.usefixtures("sandbox_kind")

REPOSITORY = Path(__file__).parents[1]


def attack(command: str, **limits: float) -> tuple[ExecResult, ExecResult]:
    """What an attack did, and what `echo alive; pwd` says after it."""

    async def work(sandbox: Sandbox) -> tuple[ExecResult, ExecResult]:
        return await sandbox.exec(command), await sandbox.exec("echo alive; pwd")

    result, after = in_sandbox(work, **{"exec_seconds": 20.0, **limits})
    assert after.output.endswith("alive\n/workspace\n") and after.exit_code == 0
    return result, after


def test_a_command_that_never_ends() -> None:
    result, _ = attack("while :; do :; done", exec_seconds=0.3)
    assert result.timed_out


@pytest.mark.parametrize(
    "ignore", ["trap '' INT TERM HUP QUIT;", "trap 'sleep 100' EXIT TERM;", "nohup setsid --wait"]
)
def test_a_command_that_ignores_signals_and_never_ends(ignore: str) -> None:
    result, _ = attack(f"{ignore} sleep 1000", exec_seconds=0.3)
    assert result.timed_out


@pytest.mark.parametrize("bomb", ["f() { f | f; }; f", "while true; do (sleep 100 &) ; done"])
def test_a_fork_bomb_is_stopped_at_the_limit_of_processes(bomb: str) -> None:
    result, _ = attack(bomb, processes=24)
    assert "limit of 24 processes" in result.output or "Resource temporarily unavailable" in result.output
    assert not result.timed_out


def test_a_fork_bomb_in_the_background_is_stopped_between_commands() -> None:
    async def work(sandbox: Sandbox) -> ExecResult:
        await sandbox.exec(":(){ :|:& };:")
        for _ in range(200):  # Each round asks; the limit is enforced while nobody asks, too.
            result = await sandbox.exec("sleep 0.1; echo on")
            if "limit of 24 processes" in result.output:
                return await sandbox.exec("pgrep -c bash")
        raise AssertionError("the fork bomb was never stopped")

    assert in_sandbox(work, processes=24, exec_seconds=10).output == "1\n"


def test_threads_count_as_processes() -> None:
    code = (
        "import threading, time; [threading.Thread(target=time.sleep, args=(9,)).start() for _ in range(99)]"
    )
    result, _ = attack(f"python3 -c '{code}'", processes=24)
    assert "can't start new thread" in result.output or "limit of 24 processes" in result.output


def test_filling_the_disk_fails_at_its_size_over_all_writable_folders() -> None:
    result, _ = attack(
        "for d in /workspace /tmp ~ /dev/shm; do head -c 3000000 /dev/zero > $d/f && echo ok $d; done;"
        "du -cb /workspace /tmp ~ /dev/shm | tail -1; rm -f /workspace/f; echo there is room > again; cat again",
        disk_mb=8,
    )
    assert result.output.count("ok ") == 2 and "No space left on device" in result.output
    assert result.output.endswith("there is room\n")


def test_nothing_else_is_writable() -> None:
    (output,) = outputs(
        "find / -xdev -writable -type d 2>/dev/null; for d in / /dev /run /etc /usr /home /var/tmp /proc/sys;"
        " do touch $d/f 2>/dev/null && echo wrote $d; done; mount -t tmpfs x /mnt; echo x > /proc/sys/kernel/hostname"
    )
    assert "wrote" not in output and "/etc" not in output
    assert output.count("ermission denied") + output.count("ead-only") + output.count("superuser") >= 1


def test_a_million_empty_files_and_a_sparse_giant() -> None:
    code = "import itertools\nfor i in itertools.count(): open(f'{i}', 'w')"
    result, _ = attack(f'python3 -c "{code}"; truncate -s 1T giant; rm -rf /workspace/*', disk_mb=4)
    assert "No space left on device" in result.output


def test_printing_a_gigabyte_keeps_head_and_tail_and_no_memory() -> None:
    result, _ = attack("echo first; head -c 1G /dev/zero; echo last", exec_seconds=60)
    assert result.truncated and result.exit_code == 0
    assert result.output.startswith("first\n") and result.output.endswith("last\n")
    assert len(result.output) < 20_000


@pytest.mark.parametrize(
    "hog",
    [
        "python3 -c 'x = bytearray(2 << 30)'",
        "python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 20))'",
        "for i in 1 2 3 4; do python3 -c 'x = b\"x\" * (40 << 20); import time; time.sleep(30)' & done; wait",
        "python3 -c 'import mmap; m = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): m[i] = 1'",
        "x=$(head -c 2G /dev/zero | tr '\\0' x)",
    ],
)
def test_memory_ends_at_the_limit(hog: str) -> None:
    result, _ = attack(hog, memory_mb=96, disk_mb=8)
    assert result.exit_code != 0 and not result.timed_out
    said = ("MemoryError", "limit of 96 MB of memory", "cannot allocate", "Killed")
    assert any(text in result.output for text in said)


def test_kernel_memory_that_no_process_owns_is_refused() -> None:
    code = "import os, ctypes; print(ctypes.CDLL(None).shmget(0, 4096, 0o1600)); os.memfd_create('x')"
    result, _ = attack(f'python3 -c "{code}"')
    assert "-1\n" in result.output and "PermissionError" in result.output


def test_a_hoard_of_full_sockets_is_stopped() -> None:
    code = (
        "import os, socket\n"
        "for _ in range(3): os.fork()\n"
        "kept = [socket.socketpair() for _ in range(200)]\n"
        "for a, b in kept:\n"
        "    a.setblocking(False)\n"
        "    try: [a.send(bytes(9999)) for _ in range(99)]\n"
        "    except BlockingIOError: pass\n"
        "import time; time.sleep(30)"
    )
    result, _ = attack(f"python3 -c '{code}'", processes=32)
    assert "the limit of 256 sockets was reached" in result.output


def test_killing_everything_leaves_the_server() -> None:
    attack("kill -9 -1; python3 -c 'import os; os.kill(-1, 9)'")
    result, _ = attack(
        "for p in $(ls /proc | grep -E '^[0-9]+$'); do [ $p = $$ ] || kill -9 $p; done; kill -9 1;"
        "for s in $(seq 1 64); do [ $s = 9 ] || kill -$s 1; done 2>/dev/null; kill -9 $$"
    )
    assert "the shell was killed by signal 9" in result.output


def test_the_server_can_not_be_read_or_traced() -> None:
    code = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print('ptrace', [libc.ptrace(request, 1, 0, 0) for request in (16, 0x4206)])\n"
        "fd = os.pidfd_open(1)\n"
        "print('pidfd_getfd', [libc.syscall(438, fd, n, 0) for n in range(20)].count(-1))\n"
        "for name in ('cwd', 'root', 'exe', 'ns/mnt'):\n"
        "    try: print('link', os.readlink(f'/proc/1/{name}'))\n"
        "    except OSError as error: print(error.errno)\n"
        "for name in ('mem', 'environ', 'maps'):\n"
        "    try: print('read', name, open(f'/proc/1/{name}', 'rb').read(64))\n"
        "    except OSError as error: print(error.errno)\n"
        "print(open('/proc/1/cmdline').read().replace('\\0', ' '))\n"
    )

    async def work(sandbox: Sandbox) -> str:
        await sandbox.put({"probe.py": code.encode()})
        return (await sandbox.exec("python3 probe.py; ls /proc/1/fd /proc/1/task/1/fd /run/control")).output

    output = in_sandbox(work)
    assert "ptrace [-1, -1]" in output and "pidfd_getfd 20" in output
    assert "link" not in output and "read " not in output
    assert "cannot open directory '/proc/1/fd'" in output
    assert "tac-rl" not in output and str(REPOSITORY) not in output


def test_no_way_to_more_rights() -> None:
    (output,) = outputs(
        "grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status; unshare -Ur true; unshare -n true;"
        "python3 -c 'import os; os.setuid(0)'; su -c true; chroot / true; ls -l /proc/self/fd | wc -l"
    )
    assert output.count("\t0000000000000000\n") == 4 and "NoNewPrivs:\t1" in output
    assert output.count("unshare failed: Operation not permitted") == 2
    assert "PermissionError" in output or "OSError" in output
    assert output.endswith("\n5\n"), "only 0, 1, 2 and the listing itself are open"


def test_a_canary_on_the_host_is_found_nowhere(tmp_path: Path) -> None:
    canary = "canary-" + os.urandom(12).hex()
    hidden = [
        tmp_path / "checker.py",
        Path.home() / f".{canary}",
        Path("/tmp") / canary,
        REPOSITORY / f".{canary}",
    ]
    try:
        for path in hidden:
            with contextlib.suppress(PermissionError):  # Not every user may write everywhere.
                path.write_text(canary)

        async def work() -> str:
            provider = provider_of_kind()
            try:
                other = await provider.start(SandboxSpec("other"))
                await other.put({"secret": canary.encode()})
                await other.exec(f"X={canary}")
                mine = await provider.start(SandboxSpec("mine", SandboxLimits(exec_seconds=100)))
                # By name everywhere; by content everywhere but in the system's programs, which are as
                # they were before the canary was made. /proc has files that never end.
                seen = await mine.exec(
                    f"find / -name '*{canary}*' 2>/dev/null; find / -xdev -name secret -o -name checker.py 2>/dev/null;"
                    " for d in $(ls -d /* /proc/[0-9]*/root/* /proc/[0-9]*/cwd 2>/dev/null | grep -v '^/proc$'); do"
                    f" case $d in */usr|*/proc|*/dev|*/bin|*/sbin|*/lib*) ;; *) grep -rsl -D skip {canary[:-1]} $d/ ;;"
                    " esac; done; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/self/mountinfo 2>/dev/null |"
                    f" tr '\\0' '\\n' | grep -c '{canary[:-1]}[{canary[-1]}]';"
                    " find /root /home /work /opt /mnt /srv /media -mindepth 1"
                )
                return seen.output
            finally:
                await provider.close()

        lines = asyncio.run(work()).splitlines()
    finally:
        for path in hidden:
            path.unlink(missing_ok=True)
    refused = ("No such file", "‘/root’: Permission denied")
    assert [line for line in lines if not any(text in line for text in refused)] == ["0", "/home/agent"]


def test_the_repository_and_the_virtual_environment_are_not_there() -> None:
    package = Path(os.path.realpath(os.__file__)).parent
    (output,) = outputs(
        f"ls {REPOSITORY} {REPOSITORY}/.venv ~root; find / -name 'tac_rl*' 2>/dev/null; echo {package}"
    )
    assert output.count("No such file or directory") >= 2 and "/tac_rl" not in output


def test_a_read_only_mount_is_seen_and_can_not_be_changed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "data.csv").write_text("a,b\n")
    spec = SandboxSpec("test", read_only_mounts=(Mount(str(tmp_path), "/data"),), env=(("GREETING", "hi"),))

    async def work(sandbox: Sandbox) -> str:
        return (
            await sandbox.exec("cat /data/data.csv; echo x > /data/data.csv; touch /data/y; echo $GREETING")
        ).output

    output = in_sandbox(work, spec=spec)
    assert output.startswith("a,b\n") and output.endswith("hi\n")
    assert output.count("ead-only file system") + output.count("ermission denied") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_there_is_no_network_not_even_to_the_host() -> None:
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        name = f"\0tac-rl-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as abstract:
            abstract.bind(name)
            abstract.listen()
            abstract.settimeout(0.1)
            code = (
                "import socket\n"
                f"for target in (('127.0.0.1', {listener.getsockname()[1]}), ('192.0.2.1', 80), ('1.1.1.1', 53)):\n"
                "    try: socket.create_connection(target, 2); print('reached', target)\n"
                "    except OSError as error: print(error)\n"
                f"try: socket.socket(socket.AF_UNIX).connect({name!r}); print('reached')\n"
                "except OSError as error: print(error)\n"
            )

            async def work(sandbox: Sandbox) -> str:
                await sandbox.put({"net.py": code.encode()})
                return (
                    await sandbox.exec("python3 net.py; cat /proc/net/dev | tail -n +3 | cut -d: -f1")
                ).output

            output = in_sandbox(work)
    assert not reached.is_set() and "reached" not in output
    assert output.split("\n")[-2].strip() == "lo"


def test_a_huge_environment_only_hurts_itself() -> None:
    result, _ = attack(
        "export X=$(head -c 3M /dev/zero | tr '\\0' x); ls; echo $?; PWD=$X; cd; cd /workspace; unset X"
    )
    assert "Argument list too long" in result.output


def test_breaking_the_shells_own_words_costs_a_new_shell_at_most() -> None:
    result, _ = attack("builtin() { :; }; eval() { :; }; printf() { :; }; readonly PWD", exec_seconds=0.3)
    assert result.timed_out
    attack(
        "exec 200>&-; exec 0<&-; ulimit -n 3; ulimit -f 0; alias printf=false; enable -n printf eval",
        exec_seconds=1,
    )


def test_a_background_flood_does_not_fill_the_next_commands() -> None:
    async def work(sandbox: Sandbox) -> ExecResult:
        await sandbox.exec("yes & true")
        return await sandbox.exec("true")

    result = in_sandbox(work)
    assert result.exit_code == 0 and len(result.output) < 20_000
