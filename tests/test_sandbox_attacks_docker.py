"""Attacks on a container, as its agent and as its root: on the daemon, the kernel, its limits, its neighbours."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import docker
import pytest

from tac_rl.config.sandbox import DockerSection
from tac_rl.sandboxes.base import Sandbox, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.docker.provider import DockerProvider, DockerSandbox
from tests.docker_helpers import with_docker

pytestmark = [
    pytest.mark.usefixtures("docker_engine"),
    pytest.mark.parametrize("user", [1000, 0], ids=["agent", "root"]),
]
SYSTEM_CALLS = """
import ctypes, os, resource, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, *arguments):
    result = getattr(libc, name)(*arguments)
    print("failed" if result == -1 else "DONE", name, os.strerror(ctypes.get_errno()))
attempt("mount", b"x", b"/mnt", b"tmpfs", 0, None)
attempt("mount", b"/", b"/mnt", None, 4096, None)
attempt("mount", None, b"/", None, 32, None)
attempt("umount2", b"/run/control", 2)
attempt("umount2", b"/sys", 2)
attempt("pivot_root", b"/tmp", b"/tmp")
attempt("chroot", b"/tmp")
attempt("unshare", 0x10000000)
attempt("unshare", 0x00020000)
attempt("setns", os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)
if os.uname().machine == "x86_64":
    attempt("syscall", 313, 0, b"", 0)  # finit_module
    attempt("syscall", 175, b"", 0, b"")  # init_module
    attempt("syscall", 246, 0, 0, 0, 0)  # kexec_load
    attempt("syscall", 321, 0, 0, 0)  # bpf
    attempt("syscall", 298, 0, 0, -1, -1, 0)  # perf_event_open
    attempt("syscall", 248, b"user", b"x", b"y", 1, -3)  # add_key
    attempt("syscall", 425, 8, ctypes.create_string_buffer(256))  # io_uring_setup
    attempt("syscall", 323, 0)  # userfaultfd
    attempt("syscall", 304, -1, b"", 0)  # open_by_handle_at
