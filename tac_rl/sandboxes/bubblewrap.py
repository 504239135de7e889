"""Sandboxes made by bubblewrap: no daemon, no image, no privileges, ready in a few dozen milliseconds.

What a sandbox sees: the system's programs read-only, a small /etc of its own, its own /proc, a few
devices, and one size-limited tmpfs under /workspace, /home/agent, /tmp and /dev/shm. No network, nothing
of the host's users, of this program or of its virtual environment. docs/sandbox.md says what each limit
rests on, as root and as a plain user.

A sandbox dies with the thread that runs the event loop in which it was started.
"""

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tac_rl.errors import SandboxError, SandboxUnavailableError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import WORKSPACE, Sandbox, SandboxSpec
from tac_rl.sandboxes.client import Connection, SandboxClient
from tac_rl.sandboxes.handshake import listen
from tac_rl.sandboxes.launch import Process, accept, last_line, launch
from tac_rl.sandboxes.settings import AGENT_ID, ENVIRONMENT, make_settings
from tac_rl.sandboxes.sweep import sweep
from tac_rl.sandboxes.system import SystemFiles, prepare_system_files

_NAMESPACES = ("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1")
_WRITABLE = (WORKSPACE, "/home/agent", "/tmp", "/dev/shm")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_PROBE_SECONDS = 20.0


class BubblewrapSandbox(SandboxClient):
    """One running sandbox."""

    def __init__(
        self,
        spec: SandboxSpec,
        connection: Connection,
        process: Process,
        listeners: Mapping[int, socket.socket],
        folder: Path,
        forget: Callable[[Path], None],
    ) -> None:
        super().__init__(spec, connection)
        self.listeners = listeners
        self._process = process
        self._folder = folder
        self._forget = forget

    async def stop(self) -> None:
        """Kill every process and remove every trace on the host. Safe to call twice, and after a crash."""
        self._connection.close()
        for listener in self.listeners.values():
            listener.close()
        await self._process.kill()
        runtime.remove(self._folder)
        self._forget(self._folder)

    def _epitaph(self) -> str:
        return last_line(self._folder / "log")


class BubblewrapProvider:
    """Starts bubblewrap sandboxes; `close` stops those that still run."""

    kind = "bubblewrap"

    def __init__(self, *, runtime_dir: Path | None = None, start_seconds: float = 30.0) -> None:
        """Touches nothing yet. `runtime_dir`: see the config; `start_seconds`: time a start may take."""
        self._runtime_dir = runtime_dir
        self._start_seconds = start_seconds
        self._numbers = itertools.count()
        self._running: dict[Path, BubblewrapSandbox] = {}
        self._home: Path | None = None
        self._system: SystemFiles | None = None

    def check(self) -> None:
        """Prove that this machine can isolate; `SandboxUnavailableError` says what is missing and the fix."""
        runtime.runtime_base(self._runtime_dir)
        if shutil.which("bwrap") is None:
            raise SandboxUnavailableError(
                "bubblewrap is missing: install it with the system's package manager"
                " (apt-get install bubblewrap, dnf install bubblewrap), or run setup.sh"
            )
        command = ["bwrap", *_NAMESPACES, "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--ro-bind", "/"]
        command += [
            "/",
            "--proc",
            "/proc",
            "--size",
            "4096",
            "--tmpfs",
            "/tmp",
            "--remount-ro",
            "/tmp",
            "true",
        ]
        try:
            probe = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PROBE_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise SandboxUnavailableError(
                f"bubblewrap did not answer within {_PROBE_SECONDS:g} s: is the machine overloaded?"
            ) from None
        if probe.returncode != 0:
            raise SandboxUnavailableError(_explain(probe.stderr.strip()))

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """A ready sandbox with an empty workspace; `SandboxError` names what went wrong."""
        if spec.image or spec.network:
            what = "an image of its own" if spec.image else "a network"
            raise SandboxError(f"sandbox {spec.name} needs {what}: set sandbox.kind: docker")
        _check_mounts(spec)
        system = self._prepare()
        assert self._home is not None
        folder = self._home / str(next(self._numbers))
        (folder / "control").mkdir(parents=True, mode=0o700)
        process: Process | None = None
        listener = listen(folder / "control" / "s")
        try:
            async with asyncio.timeout(self._start_seconds):
                process = await launch(_arguments(spec, system, folder), folder)
                connection, listeners = await accept(listener, process, spec.ports)
                sandbox = BubblewrapSandbox(spec, connection, process, listeners, folder, self._forget)
                await sandbox.init(_settings(spec, system), timeout_s=self._start_seconds)
        except BaseException as error:
            if process is not None:
                await process.kill()
            said = last_line(folder / "log")
            runtime.remove(folder)
            if isinstance(error, (OSError, SandboxError)):  # TimeoutError is an OSError.
                what = str(error) or f"it was not ready within {self._start_seconds:g} s"
                raise SandboxError(f"sandbox {spec.name} did not start: {what}{said}") from error
            raise
        finally:
            listener.close()
        self._running[folder] = sandbox
        return sandbox

    async def close(self) -> None:
        """Stop every sandbox that is still running, and leave nothing behind."""
        await asyncio.gather(*(sandbox.stop() for sandbox in list(self._running.values())))
        if self._home is None:
            return
        runtime.remove(self._home)
        with contextlib.suppress(OSError):  # Another provider of this process still uses it.
            self._home.parent.rmdir()
        sweep(self._home.parents[1])
        self._home = self._system = None

    def _prepare(self) -> SystemFiles:
        """At the first start: clean up after dead processes, and lay out what all sandboxes share."""
        if self._system is None:
            base = runtime.runtime_base(self._runtime_dir)
            sweep(base)
            self._home = base / runtime.identity(os.getpid()) / secrets.token_hex(2)
            self._system = prepare_system_files(self._home / "system")
        return self._system

    def _forget(self, folder: Path) -> None:
        self._running.pop(folder, None)


