"""The words of the office: services and where TAC expects them, people, what happens there."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tac_rl.office.tenant import Tenant

HOST = "the-agent-company.com"
"""The name under which TAC's tasks, evaluators and people know every service."""

PASSWORD = "theagentcompany"
"""Of every account. The office is a stage: its accounts separate roles, they protect nothing."""


class ServiceName(StrEnum):
    """The office's services, by the names that task packages use."""

    CHAT = "chat"
    FORGE = "forge"
    TRACKER = "tracker"
    DRIVE = "drive"
    CONTROL = "control"


PORTS = {
    ServiceName.CHAT: 3000,
    ServiceName.FORGE: 8929,
    ServiceName.TRACKER: 8091,
    ServiceName.DRIVE: 8092,
    ServiceName.CONTROL: 2999,
}
"""The ports that TAC hard-codes."""

AGENT_CHAT, AGENT_FORGE, AGENT_TRACKER, AGENT_DRIVE = (
    "theagentcompany",
    "root",
    "agent@company.com",
    "theagentcompany",
)
"""The agent's own account in each service, as in TAC; it administers all of them."""
FORGE_TOKEN = "root-token"
TRACKER_KEY = "plane_api_83f868352c6f490aba59b869ffdae1cf"
TRACKER_WORKSPACE = "tac"


@dataclass(frozen=True)
class Person:
    """Someone of the company (or the agent's own account, `theagentcompany`)."""

    username: str
    """In the chat and the forge: `first_last`; in the tracker and the drive their e-mail or this name."""
    name: str
    email: str
    title: str = ""
    team: str = ""
    bio: str = ""
    admin: bool = False


@dataclass(frozen=True)
class MessagePosted:
    """Somebody wrote in the chat: told to whoever subscribed at the tenant (colleagues do)."""

    message_id: str
    room_id: str
    room_kind: str
    """`channel`, `group` or `direct`."""
    room_name: str
    """Empty for direct messages."""
    author: str
    text: str
    members: tuple[str, ...]
    """Usernames of the room's members (for a channel: those who joined)."""
    mentions: tuple[str, ...]
    """Usernames behind @; `all` and `here` as they stand."""
    thread: str | None = None


def share_files(source: Path, target: Path) -> None:
    """A copy of a folder whose files are hard links to those of `source`; copies where it is on another disk."""
    near = source.stat().st_dev == target.parent.stat().st_dev
    shutil.copytree(source, target, symlinks=True, copy_function=os.link if near else shutil.copy2)


@dataclass(frozen=True)
class Service:
    """One service: its part of a tenant's state, and the application that serves it.

    All tenants of a process share the application; the tenant of a request is `request.state.tenant`.
    """

    name: ServiceName
    schema: str
    """SQL that makes its tables, all named `<service>_...`; run once in an empty database."""
    folders: tuple[str, ...]
    """Folders of a tenant that belong to it."""
    make_app: Callable[[], "ASGIApp"]
    lay: Callable[["Tenant", Any], None]
    """Add a section of an overlay (`tac_rl.office.overlay`) to the tenant's state."""
    clone: Callable[[Path, Path], None] = share_files
    """Make a copy of one of its folders (first argument) as another (second), for a new tenant."""
    compact: Callable[[Path], None] | None = None
    """Make one of its folders cheap to clone, when a snapshot is made."""