attempt("ptrace", 16, 1, 0, 0)
attempt("ptrace", 0x4206, 1, 0, 0)
attempt("sethostname", b"evil", 4)
attempt("setuid", 12345)
attempt("swapon", b"/dev/zero", 0)
attempt("reboot", 0x1234567)
attempt("nice", -10)
attempt("mknod", b"/tmp/disk", 0o60666, os.makedev(254, 0))
for what in ("RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_DATA"):
    try:
        resource.setrlimit(getattr(resource, what), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("DONE", what)
    except (OSError, ValueError):
        print("failed", what)
for kind, protocol in ((socket.SOCK_RAW, 1), (socket.SOCK_RAW, 255)):
    try:
        socket.socket(socket.AF_INET, kind, protocol)
        print("DONE raw socket")
    except OSError:
        print("failed raw socket")
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    print("DONE packet socket")
except OSError:
    print("failed packet socket")
"""


def attack(work: Callable[[Sandbox], Awaitable[str]], user: int, **limits: float) -> str:
    """What an attack printed; the sandbox is alive afterwards."""

    async def run(provider: DockerProvider) -> str:
        sandbox = await provider.start(SandboxSpec("attack", SandboxLimits(**limits)))  # type: ignore[arg-type]
        output = await work(sandbox)
        after = await sandbox.exec("cd /workspace; echo alive")
        assert after.output.endswith("alive\n"), after
        return output

    return with_docker(run, DockerSection(user=user, pool=0))


def shell(command: str, user: int, **limits: float) -> str:
    async def work(sandbox: Sandbox) -> str:
        return (await sandbox.exec(command)).output

    return attack(work, user, **limits)


def test_no_system_call_leads_out_or_lifts_a_limit(user: int) -> None:
    async def work(sandbox: Sandbox) -> str:
        await sandbox.put({"calls.py": SYSTEM_CALLS.encode()})
        return (await sandbox.exec("python3 calls.py")).output

    output = attack(work, user)
    assert output.count("failed") >= 20, output
    assert "DONE" not in output and "Traceback" not in output, output


def test_no_file_of_the_kernel_can_be_written(user: int) -> None:
    # Root may fill /dev (in memory, counted there) and offer the server to the kernel's killer: it harms itself.
    output = shell(
        "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/drop_caches"
        " /proc/sysrq-trigger /proc/sys/net/ipv4/ip_forward /proc/kcore /sys/kernel/uevent_helper"
        " /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max /sys/fs/cgroup/release_agent"
        " /etc/passwd /etc/shadow /etc/hosts /etc/resolv.conf /usr/bin/git /run/server/inside/main.pyc /run/x /x"
        f" {'/proc/1/oom_score_adj /dev/mem /dev/x' if user else ''};"
        " do (echo 1 > $f) 2>/dev/null && echo WROTE $f; done;"
        " find /dev -type b; head -qc 1 /proc/kcore /dev/mem /dev/vda /dev/sda 2>/dev/null | wc -c; ls -A /sys | wc -l",
        user,
    )
    assert output == "0\n0\n"


def test_the_docker_socket_and_the_hosts_files_are_not_there(user: int, tmp_path: Path) -> None:
    canary = "canary-" + os.urandom(12).hex()
    (tmp_path / canary).write_text(canary)
    output = shell(
        f"find / -xdev \\( -name 'docker*.sock' -o -name 'containerd*.sock' -o -name '{canary}' \\) 2>/dev/null;"
        " curl -s -m 2 --unix-socket /var/run/docker.sock http://d/version; curl -s -m 2 http://127.0.0.1:2375/version;"
        " find / -xdev -type s 2>/dev/null; ls -A /run/control /var/lib/docker /root/. 2>&1"
        " | grep -v -e 'No such' -e denied; echo end",
        user,
    )
    assert output.endswith("end\n")
    assert canary not in output and "ApiVersion" not in output and ".sock" not in output


def test_the_servers_end_of_the_connection_can_not_be_had(user: int) -> None:
    code = (
        "import os, ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "fd = os.pidfd_open(1)\n"
        "print([libc.syscall(438, fd, n, 0) for n in range(20)].count(-1))\n"
        "for name in ('mem', 'environ', 'maps', 'auxv', 'fd/3'):\n"
        "    try: print('GOT', name, open('/proc/1/' + name, 'rb').read(8))\n"
        "    except OSError: pass\n"
    )

    async def work(sandbox: Sandbox) -> str:
        await sandbox.put({"probe.py": code.encode()})
        return (
            await sandbox.exec("python3 probe.py; for s in $(seq 1 64); do kill -$s 1; done 2>/dev/null")
        ).output

    assert attack(work, user) == "20\n"


def test_another_container_is_out_of_reach(user: int, docker_engine: docker.DockerClient) -> None:
    async def work(provider: DockerProvider) -> str:
        other = await provider.start(SandboxSpec("other", ports=(3000,)))
        await other.put({"secret": b"the-other-sandbox"})
        await other.exec(
            "python3 -m http.server 8000 >/dev/null 2>&1 & sleep 0.5; exec -a victim sleep 1000 &"
        )
        mine = await provider.start(SandboxSpec("mine"))
        assert isinstance(other, DockerSandbox)
        container = await asyncio.to_thread(docker_engine.containers.get, other.container)
        pid = container.attrs["State"]["Pid"]
        result = await mine.exec(
            "pgrep -l victim; grep -rs the-other-sandbo[x] /workspace /tmp /dev/shm /run;"
            f" ls /proc/{pid}/root; kill -9 {pid};"
            " for h in 127.0.0.1 other 172.17.0.1 172.17.0.2; do for p in 3000 8000; do"
            " curl -s -m 1 http://$h:$p/secret; done; done; echo end"
        )
        assert (await other.exec("cat secret")).output == "the-other-sandbox"
        return result.output

    output = with_docker(work, DockerSection(user=user, pool=0))
    assert "the-other-sandbox" not in output and "victim" not in output and output.endswith("end\n")


def test_neither_the_host_nor_the_engine_on_its_loopback_is_reached(user: int) -> None:
    with socket.create_server(("0.0.0.0", 0)) as engine:
        engine.settimeout(0.1)
        port = engine.getsockname()[1]
        output = shell(
            f"for h in 127.0.0.1 localhost 172.17.0.1 host.docker.internal 10.0.0.1 0.0.0.0 $(hostname); do"
            f" curl -s -m 1 http://$h:{port}/v1/models && echo REACHED; done;"
            " curl -s -m 1 http://169.254.169.254/ && echo REACHED;"
            " cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; cat /proc/net/route | wc -l",
            user,
        )
        with pytest.raises(TimeoutError):
            engine.accept()
    assert output == "lo\n1\n"


@pytest.mark.parametrize(
    ("bomb", "said"),
    [
        ("f() { f | f; }; f", "limit of 24 processes"),
        (
            "python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 20))'",
            "MemoryError|limit of 96 MB|Killed",
        ),
        ("i=0; while touch f$i 2>/dev/null; do i=$((i+1)); done; touch g; rm -f f*", "No space left"),
        ("head -c 1G /dev/zero > big; rm big", "No space left"),
        ("head -c 1G /dev/zero > /dev/shm/big; rm /dev/shm/big", "No space left"),
    ],
    ids=["fork bomb", "memory", "inodes", "disk", "shared memory"],
)
def test_exhaustion_ends_at_the_limit(user: int, bomb: str, said: str) -> None:
    output = shell(bomb, user, processes=24, memory_mb=96, disk_mb=4, exec_seconds=60.0)
    assert any(text in output for text in (*said.split("|"), "Resource temporarily unavailable")), output
