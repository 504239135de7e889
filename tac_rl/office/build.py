"""The office that a config asks for."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tac_rl.config.office import OfficeSection
from tac_rl.errors import SandboxError
from tac_rl.office.external import ExternalOffice
from tac_rl.office.process import EmbeddedOffice, Office, settle
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
    tenants = _memory(section.memory_mb) or base
    return EmbeddedOffice(section, base, tenants=tenants, log=log, base_model=base_model)


@contextmanager
def tenants_folder(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """For an office service: the settings that a trainer sent, with a folder for the tenants while the block lasts."""
    base = _memory(settings.pop("memory_mb")) or runtime.runtime_base() / runtime.identity(os.getpid())
    folder = base / f"office-{secrets.token_hex(3)}"
    try:
        yield settle(settings, folder)
    finally:
        runtime.remove(folder)


def _memory(needed_mb: int) -> Path | None:
    """A folder in memory for this process's tenants; None where that has no room.

    A tenant is some hundred small files and folders, which take tens of milliseconds on a busy disk.
    """
    try:
        if shutil.disk_usage(MEMORY).free < needed_mb << 20:
            return None
        base = runtime.runtime_base(MEMORY / f"tac-rl-{os.getuid()}")
    except (OSError, SandboxError):
        return None
    sweep(base)
    return base / runtime.identity(os.getpid())
