"""What issues and merge requests have in common: how they are found, and their labels and people."""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from tac_rl.office.base import Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.store.access import Level, level_of, visible_condition
from tac_rl.office.forge.store.labels import label_ids
from tac_rl.office.forge.store.paging import Found, Page, select_page
from tac_rl.office.forge.store.people import contains, known
from tac_rl.office.tenant import Tenant

Kind = Literal["issue", "merge_request"]
Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
COLUMNS = "i.*, p.path AS project_path, n.path || '/' || p.path AS full_path"
SOURCE = (
    "forge_issuables i JOIN forge_projects p ON p.id = i.project_id"
    " JOIN forge_namespaces n ON n.id = p.namespace_id"
)

_ORDERS = {
    "title": "i.title",
    "updated_at": "i.updated_at",
    "due_date": "i.due_date",
    "milestone_due": "(SELECT m.due_date FROM forge_milestones m WHERE m.id = i.milestone_id)",
    "popularity": "(SELECT count(*) FROM forge_notes o WHERE o.issuable_id = i.id)",
    "priority": "(SELECT min(l.priority) FROM forge_labelled d JOIN forge_labels l ON l.id = d.label_id"
    " WHERE d.issuable_id = i.id)",
}
_ORDERS["label_priority"] = _ORDERS["priority"]
_NULLS_LAST = ("due_date", "milestone_due", "priority", "label_priority")


class IssuableQuery(BaseModel):
    """What lists of issues and of merge requests may be restricted to. `None` and `Any` are GitLab's words."""

    labels: str | None = None
    milestone: str | None = None
    milestone_id: str | None = None
    author_id: Number | None = None
    author_username: str | None = None
    assignee_id: str | None = None
    assignee_username: list[str] = []
    iids: list[Number] = []
    search: str | None = None
    in_: str = Field("title,description", alias="in")
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    scope: Literal["created_by_me", "assigned_to_me", "all", "created-by-me", "assigned-to-me"] | None = None
    sort: Literal["asc", "desc"] = "desc"
    not_labels: str | None = Field(None, alias="not[labels]")
    not_milestone: str | None = Field(None, alias="not[milestone]")
    not_author_username: str | None = Field(None, alias="not[author_username]")
    not_assignee_username: str | None = Field(None, alias="not[assignee_username]")

    model_config = {"populate_by_name": True}


class Conditions:
    """SQL conditions over `i` (and `p`, `n`) with their arguments."""

    def __init__(self) -> None:
        self.parts: list[str] = ["1"]
        self.arguments: list[object] = []

    def add(self, condition: str, *arguments: object) -> None:
        self.parts.append(condition)
        self.arguments.extend(arguments)

    def people(self, role: str, value: str | None, usernames: Sequence[str]) -> None:
        """Somebody in a role by number (or None, Any), or by name."""
        assigned = "SELECT 1 FROM forge_assigned a WHERE a.issuable_id = i.id AND a.role = ?"
        if value is not None and value.lower() in ("none", "0"):
            self.add(f"NOT EXISTS ({assigned})", role)
        elif value is not None and value.lower() == "any":
            self.add(f"EXISTS ({assigned})", role)
        elif value is not None:
            number = int(value[:18]) if value.isascii() and value.isdigit() else -1
            self.add(
                f"EXISTS ({assigned} AND a.username = (SELECT username FROM forge_users WHERE id = ?))",
                role,
                number,
            )
        for username in usernames:
            if username.lower() in ("none", "any"):
                self.people(role, username, ())
            else:
                self.add(f"EXISTS ({assigned} AND a.username = ?)", role, known(username))


def list_issuables(
    tenant: Tenant,
    kind: Kind,
    viewer: Person | None,
    query: IssuableQuery,
    page: Page,
    *,
    state: str,
    order_by: str,
    conditions: Conditions,
    project: sqlite3.Row | None = None,
    namespace_id: int | None = None,
    columns: str = COLUMNS,
    source: str = SOURCE,
) -> Found:
    """Those that the viewer may see, in one project (which they may see), one group, or everywhere."""
    where = conditions
    where.add("i.kind = ?", kind)
    if project is not None:
        where.add("i.project_id = ?", project["id"])
    else:
        visible, arguments = visible_condition(viewer)
        where.add(visible, *arguments)
    if namespace_id is not None:
        where.add("p.namespace_id = ?", namespace_id)
    if state != "all":
        where.add("i.state = ?", state)
    _hide_confidential(tenant, where, viewer, project)
    _restrict(where, query, viewer)
    column = _ORDERS.get(order_by, "i.created_at")
    nulls = " NULLS LAST" if order_by in _NULLS_LAST else ""
    order = f"{column} {query.sort}{nulls}, i.id {query.sort}"
    body = f"FROM {source} WHERE {' AND '.join(where.parts)}"
    return select_page(tenant, columns, body, where.arguments, order, page)


