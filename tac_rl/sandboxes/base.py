"""The contract of a sandbox: isolated processes and a private file system, reached by `exec`."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

WORKSPACE = "/workspace"
"""The folder in which an agent works; relative paths of `put` and `get` start here."""


@dataclass(frozen=True)
class SandboxLimits:
    """What one sandbox may use. Crossing a limit is the policy's doing, never an error of ours."""

    memory_mb: int = 512
    """Memory of all processes together."""
    processes: int = 64
    """Processes and threads at once."""
    disk_mb: int = 64
    """Size of everything the sandbox can write (workspace, home and /tmp together)."""
    output_bytes: int = 16_384
    """Output kept of one `exec`: the first and the last half, with a line that says what was cut."""
    exec_seconds: float = 20.0
    """Time one `exec` may take; then everything it started is killed and the shell is new."""


@dataclass(frozen=True)
class ExecResult:
    """What one command did."""

    output: str
    """Standard output and standard error as they came, decoded as UTF-8 with replacement characters."""
    exit_code: int | None
    """The command's exit status; None where it was killed at its time limit or took the shell with it."""
    truncated: bool
    timed_out: bool
    seconds: float


@dataclass(frozen=True)
class Mount:
    """A host file or folder that the sandbox sees read-only."""

    source: str
    target: str


@dataclass(frozen=True)
class Equipment:
    """What an agent needs in its sandbox besides what the task and the company put there."""

    mounts: tuple[Mount, ...] = ()
    ports: tuple[int, ...] = ()
    """Of the agent's own; `SandboxSpec.ports` says what a port is."""


NO_EQUIPMENT = Equipment()


@dataclass(frozen=True)
class SandboxSpec:
    """What to start."""

    name: str
    """Unique in the run: names the runtime directory, and lets the sweep find leftovers."""
    limits: SandboxLimits = SandboxLimits()
    read_only_mounts: tuple[Mount, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    hostname: str = "office"
    path: tuple[str, ...] = ()
    """Folders before those of the system on PATH."""
    ports: tuple[int, ...] = ()
    """Where the sandbox listens on its own loopback for whoever holds its `listeners`."""
    image: str | None = None
    """Folder with the `Dockerfile` of the image that the sandbox needs; None: what the kind has by default."""
    network: bool = False
    """Whether it needs a network; `SandboxError` where its kind or the config allows none."""

    def equipped(self, equipment: Equipment) -> "SandboxSpec":
        """The same sandbox with an agent's equipment."""
        return replace(
            self,
            read_only_mounts=(*self.read_only_mounts, *equipment.mounts),
            ports=(*self.ports, *equipment.ports),
        )


class Sandbox(Protocol):
    """One isolated workplace. All methods raise `SandboxError` when the sandbox itself fails."""

    spec: SandboxSpec
    listeners: Mapping[int, socket.socket]
    """Port of `spec.ports` -> listening socket in the sandbox's network namespace. They are the sandbox's and
    closed with it; whoever accepts from a duplicate answers the sandbox's commands at that port."""

    async def exec(self, command: str, *, timeout_s: float | None = None) -> ExecResult:
        """Run one shell command in the persistent shell (cwd and variables persist between calls).

        `timeout_s` (seconds) overrides `limits.exec_seconds`.
        """
        ...

    async def put(self, files: Mapping[str, bytes], *, executable: frozenset[str] = frozenset()) -> None:
        """Write files (relative to the workspace, or absolute), making parent folders."""
        ...

    async def get(self, path: str, *, max_bytes: int = 1 << 20) -> bytes:
        """One regular file's first `max_bytes`; `FileNotFoundError` where there is none."""
        ...

    async def freeze(self) -> None:
        """Kill everything but the server and refuse further `exec`: the agent is shut out."""
        ...

    async def export(self, *, max_bytes: int) -> bytes:
        """The workspace as an uncompressed tar (no devices, sockets or fifos; symlinks as symlinks)."""
        ...

    async def reset(self) -> None:
        """Kill everything and empty every writable folder: a fresh workspace in milliseconds.

        For commands that are trusted (oracles, demonstrations); a rollout gets a sandbox of its own.
        """
        ...

    async def stop(self) -> None:
        """Kill every process and remove every trace on the host. Safe to call twice, and after a crash."""
        ...


class SandboxProvider(Protocol):
    """Starts sandboxes of one kind, and cleans up after all of them."""

    kind: str

    def check(self) -> None:
        """Prove that this machine can isolate; `SandboxUnavailableError` says what is missing and the fix."""
        ...

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """A ready sandbox with an empty workspace."""
        ...

    async def close(self) -> None:
        """Stop every sandbox that is still running."""
        ...
