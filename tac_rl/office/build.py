"""The office that a config asks for."""

import os
import secrets
from pathlib import Path

from tac_rl.config.office import OfficeSection
from tac_rl.office.external import ExternalOffice
from tac_rl.office.process import EmbeddedOffice, Office
from tac_rl.sandboxes import runtime


def build_office(
    section: OfficeSection, *, log: Path | None = None, runtime_dir: Path | None = None
) -> Office:
    """Not started yet. `log`: for the office's own messages; `runtime_dir`: as in the section `sandbox`."""
    base = runtime.runtime_base(runtime_dir) / runtime.identity(os.getpid())
    if section.mode == "external":
        return ExternalOffice(section, base / f"commands-{secrets.token_hex(3)}")
    return EmbeddedOffice(section, base, log=log)
