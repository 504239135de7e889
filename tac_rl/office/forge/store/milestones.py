"""Milestones of projects."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import invalid
from tac_rl.office.forge.store.paging import Found, Page, select_page
from tac_rl.office.forge.store.people import contains
from tac_rl.office.tenant import Tenant


def list_milestones(
    tenant: Tenant,
    project_id: int,
    page: Page,
    *,
    state: str | None = None,
    title: str | None = None,
    search: str | None = None,
    iids: tuple[int, ...] = (),
) -> Found:
    """Latest due first, those without a date last."""
    where, arguments = ["project_id = ?"], [project_id, *iids]
    if iids:
        where.append(f"iid IN ({', '.join('?' * len(iids))})")
    more: list[Any] = []
    if state in ("active", "closed"):
        where.append("state = ?")
        more.append(state)
    if title is not None:
        where.append("title = ?")
        more.append(title)
    if search:
        where.append("(title LIKE ? ESCAPE '\\' OR description LIKE ? ESCAPE '\\')")
        more += [contains(search)] * 2
    body = f"FROM forge_milestones WHERE {' AND '.join(where)}"
    return select_page(tenant, "*", body, [*arguments, *more], "due_date DESC NULLS LAST, id DESC", page)


def find_milestone(tenant: Tenant, project_id: int, milestone_id: int) -> sqlite3.Row | None:
    return tenant.row(
        "SELECT * FROM forge_milestones WHERE project_id = ? AND id = ?", project_id, milestone_id
    )


def milestone_titled(tenant: Tenant, project_id: int, title: str) -> sqlite3.Row | None:
    return tenant.row("SELECT * FROM forge_milestones WHERE project_id = ? AND title = ?", project_id, title)


def create_milestone(
    tenant: Tenant,
    project_id: int,
    title: str,
    *,
    description: str = "",
    due_date: str | None = None,
    start_date: str | None = None,
    state: str = "active",
    at: str | None = None,
) -> sqlite3.Row:
    """400 where the title is taken or the dates are the wrong way round."""
    _check(tenant, project_id, title, start_date, due_date, None)
    iid = tenant.value(
        "UPDATE forge_projects SET next_milestone = next_milestone + 1 WHERE id = ? RETURNING next_milestone - 1",
        project_id,
    )
    now = at or stamp(tenant.now())
    made = tenant.row(
        "INSERT INTO forge_milestones (project_id, iid, title, description, state, due_date, start_date,"
        " created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        project_id,
        iid,
        title,
        description,
        state,
        due_date,
        start_date,
        now,
        now,
    )
    assert made is not None
    return made


def update_milestone(tenant: Tenant, milestone: sqlite3.Row, changes: Mapping[str, Any]) -> sqlite3.Row:
    """Change `title`, `description`, `due_date`, `start_date`, `state`; a date of '' is taken away."""
    values = {key: changes[key] for key in ("title", "description", "state") if changes.get(key) is not None}
    for key in ("due_date", "start_date"):
        if key in changes:
            values[key] = changes[key] or None
    after = {**dict(milestone), **values}
    _check(
        tenant,
        milestone["project_id"],
        after["title"],
        after["start_date"],
        after["due_date"],
        milestone["id"],
    )
    values["updated_at"] = stamp(tenant.now())
    assignments = ", ".join(f"{key} = ?" for key in values)
    found = tenant.row(
        f"UPDATE forge_milestones SET {assignments} WHERE id = ? RETURNING *",
        *values.values(),
        milestone["id"],
    )
    assert found is not None
    return found


def delete_milestone(tenant: Tenant, milestone_id: int) -> None:
    tenant.db.execute("DELETE FROM forge_milestones WHERE id = ?", (milestone_id,))


def _check(
    tenant: Tenant, project_id: int, title: str, start: str | None, due: str | None, own_id: int | None
) -> None:
    if not title.strip():
        raise invalid("title", "can't be blank")
    other = milestone_titled(tenant, project_id, title)
    if other is not None and other["id"] != own_id:
        raise invalid("title", "already being used for another group or project milestone.")
    if start and due and due < start:
        raise invalid("due_date", "must be greater than start date")