def _hide_confidential(
    tenant: Tenant, where: Conditions, viewer: Person | None, project: sqlite3.Row | None
) -> None:
    if viewer is not None and viewer.admin:
        return
    if project is not None and level_of(tenant, project, viewer) >= Level.REPORTER:
        return
    me = "" if viewer is None else viewer.username
    where.add(
        "(i.confidential = 0 OR i.author = ? OR EXISTS (SELECT 1 FROM forge_assigned a WHERE"
        " a.issuable_id = i.id AND a.username = ?))",
        me,
        me,
    )


def _restrict(where: Conditions, query: IssuableQuery, viewer: Person | None) -> None:
    _restrict_labels(where, query)
    titled = "i.milestone_id = (SELECT m.id FROM forge_milestones m WHERE m.project_id = i.project_id AND m.title = ?)"
    for word in (query.milestone, query.milestone_id):
        if word is None:
            continue
        if word.lower() == "none":
            where.add("i.milestone_id IS NULL")
        elif word.lower() == "any":
            where.add("i.milestone_id IS NOT NULL")
        elif word in ("Started", "Upcoming"):
            where.add("i.milestone_id IN (SELECT id FROM forge_milestones WHERE state = 'active')")
        else:
            where.add(titled, word)
    if query.not_milestone is not None:
        where.add(f"({titled}) IS NOT TRUE", query.not_milestone)
    if query.author_id is not None:
        where.add("i.author = (SELECT username FROM forge_users WHERE id = ?)", query.author_id)
    if query.author_username is not None:
        where.add("i.author = ?", known(query.author_username))
    if query.not_author_username is not None:
        where.add("i.author != ?", known(query.not_author_username))
    if query.not_assignee_username is not None:
        where.add(
            "NOT EXISTS (SELECT 1 FROM forge_assigned a WHERE a.issuable_id = i.id AND a.role = 'assignee'"
            " AND a.username = ?)",
            known(query.not_assignee_username),
        )
    where.people("assignee", query.assignee_id, query.assignee_username)
    scope = query.scope or "all"
    if scope.startswith("created"):
        where.add("i.author = ?", "" if viewer is None else viewer.username)
    elif scope.startswith("assigned"):
        where.people("assignee", None, ["" if viewer is None else viewer.username])
    if query.iids:
        where.add(f"i.iid IN ({', '.join('?' * len(query.iids))})", *query.iids)
    for column, comparison, moment in (
        ("created_at", ">=", query.created_after),
        ("created_at", "<=", query.created_before),
        ("updated_at", ">=", query.updated_after),
        ("updated_at", "<=", query.updated_before),
    ):
        if moment is not None:
            where.add(f"i.{column} {comparison} ?", stamp(moment))
    _search(where, query)


def _restrict_labels(where: Conditions, query: IssuableQuery) -> None:
    bears = (
        "SELECT 1 FROM forge_labelled d JOIN forge_labels l ON l.id = d.label_id WHERE d.issuable_id = i.id"
    )
    if query.labels:
        if query.labels.lower() == "none":
            where.add(f"NOT EXISTS ({bears})")
        elif query.labels.lower() == "any":
            where.add(f"EXISTS ({bears})")
        else:
            for name in split_names(query.labels)[:50]:
                where.add(f"EXISTS ({bears} AND l.name = ?)", name)
    for name in split_names(query.not_labels or "")[:50]:
        where.add(f"NOT EXISTS ({bears} AND l.name = ?)", name)


def _search(where: Conditions, query: IssuableQuery) -> None:
    """Each word (or quoted phrase) must be in one of the fields; `#12` finds by number."""
    text = (query.search or "").strip()
    if re.fullmatch(r"[#!]\d{1,9}", text):
        where.add("i.iid = ?", int(text[1:]))
        return
    columns = [f"i.{field}" for field in ("title", "description") if field in query.in_.split(",")]
    for phrase, word in re.findall(r'"([^"]+)"|(\S+)', text)[:20]:
        pattern = contains(phrase or word)
        matched = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns) or "0"
        where.add(f"({matched})", *[pattern] * len(columns))


