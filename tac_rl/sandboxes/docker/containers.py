"""One container: what it is made of, and the two calls that make it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from tac_rl.sandboxes.base import WORKSPACE, Mount, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.docker.daemon import Api
from tac_rl.sandboxes.docker.images import Image
from tac_rl.sandboxes.settings import SERVER_SOCKET, SERVER_START

CAPABILITIES = ("KILL", "SETGID", "SETUID", "SYS_PTRACE")
"""What the server keeps: to end the commands, to become their user, to add up their memory. It can't hand them on."""
_SPLIT = {WORKSPACE: 1.0, "/tmp": 1.0, "/home/agent": 0.25, "/dev/shm": 0.25}
"""Writable folders, and their size as a share of `disk_mb`: a container without CAP_SYS_ADMIN can't share one disk."""
_SERVER_MB = 48
"""Room for the server itself, runc at the start, and buffers of the kernel."""
_SPARE_PROCESSES = 16
"""Threads beyond the limit, which the server enforces: the server's own, and runc's at the start."""
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_REMOVE_SECONDS = 30


@dataclass(frozen=True)
class Shape:
    """All that is fixed when a container is made; a ready container serves any spec of its shape."""

    image: Image
    limits: SandboxLimits
    mounts: tuple[Mount, ...]
    hostname: str
    ports: tuple[int, ...]
    network: bool

    @classmethod
    def of(cls, spec: SandboxSpec, image: Image) -> "Shape":
        # What only the server and the client know is told to them later.
        limits = SandboxLimits(spec.limits.memory_mb, spec.limits.processes, spec.limits.disk_mb)
        return cls(image, limits, spec.read_only_mounts, spec.hostname, spec.ports, spec.network)


@dataclass(frozen=True)
class Policy:
    """What the config says about all containers."""

    user: int = 1000
    read_only: bool = True
    cpus: float | None = None


def container_config(
    shape: Shape, policy: Policy, *, server: Path, control: Path, hosts: Path, labels: Mapping[str, str]
) -> dict[str, Any]:
    """The body of Docker's request `create`. `hosts`: the file for those without a network, for which Docker makes
    none."""
    ports = [str(port) for port in shape.ports]
    python = shape.image.python
    return {
        "Image": shape.image.id,
        "Entrypoint": [python, "-ISE", "-c", SERVER_START, SERVER_SOCKET, *ports],
        "Cmd": [],
        "Env": [],
        "User": "0:0",  # The server; it starts the commands as another.
        "WorkingDir": "/",
        # Then runc makes the container's own namespace, with a loopback device only. With the network `none` Docker
        # does the same by starting itself once more for each container: 70 of 200 ms.
        "NetworkDisabled": not shape.network,
        "Hostname": shape.hostname,
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "AutoRemove": True,
            "NetworkMode": "bridge" if shape.network else "none",
            "IpcMode": "none",  # Private, and without Docker's /dev/shm: ours is below.
            "ReadonlyRootfs": policy.read_only,
            "CapDrop": ["ALL"],
            "CapAdd": list(CAPABILITIES) if policy.user else [],
            "SecurityOpt": ["no-new-privileges:true"],
            "MaskedPaths": list(_MASKED),
            "ReadonlyPaths": list(_READ_ONLY),
            "ExtraHosts": ["the-agent-company.com:127.0.0.1"] if shape.network else [],
            "LogConfig": {"Type": "none"},
            **_limits(shape.limits, policy),
            "Tmpfs": _disks(shape.limits, policy.user),
            "Mounts": [
                _bind(str(server), "/run/server"),
                _bind(str(control), "/run/control"),
                *([] if shape.network else [_bind(str(hosts), "/etc/hosts")]),
                *(_bind(mount.source, mount.target) for mount in shape.mounts),
            ],
        },
    }


def _limits(limits: SandboxLimits, policy: Policy) -> dict[str, Any]:
    # The writable folders lie in memory, and count there.
    memory = limits.memory_mb + int(sum(_SPLIT.values()) * limits.disk_mb) + _SERVER_MB
    return {
        "Memory": memory << 20,
        "MemorySwap": memory << 20,  # Memory and swap together: no swap.
        "PidsLimit": limits.processes + _SPARE_PROCESSES,
        "NanoCpus": int((policy.cpus or 0) * 1e9),
        "Ulimits": [
            {"Name": name, "Soft": value, "Hard": value}
            for name, value in (("core", 0), ("nofile", 1024), ("msgqueue", 0), ("memlock", 65536))
        ],
    }


def _disks(limits: SandboxLimits, user: int) -> dict[str, str]:
    disks = {}
    for folder, share in _SPLIT.items():
        size = int(share * (limits.disk_mb << 20))
        disks[folder] = f"exec,size={size},nr_inodes={size >> 12},mode=755,uid={user},gid={user}"
    return disks


def _bind(source: str, target: str) -> dict[str, Any]:
    # Private: what is mounted on the host later does not appear inside.
    options = {"Propagation": "rprivate"}
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True, "BindOptions": options}


def create_and_start(api: Api, name: str, config: Mapping[str, Any]) -> str:
    """The new container's id."""
    made = api.create_container_from_config(dict(config), name)
    api.start(made["Id"])
    return str(made["Id"])


def is_running(api: Api, name: str) -> bool:
    try:
        return bool(api.inspect_container(name)["State"]["Running"])
    except NotFound:
        return False


def remove(api: Api, name: str) -> None:
    """Kill and remove a container with its anonymous volumes; one that is gone is no error."""
    try:
        api.remove_container(name, v=True, force=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # The daemon is removing it already, since its server ended.
            raise
        try:
            api.wait(name, timeout=_REMOVE_SECONDS, condition="removed")
        except NotFound:
            return
