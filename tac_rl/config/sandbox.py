"""The `sandbox` section: which isolation, and what one sandbox may use."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from tac_rl.config.base import Section


class DockerSection(Section):
    """What only sandboxes of the kind `docker` know. Nothing here is read where `kind` is `bubblewrap`."""

    image: str | None = None
    """Image for tasks that bring no Dockerfile of their own: a name that `docker image inspect` knows. It needs
    bash, Python 3.9 or newer as `python3`, and nothing under /workspace, /home/agent and /tmp. Default: the one
    of docker/sandbox/Dockerfile, built when it is first needed."""

    pool: int = Field(4, ge=0, le=64)
    """Containers that stand ready for each kind of sandbox that was asked for lately; 0: none, each start waits
    for Docker. A ready container holds about 15 MB."""

    pool_kinds: int = Field(4, ge=1)
    """Kinds of sandboxes (image, limits, mounts, ports) that have ready containers; the least recently used
    kind's are stopped."""

    user: int = Field(1000, ge=0, lt=65534)
    """User and group of the commands. 0 is the container's root, without any capability."""

    read_only: bool = True
    """Whether nothing but /workspace, /home/agent, /tmp and /dev/shm can be written. Where False, what the user
    may write elsewhere in the image is not limited by `disk_mb`."""

    network: Literal["none", "bridge"] = "none"
    """`bridge` gives Docker's default network to sandboxes that ask for one, and only to those. Then what runs
    there reaches whatever the machine's firewall lets containers reach."""

    cpus: float | None = Field(None, gt=0)
    """Processors that one sandbox may use; None: all there are."""

    api_seconds: float = Field(60.0, gt=0)
    """Time Docker may take to answer one call."""

    build_seconds: float = Field(1800.0, gt=0)
    """Time the making of one image may take, the base included."""


class SandboxSection(Section):
    """How rollouts and checkers are isolated, and the limits of each sandbox."""

    kind: Literal["bubblewrap", "docker"] = "bubblewrap"
    """Isolation: `bubblewrap` needs no daemon and no image; `docker` needs a Docker daemon on this machine, and
    gives tasks images of their own."""

    docker: DockerSection = DockerSection()

    memory_mb: int = Field(512, ge=64)
    """Memory of all processes of one sandbox together, in MB (2**20 bytes)."""

    processes: int = Field(64, ge=8)
    """Processes and threads that one sandbox may have at once."""

    disk_mb: int = Field(64, ge=4)
    """Size of everything one sandbox can write (workspace, home, /tmp together), in MB; it lies in memory.
    With `kind: docker` /workspace and /tmp have this size each, home and /dev/shm a quarter of it."""

    output_bytes: int = Field(16_384, ge=256)
    """Output kept of one command: the first and the last half."""

    exec_seconds: float = Field(20.0, gt=0)
    """Time one command may take before everything it started is killed."""

    start_seconds: float = Field(30.0, gt=0)
    """Time a sandbox may take to become ready before that counts as an infrastructure failure."""

    runtime_dir: Path | None = None
    """Where sockets live while a run lasts; a short path. Default: a private folder of the user's in the
    system's temporary folder."""
