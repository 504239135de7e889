"""The `sandbox` section: which isolation, and what one sandbox may use."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from tac_rl.config.base import Section


class SandboxSection(Section):
    """How rollouts and checkers are isolated, and the limits of each sandbox."""

    kind: Literal["bubblewrap"] = "bubblewrap"
    """Isolation: `bubblewrap` needs no daemon and no image."""

    memory_mb: int = Field(512, ge=64)
    """Memory of all processes of one sandbox together, in MB (2**20 bytes)."""

    processes: int = Field(64, ge=8)
    """Processes and threads that one sandbox may have at once."""

    disk_mb: int = Field(64, ge=4)
    """Size of everything one sandbox can write (workspace, home, /tmp together), in MB; it lies in memory."""

    output_bytes: int = Field(16_384, ge=256)
    """Output kept of one command: the first and the last half."""

    exec_seconds: float = Field(20.0, gt=0)
    """Time one command may take before everything it started is killed."""

    start_seconds: float = Field(30.0, gt=0)
    """Time a sandbox may take to become ready before that counts as an infrastructure failure."""

    runtime_dir: Path | None = None
    """Where sockets live while a run lasts; a short path. Default: a private folder of the user's in the
    system's temporary folder."""
