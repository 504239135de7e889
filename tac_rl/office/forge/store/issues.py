"""Issues."""

import sqlite3
from typing import Any, Literal

from tac_rl.office.base import Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import conflict, invalid
from tac_rl.office.forge.store import events
from tac_rl.office.forge.store.issuables import (
    Conditions,
    IssuableQuery,
    change_labels,
    find_issuable,
    list_issuables,
    next_iid,
    set_labels,
    set_people,
)
from tac_rl.office.forge.store.paging import Found, Page
from tac_rl.office.tenant import Tenant

IssueState = Literal["opened", "closed", "all"]


class IssueQuery(IssuableQuery):
    """GitLab's filters for issues."""

    state: IssueState = "all"
    order_by: Literal[
        "created_at", "updated_at", "title", "due_date", "milestone_due", "popularity", "priority",
        "label_priority", "relative_position", "weight",
    ] = "created_at"  # fmt: skip
    confidential: bool | None = None
    due_date: Literal["", "0", "any", "overdue", "week", "month", "none"] | None = None
    issue_type: Literal["issue", "incident", "test_case", "task"] | None = None
    with_labels_details: bool = False


def find_issue(tenant: Tenant, project_id: int, iid: int) -> sqlite3.Row | None:
    return find_issuable(tenant, "issue", project_id, iid)


def issue_of_id(tenant: Tenant, issue_id: int) -> sqlite3.Row | None:
    row = tenant.row("SELECT project_id, iid FROM forge_issuables WHERE id = ? AND kind = 'issue'", issue_id)
    return None if row is None else find_issue(tenant, row["project_id"], row["iid"])


def list_issues(
    tenant: Tenant,
    viewer: Person | None,
    query: IssueQuery,
    page: Page,
    *,
    project: sqlite3.Row | None = None,
    namespace_id: int | None = None,
) -> Found:
    """Of one project, one group, or everywhere."""
    where = Conditions()
    if query.confidential is not None:
        where.add("i.confidential = ?", query.confidential)
    if query.issue_type is not None:
        where.add("i.issue_type = ?", query.issue_type)
    _restrict_due(tenant, where, query.due_date)
    return list_issuables(
        tenant,
        "issue",
        viewer,
        query,
        page,
        state=query.state,
        order_by=query.order_by,
        conditions=where,
        project=project,
        namespace_id=namespace_id,
    )


def _restrict_due(tenant: Tenant, where: Conditions, due: str | None) -> None:
    today = f"{tenant.now():%Y-%m-%d}"
    if due in ("0", "none"):
        where.add("i.due_date IS NULL")
    elif due == "any":
        where.add("i.due_date IS NOT NULL")
    elif due == "overdue":
        where.add("i.due_date < ?", today)
    elif due == "week":
        where.add("i.due_date BETWEEN date(?, 'weekday 0', '-6 days') AND date(?, 'weekday 0')", today, today)
    elif due == "month":
        where.add("substr(i.due_date, 1, 7) = ?", today[:7])


def create_issue(
    tenant: Tenant,
    project: sqlite3.Row,
    author: str,
    *,
    title: str,
    description: str = "",
    labels: list[str] | None = None,
    assignees: list[str] | None = None,
    milestone_id: int | None = None,
    due_date: str | None = None,
    confidential: bool = False,
    issue_type: str = "issue",
    iid: int | None = None,
    at: str | None = None,
) -> sqlite3.Row:
    """409 where the number is taken."""
    check_title(title)
    with tenant.transaction() as db:
        number = next_iid(tenant, "issue", project["id"], iid)
        if number is None:
            raise conflict(f"Issue #{iid} already exists")
        now = at or stamp(tenant.now())
        db.execute(
            "INSERT INTO forge_issuables (project_id, kind, iid, title, description, state, author,"
            " milestone_id, created_at, updated_at, due_date, confidential, issue_type)"
            " VALUES (?, 'issue', ?, ?, ?, 'opened', ?, ?, ?, ?, ?, ?, ?)",
            (
                project["id"],
                number,
                title.strip(),
                description,
                author,
                milestone_id,
                now,
                now,
                due_date,
                confidential,
                issue_type,
            ),
        )
        row = find_issue(tenant, project["id"], number)
        assert row is not None
        if labels:
            set_labels(tenant, row, labels)
        set_people(tenant, row["id"], "assignee", assignees or ())
        events.record(tenant, project["id"], author, "opened", kind="issue", target=row, at=now)
    return row


def update_issue(tenant: Tenant, issue: sqlite3.Row, person: Person, changes: dict[str, Any]) -> sqlite3.Row:
    """Change `title`, `description`, `confidential`, `due_date`, `milestone_id`, `locked`, `issue_type`,
    labels (`labels`, `add_labels`, `remove_labels`), `assignees`, and by `state_event` the state."""
    values = {
        key: changes[key]
        for key in ("title", "description", "confidential", "locked", "issue_type")
        if changes.get(key) is not None
    }
    if "title" in values:
        check_title(values["title"])
    for key in ("due_date", "milestone_id"):
        if key in changes:
            values[key] = changes[key] or None
    with tenant.transaction():
        values["updated_at"] = stamp(tenant.now())
        _set(tenant, issue["id"], values)
        change_labels(tenant, issue, changes)
        if changes.get("assignees") is not None:
            set_people(tenant, issue["id"], "assignee", changes["assignees"])
        if changes.get("state_event") == "close":
            close_issue(tenant, issue, person.username)
        elif changes.get("state_event") == "reopen":
            reopen_issue(tenant, issue, person.username)
    found = find_issue(tenant, issue["project_id"], issue["iid"])
    assert found is not None
    return found


def close_issue(tenant: Tenant, issue: sqlite3.Row, username: str, at: str | None = None) -> None:
    """Nothing happens to one that is closed."""
    if issue["state"] == "opened":
        now = at or stamp(tenant.now())
        _set(
            tenant,
            issue["id"],
            {"state": "closed", "closed_at": now, "closed_by": username, "updated_at": now},
        )
        events.record(tenant, issue["project_id"], username, "closed", kind="issue", target=issue, at=now)


def reopen_issue(tenant: Tenant, issue: sqlite3.Row, username: str) -> None:
    """Nothing happens to one that is open."""
    if issue["state"] == "closed":
        _set(tenant, issue["id"], {"state": "opened", "closed_at": None, "closed_by": None})
        events.record(tenant, issue["project_id"], username, "reopened", kind="issue", target=issue)


def delete_issuable(tenant: Tenant, issuable_id: int) -> None:
    """An issue or merge request, with its notes."""
    tenant.db.execute("DELETE FROM forge_issuables WHERE id = ?", (issuable_id,))


def check_title(title: str) -> None:
    """400 for a title that GitLab refuses."""
    if not title.strip():
        raise invalid("title", "can't be blank")
    if len(title) > 255:
        raise invalid("title", "is too long (maximum is 255 characters)")


def _set(tenant: Tenant, issue_id: int, values: dict[str, Any]) -> None:
    assignments = ", ".join(f"{key} = ?" for key in values)
    tenant.db.execute(f"UPDATE forge_issuables SET {assignments} WHERE id = ?", (*values.values(), issue_id))
