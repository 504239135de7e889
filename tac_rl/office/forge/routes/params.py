"""Kinds of parameters that several endpoints take."""

import sqlite3
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from tac_rl.office.forge.errors import invalid
from tac_rl.office.forge.store.milestones import find_milestone
from tac_rl.office.forge.web import Asking, Id, usernames_of


def _blank(value: Any) -> Any:
    return None if value == "" else value


def _listed(value: Any) -> Any:
    if value in ("", None):
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [part for part in value if part != ""] if isinstance(value, list) else [value]


def level_number(value: Any) -> Any:
    """Forms and queries send access levels as text."""
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4
        else value
    )


OptionalId = Annotated[Id | None, BeforeValidator(_blank)]
Ids = Annotated[list[Id], BeforeValidator(_listed)]
Names = str | list[str] | None
"""A list, or a text with commas."""
Day = date | Literal[""] | None
StateEvent = Literal["close", "reopen"] | None
Visibility = Literal["private", "internal", "public"]


def day_text(given: Day) -> str | None:
    return given.isoformat() if isinstance(given, date) else None


def assignees_of(ask: Asking, given: dict[str, Any]) -> list[str] | None:
    """From `assignee_ids` or `assignee_id`; None where neither is given, empty for nobody."""
    if "assignee_ids" in given:
        return usernames_of(ask.tenant, given["assignee_ids"])
    if "assignee_id" in given:
        return usernames_of(ask.tenant, [given["assignee_id"]] if given["assignee_id"] else [])
    return None


def check_milestone(ask: Asking, project: sqlite3.Row, milestone_id: int | None) -> int | None:
    """400 for a milestone of another project."""
    if not milestone_id:
        return None
    if find_milestone(ask.tenant, project["id"], milestone_id) is None:
        raise invalid("milestone_id", "is invalid")
    return milestone_id
