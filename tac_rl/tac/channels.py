"""The channels of TAC's chat, as a checkout of its repository describes them: empty, with their members.

Evaluators ask for channels by name. Where the checkout lacks the description, there is just #general.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tac_rl.errors import TaskError
from tac_rl.office.overlay import ChannelOverlay, ChatOverlay

_FOLDER = Path("servers") / "rocketchat" / "npc"
_ROW = re.compile(r"^\|\s*([a-z][a-z0-9-]*)\s*\|\s*\d*\s*\|[^|]*\|\s*$", re.MULTILINE)
_OWNER = "sarah_johnson"


def channels_of(checkout: Path) -> ChatOverlay:
    """What to lay over a chat; `TaskError` where the description is not understood."""
    table, people = checkout / _FOLDER / "NPC.md", checkout / _FOLDER / "npc_definition.json"
    if not table.is_file() or not people.is_file():
        return ChatOverlay()
    try:
        names = _ROW.findall(table.read_text(encoding="utf-8"))
        joined = {_username(person): person["slack_channels"] for person in _people(people)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(f"{people.parent}: its channels are not understood: {error}") from None
    members = {name: tuple(who for who, text in joined.items() if _is_in(name, text)) for name in names}
    return ChatOverlay(
        channels=tuple(
            ChannelOverlay(name=name, owner=_OWNER, members=members[name] or "everyone")
            for name in names
            if name != "general"  # Which is there, with everybody.
        )
    )


def _people(path: Path) -> list[Mapping[str, Any]]:
    return [person for person in json.loads(path.read_text(encoding="utf-8")) if "slack_channels" in person]


def _username(person: Mapping[str, Any]) -> str:
    return f"{person['first_name']}_{person['last_name']}".lower()


def _is_in(channel: str, text: str) -> bool:
    """Whether somebody of whom it says "All project channels, #engineering" is in a channel."""
    if f"#{channel}" in re.split(r"[,\s]+", text):
        return True
    project = channel.startswith("project-")
    if "All technical channels" in text:
        return project or channel == "engineering"
    return project and "All project channels" in text
