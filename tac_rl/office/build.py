"""The office that a config asks for."""

import os
import secrets
import shutil
from pathlib import Path

from tac_rl.config.office import OfficeSection
from tac_rl.errors import SandboxError
from tac_rl.office.external import ExternalOffice
from tac_rl.office.process import EmbeddedOffice, Office
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.sweep import sweep
from tac_rl.serving.endpoint import Endpoint

MEMORY = Path("/dev/shm")
"""Linux's file system in memory."""


def build_office(
    section: OfficeSection,
    *,
    log: Path | None = None,
    runtime_dir: Path | None = None,
    base_model: Endpoint | None = None,
) -> Office:
    """Not started yet. `log`: for the office's own messages; `runtime_dir`: as in the section `sandbox`;
    `base_model`: plays the colleagues where the config says `mind: engine`."""
    base = runtime.runtime_base(runtime_dir) / runtime.identity(os.getpid())
    if section.mode == "external":
        return ExternalOffice(section, base / f"commands-{secrets.token_hex(3)}")
    return EmbeddedOffice(section, base, tenants=_memory(section) or base, log=log, base_model=base_model)


def _memory(section: OfficeSection) -> Path | None:
    """A folder in memory for this process's tenants; None where that has no room.

    A tenant is some hundred small files and folders, which take tens of milliseconds on a busy disk.
    """
    try:
        if shutil.disk_usage(MEMORY).free < section.memory_mb << 20:
            return None
        base = runtime.runtime_base(MEMORY / f"tac-rl-{os.getuid()}")
    except (OSError, SandboxError):
        return None
    sweep(base)
    return base / runtime.identity(os.getpid())