def _arguments(spec: SandboxSpec, system: SystemFiles, folder: Path) -> list[str]:
    """bubblewrap's command line."""
    options = [*_NAMESPACES, "--clearenv", "--hostname", spec.hostname]
    # The server needs these for a moment, to lay out the disk and to change the commands' user.
    capabilities = ["CAP_SYS_ADMIN"]
    if os.getuid() == 0:
        capabilities += ["CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SYS_PTRACE", "CAP_CHOWN"]
    else:
        options += ["--uid", str(AGENT_ID), "--gid", str(AGENT_ID)]
    options += ["--cap-drop", "ALL"]
    for name in capabilities:
        options += ["--cap-add", name]
    for name in ("/dev", "/run", "/home", "/var/tmp", *_WRITABLE, "/run/control"):
        options += ["--perms", "0755", "--dir", name]
    options += [*system.arguments, "--proc", "/proc"]
    for name in _DEVICES:
        options += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for name, target in _DEVICE_LINKS.items():
        options += ["--symlink", target, f"/dev/{name}"]
    options += ["--bind", str(folder / "control"), "/run/control"]
    for mount in spec.read_only_mounts:
        for parent in reversed(PurePosixPath(mount.target).parents[:-1]):
            options += [
                "--perms",
                "0755",
                "--dir",
                str(parent),
            ]  # bubblewrap makes them for its own user only.
        options += ["--ro-bind", mount.source, mount.target]
    return [*options, "--remount-ro", "/", "--", *system.server, *map(str, spec.ports)]


def _check_mounts(spec: SandboxSpec) -> None:
    """As root the commands are another user on the host, who may not be allowed to read a mount."""
    for mount in spec.read_only_mounts:
        source = Path(mount.source)
        if not source.exists():
            raise SandboxError(f"sandbox {spec.name}: the mount {source} does not exist")
        needed = 0o005 if source.is_dir() else 0o004
        if os.getuid() == 0 and source.stat().st_mode & needed != needed:
            raise SandboxError(f"sandbox {spec.name}: {source} must be readable for everyone (chmod o+rX)")


def _settings(spec: SandboxSpec, system: SystemFiles) -> dict[str, Any]:
    """The server's first request."""
    env = {**ENVIRONMENT, "PATH": ":".join((*spec.path, system.path)), **dict(spec.env)}
    uid = AGENT_ID if os.getuid() == 0 else None
    return make_settings(spec.limits, env, uid=uid, mount_disk=True, count_by_user=True)


def _explain(said: str) -> str:
    """What to do about bubblewrap's refusal."""
    fix = (
        "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1,"
        " kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0),"
        " or, in a container, start it with --privileged"
    )
    if "nknown option" in said:
        fix = "update bubblewrap to 0.6 or newer"
    return f"bubblewrap can't isolate here ({said.splitlines()[-1] if said else 'it said nothing'}): {fix}"
