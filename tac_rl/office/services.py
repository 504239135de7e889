"""All services, and an empty office made of their schemas."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from tac_rl.office import tenant
from tac_rl.office.base import Service, ServiceName
from tac_rl.office.chat.service import CHAT
from tac_rl.office.control.service import CONTROL
from tac_rl.office.drive.service import DRIVE
from tac_rl.office.forge.service import FORGE
from tac_rl.office.tracker.service import TRACKER

SERVICES: Mapping[ServiceName, Service] = {s.name: s for s in (CHAT, FORGE, TRACKER, DRIVE, CONTROL)}


def make_empty(folder: Path) -> None:
    """An office without people or records, in a new folder."""
    folder.mkdir(parents=True)
    for service in SERVICES.values():
        for name in service.folders:
            (folder / name).mkdir()
    database = sqlite3.connect(folder / tenant.DATABASE)
    try:
        database.executescript(tenant.SCHEMA + "".join(s.schema for s in SERVICES.values()))
    finally:
        database.close()