def split_names(names: str | Iterable[str] | None) -> list[str]:
    """Names from a list, or from a text with commas; repeated ones once."""
    if names is None:
        return []
    listed = [names] if isinstance(names, str) else list(names)
    found = [part.strip() for name in listed for part in name.split(",")]
    return list(dict.fromkeys(name for name in found if name))


# One of them


def find_issuable(tenant: Tenant, kind: Kind, project_id: int, iid: int) -> sqlite3.Row | None:
    return tenant.row(
        f"SELECT {COLUMNS} FROM {SOURCE} WHERE i.project_id = ? AND i.kind = ? AND i.iid = ?",
        project_id,
        kind,
        iid,
    )


def may_see_issuable(tenant: Tenant, project: sqlite3.Row, row: sqlite3.Row, viewer: Person | None) -> bool:
    """False for a confidential issue of others."""
    if not row["confidential"] or level_of(tenant, project, viewer) >= Level.REPORTER:
        return True
    return viewer is not None and (
        viewer.username == row["author"] or viewer.username in people_in(tenant, row["id"])
    )


def may_edit(tenant: Tenant, project: sqlite3.Row, row: sqlite3.Row, person: Person, level: Level) -> bool:
    """The author and assignees may, and whoever has the level."""
    if person.username == row["author"] or person.username in people_in(tenant, row["id"]):
        return True
    return level_of(tenant, project, person) >= level


def next_iid(tenant: Tenant, kind: Kind, project_id: int, wanted: int | None = None) -> int | None:
    """The number for a new one; None when `wanted` is taken."""
    if wanted is None:
        found: int = tenant.value(
            f"UPDATE forge_projects SET next_{kind} = next_{kind} + 1 WHERE id = ? RETURNING next_{kind} - 1",
            project_id,
        )
        return found
    taken = tenant.value(
        "SELECT 1 FROM forge_issuables WHERE project_id = ? AND kind = ? AND iid = ?",
        project_id,
        kind,
        wanted,
    )
    if taken:
        return None
    tenant.db.execute(
        f"UPDATE forge_projects SET next_{kind} = max(next_{kind}, ?) WHERE id = ?", (wanted + 1, project_id)
    )
    return wanted


def set_labels(tenant: Tenant, row: sqlite3.Row, names: list[str]) -> None:
    """Exactly these labels, made where they are missing."""
    wanted = label_ids(tenant, row["project_id"], names)
    tenant.db.execute("DELETE FROM forge_labelled WHERE issuable_id = ?", (row["id"],))
    tenant.db.executemany(
        "INSERT OR IGNORE INTO forge_labelled VALUES (?, ?)", [(row["id"], label) for label in wanted]
    )


def labels_on(tenant: Tenant, issuable_id: int) -> list[str]:
    rows = tenant.rows(
        "SELECT l.name FROM forge_labelled d JOIN forge_labels l ON l.id = d.label_id WHERE d.issuable_id = ?"
        " ORDER BY l.name",
        issuable_id,
    )
    return [row["name"] for row in rows]


def change_labels(tenant: Tenant, row: sqlite3.Row, changes: dict[str, Any]) -> None:
    """`labels` replaces, `add_labels` and `remove_labels` change; each a list or a text with commas."""
    if changes.get("labels") is not None:
        names = split_names(changes["labels"])
    else:
        names = labels_on(tenant, row["id"])
    names += split_names(changes.get("add_labels"))
    removed = set(split_names(changes.get("remove_labels")))
    if any(changes.get(key) is not None for key in ("labels", "add_labels", "remove_labels")):
        set_labels(tenant, row, [name for name in names if name not in removed])


def set_people(tenant: Tenant, issuable_id: int, role: str, usernames: Sequence[str]) -> None:
    """Exactly these people in a role (`assignee`, `reviewer`)."""
    tenant.db.execute("DELETE FROM forge_assigned WHERE issuable_id = ? AND role = ?", (issuable_id, role))
    tenant.db.executemany(
        "INSERT INTO forge_assigned VALUES (?, ?, ?, ?)",
        [(issuable_id, role, position, name) for position, name in enumerate(dict.fromkeys(usernames))],
    )


def people_in(tenant: Tenant, issuable_id: int, role: str = "assignee") -> list[str]:
    rows = tenant.rows(
        "SELECT username FROM forge_assigned WHERE issuable_id = ? AND role = ? ORDER BY position",
        issuable_id,
        role,
    )
    return [row["username"] for row in rows]


def touch(tenant: Tenant, issuable_id: int) -> None:
    """It was changed now."""
    tenant.db.execute(
        "UPDATE forge_issuables SET updated_at = ? WHERE id = ?", (stamp(tenant.now()), issuable_id)
    )
