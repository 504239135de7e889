"""What happened in projects, for activity lists."""

import json
import sqlite3
from typing import Any

from tac_rl.office.base import Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.store.access import visible_condition
from tac_rl.office.forge.store.paging import Found, Page, select_page
from tac_rl.office.tenant import Tenant

TARGETS = {"issue": "Issue", "merge_request": "MergeRequest", "note": "Note", "milestone": "Milestone"}


def record(
    tenant: Tenant,
    project_id: int,
    author: str,
    action: str,
    *,
    kind: str | None = None,
    target: sqlite3.Row | None = None,
    title: str | None = None,
    push: dict[str, Any] | None = None,
    at: str | None = None,
) -> None:
    """Note an event and that the project was active; `target` is a row with `id` and perhaps `iid` and `title`."""
    when = at or stamp(tenant.now())
    keys = () if target is None else target.keys()
    tenant.db.execute(
        "INSERT INTO forge_events (project_id, author, action, target_type, target_id, target_iid,"
        " target_title, push_data, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            project_id,
            author,
            action,
            TARGETS.get(kind or ""),
            target["id"] if target is not None else None,
            target["iid"] if target is not None and "iid" in keys else None,
            title if title is not None or target is None or "title" not in keys else target["title"],
            None if push is None else json.dumps(push),
            when,
        ),
    )
    tenant.db.execute(
        "UPDATE forge_projects SET last_activity_at = max(last_activity_at, ?) WHERE id = ?",
        (when, project_id),
    )


def list_events(
    tenant: Tenant,
    viewer: Person | None,
    page: Page,
    *,
    project_id: int | None = None,
    author: str | None = None,
    action: str | None = None,
    target_type: str | None = None,
    ascending: bool = False,
) -> Found:
    """Newest first, of projects that the viewer may see."""
    visible, arguments = visible_condition(viewer)
    where = [visible]
    for column, value in (
        ("e.project_id", project_id),
        ("e.author", author),
        ("e.action", action),
        ("e.target_type", target_type),
    ):
        if value is not None:
            where.append(f"{column} = ?")
            arguments.append(value)
    return select_page(
        tenant,
        "e.*",
        "FROM forge_events e JOIN forge_projects p ON p.id = e.project_id"
        f" JOIN forge_namespaces n ON n.id = p.namespace_id WHERE {' AND '.join(where)}",
        arguments,
        "e.id" if ascending else "e.id DESC",
        page,
    )
