"""Sandboxes made by bubblewrap: no daemon, no image, no privileges, ready in a few dozen milliseconds.

What a sandbox sees: the system's programs read-only, a small /etc of its own, its own /proc, a few
devices, and one size-limited tmpfs under /workspace, /home/agent, /tmp and /dev/shm. No network, nothing
of the host's users, of this program or of its virtual environment.

Two ways of mapping users. Where we are root, the commands get a host user of their own without any rights
and the server inside keeps another one. Where we are not, both are the user that we are; then the server
is protected by being not traceable. docs/sandbox.md says what each limit rests on.
"""

import asyncio
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tac_rl.errors import SandboxError, SandboxUnavailableError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import Sandbox, SandboxSpec
from tac_rl.sandboxes.client import Connection, SandboxClient
from tac_rl.sandboxes.system import SystemFiles, prepare_system_files

_AGENT_ID = 1000
"""User and group of the commands, as seen inside."""
_HOST_IDS = range(61184, 65520)
"""Where we are root: host users for the commands; systemd keeps this range for users made on the fly."""
_DEVICES = ("null", "zero", "full", "random", "urandom")
_ENV = {
    "HOME": "/home/agent",
    "USER": "agent",
    "LOGNAME": "agent",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class BubblewrapSandbox(SandboxClient):
    """One running sandbox."""

    def __init__(
        self,
        spec: SandboxSpec,
        connection: Connection,
        process: "_Process",
        folder: Path,
        forget: Callable[[Path], None],
    ) -> None:
        super().__init__(spec, connection)
        self._process = process
        self._folder = folder
        self._forget = forget

    async def stop(self) -> None:
        """Kill every process and remove every trace on the host. Safe to call twice, and after a crash."""
        self._connection.close()
        await self._process.kill()
        runtime.remove(self._folder)
        self._forget(self._folder)

    def _epitaph(self) -> str:
        return _last_line(self._folder / "log")


@dataclass
class _Process:
    """bubblewrap's own process, and the sandbox's PID 1 as the host sees it."""

    popen: subprocess.Popen[bytes]
    init_pid: int | None = None

    async def kill(self) -> None:
        """Kill PID 1, and with it everything inside; bubblewrap ends when the kernel is done with that."""
        if self.popen.returncode is not None:
            return
        # PID 1 is bubblewrap's child and bubblewrap has not been waited for, so the pid is still its own.
        os.kill(self.init_pid or self.popen.pid, signal.SIGKILL)
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        pidfd = os.pidfd_open(self.popen.pid)
        loop.add_reader(pidfd, lambda: ended.done() or ended.set_result(None))
        try:
            await asyncio.wait_for(ended, 10)
        except TimeoutError:
            self.popen.kill()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        self.popen.wait(timeout=10)


class BubblewrapProvider:
    """Starts bubblewrap sandboxes; `close` stops those that still run."""

    kind = "bubblewrap"

    def __init__(self, *, runtime_dir: Path | None = None, start_seconds: float = 30.0) -> None:
        self._base = runtime.runtime_base(runtime_dir)
        self._start_seconds = start_seconds
        self._numbers = itertools.count()
        self._home = self._base / runtime.identity(os.getpid()) / secrets.token_hex(2)
        self._running: dict[str, BubblewrapSandbox] = {}
        self._system: SystemFiles | None = None

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """A ready sandbox with an empty workspace; `SandboxError` names what went wrong."""
        if self._system is None:
            self._system = prepare_system_files(self._home / "system")
        folder = self._home / str(next(self._numbers))
        (folder / "control").mkdir(parents=True, mode=0o700)
        listener = socket.socket(socket.AF_UNIX)
        process: _Process | None = None
        try:
            listener.bind(str(folder / "control" / "s"))
            listener.listen(1)
            listener.setblocking(False)
            async with asyncio.timeout(self._start_seconds):
                process = await _launch(_arguments(spec, self._system, folder), folder)
                connection = await _accept(listener, process)
                sandbox = BubblewrapSandbox(spec, connection, process, folder, self._forget)
                await sandbox.init(_settings(spec, self._system), timeout_s=self._start_seconds)
        except BaseException as error:
            if process is not None:
                await process.kill()
            why = _last_line(folder / "log")
            runtime.remove(folder)
            if isinstance(error, (OSError, TimeoutError, SandboxError)):
                what = str(error) or f"it was not ready within {self._start_seconds:g} s"
                raise SandboxError(f"sandbox {spec.name} did not start: {what}{why}") from error
            raise
        finally:
            listener.close()
        self._running[str(folder)] = sandbox
        return sandbox

    async def close(self) -> None:
        """Stop every sandbox that is still running, and remove the runtime folder."""
        for sandbox in list(self._running.values()):
            await sandbox.stop()
        runtime.remove(self._home)
        try:
            self._home.parent.rmdir()
        except OSError:
            pass  # Another provider of this process still uses it.
        self._system = None

    def _forget(self, folder: Path) -> None:
        self._running.pop(str(folder), None)


def _arguments(spec: SandboxSpec, system: SystemFiles, folder: Path) -> list[str]:
    """bubblewrap's command line."""
    options = ["bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1"]
    options += ["--clearenv", "--hostname", spec.hostname, "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"]
    if os.getuid() == 0:
        for name in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SYS_PTRACE", "CAP_CHOWN"):
            options += ["--cap-add", name]
    else:
        options += ["--uid", str(_AGENT_ID), "--gid", str(_AGENT_ID)]
    for name in ("/dev", "/run", "/home", "/var/tmp"):
        options += ["--perms", "0755", "--dir", name]
    options += system.arguments
    options += ["--proc", "/proc"]
    for name in _DEVICES:
        options += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        options += ["--symlink", f"/proc/self/fd{target}", f"/dev/{name}"]
    for name in ("/workspace", "/home/agent", "/tmp", "/dev/shm", "/run/control"):
        options += ["--dir", name]
    options += ["--bind", str(folder / "control"), "/run/control"]
    for mount in spec.read_only_mounts:
        options += ["--ro-bind", mount.source, mount.target]
    options += ["--remount-ro", "/", "--", system.python, "-ISE", system.server, "/run/control/s"]
    return options


def _settings(spec: SandboxSpec, system: SystemFiles) -> dict[str, Any]:
    """The server's first request."""
    limits = spec.limits
    return {
        "uid": _AGENT_ID if os.getuid() == 0 else None,
        "mount_disk": True,
        "memory_bytes": limits.memory_mb << 20,
        "disk_bytes": limits.disk_mb << 20,
        "processes": limits.processes,
        "env": {**_ENV, "PATH": system.path, **dict(spec.env)},
    }


async def _launch(arguments: list[str], folder: Path) -> _Process:
    """Start bubblewrap; where we are root, give the new user namespace its two users."""
    info_read, info_write = os.pipe()
    block_read, block_write = os.pipe()
    fds = (info_write, block_read)
    extra = ["--info-fd", str(info_write)]
    if os.getuid() == 0:
        extra += ["--userns-block-fd", str(block_read)]
    try:
        with open(folder / "log", "wb") as log:
            popen = subprocess.Popen(
                [arguments[0], *extra, *arguments[1:]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        process = _Process(popen)
        for fd in fds:
            os.close(fd)
        fds = ()
        try:
            info = await _read_all(info_read)
            if not info:
                raise SandboxError("bubblewrap ended")
            process.init_pid = json.loads(info)["child-pid"]
            (folder / "processes").write_text(
                f"{runtime.identity(popen.pid)}\n{runtime.identity(process.init_pid or 0)}\n"
            )
            if os.getuid() == 0:
                host_id = secrets.choice(_HOST_IDS)
                for name in ("uid_map", "gid_map"):
                    Path(f"/proc/{process.init_pid}/{name}").write_text(f"0 0 1\n{_AGENT_ID} {host_id} 1\n")
                os.write(block_write, b"1")
        except BaseException:
            await process.kill()
            raise
    finally:
        for fd in (info_read, block_write, *fds):
            os.close(fd)
    return process


async def _read_all(fd: int) -> bytes:
    """What bubblewrap writes about the sandbox; it closes the pipe after that."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    data = b""
    while True:
        ready = loop.create_future()
        loop.add_reader(fd, lambda future=ready: future.done() or future.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(fd)
        part = os.read(fd, 4096)
        data += part
        if not part or data.rstrip().endswith(b"}"):
            return data


async def _accept(listener: socket.socket, process: _Process) -> Connection:
    """The server's connection; `SandboxError` where bubblewrap ends before there is one."""
    loop = asyncio.get_running_loop()
    pidfd = os.pidfd_open(process.popen.pid)
    ended = loop.create_future()
    loop.add_reader(pidfd, lambda: ended.done() or ended.set_result(None))
    accepting = asyncio.ensure_future(loop.sock_accept(listener))
    try:
        await asyncio.wait((accepting, ended), return_when=asyncio.FIRST_COMPLETED)
        if not accepting.done():
            raise SandboxError("it ended before its server was ready")
        stream, _ = accepting.result()
    finally:
        accepting.cancel()
        loop.remove_reader(pidfd)
        os.close(pidfd)
    _, connection = await loop.create_unix_connection(Connection, sock=stream)
    return connection


def _last_line(log: Path) -> str:
    """The end of what bubblewrap or the server had to say, to follow an error message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f" ({lines[-1][:500]})" if lines else ""
