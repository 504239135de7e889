"""Merge requests: records that follow the branches they are about. Merging is in `accepting.py`."""

import re
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

import pygit2
from pydantic import Field
from pygit2 import Commit, Oid, Repository

from tac_rl.office.base import Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.closing import closed_issues
from tac_rl.office.forge.errors import ForgeError, conflict, invalid
from tac_rl.office.forge.merging import contains, merge_base
from tac_rl.office.forge.reading import branch_tip
from tac_rl.office.forge.repositories import open_repository, repository_folder, share_objects
from tac_rl.office.forge.store import events
from tac_rl.office.forge.store.issuables import (
    COLUMNS,
    SOURCE,
    Conditions,
    IssuableQuery,
    change_labels,
    list_issuables,
    next_iid,
    set_labels,
    set_people,
)
from tac_rl.office.forge.store.issues import check_title
from tac_rl.office.forge.store.paging import Found, Page
from tac_rl.office.tenant import Tenant

_COLUMNS = (
    f"{COLUMNS}, m.source_project_id, m.source_branch, m.target_branch, m.head_sha, m.base_sha, m.start_sha,"
    " m.merged_at, m.merged_by, m.merge_commit_sha, m.squash_commit_sha, m.squash, m.remove_source_branch"
)
_SOURCE = f"{SOURCE} JOIN forge_merge_requests m ON m.id = i.id"
_DRAFT = re.compile(r"\s*(\[draft\]|draft:|\(draft\)|draft -)", re.IGNORECASE)


class MergeRequestQuery(IssuableQuery):
    """GitLab's filters for merge requests."""

    state: Literal["opened", "closed", "locked", "merged", "all"] = "all"
    order_by: Literal[
        "created_at", "updated_at", "title", "priority", "label_priority", "milestone_due", "popularity",
        "merged_at",
    ] = "created_at"  # fmt: skip
    source_branch: str | None = None
    target_branch: str | None = None
    source_project_id: int | None = Field(None, ge=0, le=2**31 - 1)
    reviewer_id: str | None = None
    reviewer_username: str | None = None
    wip: Literal["yes", "no"] | None = None
    draft: bool | None = None


def is_draft(title: str) -> bool:
    return _DRAFT.match(title) is not None


def list_merge_requests(
    tenant: Tenant,
    viewer: Person | None,
    query: MergeRequestQuery,
    page: Page,
    *,
    project: sqlite3.Row | None = None,
    namespace_id: int | None = None,
) -> Found:
    """Of one project, one group, or everywhere."""
    where = Conditions()
    for column, value in (
        ("m.source_branch", query.source_branch),
        ("m.target_branch", query.target_branch),
        ("m.source_project_id", query.source_project_id),
    ):
        if value is not None:
            where.add(f"{column} = ?", value)
    where.people("reviewer", query.reviewer_id, [query.reviewer_username] if query.reviewer_username else [])
    draft = query.draft if query.wip is None else query.wip == "yes"
    if draft is not None:
        condition = "(i.title LIKE 'draft:%' OR i.title LIKE '[draft]%' OR i.title LIKE '(draft)%')"
        where.add(condition if draft else f"NOT {condition}")
    return list_issuables(
        tenant,
        "merge_request",
        viewer,
        query,
        page,
        state=query.state,
        order_by=query.order_by,
        conditions=where,
        project=project,
        namespace_id=namespace_id,
        columns=_COLUMNS,
        source=_SOURCE,
    )


def find_merge_request(tenant: Tenant, project_id: int, iid: int) -> sqlite3.Row | None:
    return tenant.row(
        f"SELECT {_COLUMNS} FROM {_SOURCE} WHERE i.project_id = ? AND i.kind = 'merge_request' AND i.iid = ?",
        project_id,
        iid,
    )


def create_merge_request(
    tenant: Tenant,
    project: sqlite3.Row,
    author: str,
    *,
    title: str,
    source_project: sqlite3.Row,
    source_branch: str,
    target_branch: str,
    description: str = "",
    labels: list[str] | None = None,
    assignees: list[str] | None = None,
    reviewers: list[str] | None = None,
    milestone_id: int | None = None,
    squash: bool = False,
    remove_source_branch: bool = False,
    iid: int | None = None,
    at: str | None = None,
) -> sqlite3.Row:
    """400 where a branch is missing; 409 where the number is taken or the branch has an open request already."""
    check_title(title)
    head = _check_branches(tenant, project, source_project, source_branch, target_branch)
    with tenant.transaction() as db:
        number = next_iid(tenant, "merge_request", project["id"], iid)
        if number is None:
            raise conflict(f"Merge request !{iid} already exists")
        now = at or stamp(tenant.now())
        made = db.execute(
            "INSERT INTO forge_issuables (project_id, kind, iid, title, description, state, author, milestone_id,"
            " created_at, updated_at) VALUES (?, 'merge_request', ?, ?, ?, 'opened', ?, ?, ?, ?)",
            (project["id"], number, title.strip(), description, author, milestone_id, now, now),
        )
        db.execute(
            "INSERT INTO forge_merge_requests (id, source_project_id, source_branch, target_branch, squash,"
            " remove_source_branch) VALUES (?, ?, ?, ?, ?, ?)",
            (
                made.lastrowid,
                source_project["id"],
                source_branch,
                target_branch,
                squash,
                remove_source_branch,
            ),
        )
        row = _found(tenant, project["id"], number)
        if labels:
            set_labels(tenant, row, labels)
        set_people(tenant, row["id"], "assignee", assignees or ())
        set_people(tenant, row["id"], "reviewer", reviewers or ())
        set_head(tenant, row, head)
        events.record(tenant, project["id"], author, "opened", kind="merge_request", target=row, at=now)
    return _found(tenant, project["id"], number)


def _check_branches(
    tenant: Tenant, project: sqlite3.Row, source_project: sqlite3.Row, source: str, target: str
) -> Oid:
    if source_project["id"] == project["id"] and source == target:
        raise ForgeError(400, ["You can't use same project/branch for source and target"])
    head = branch_tip(open_repository(tenant, source_project["id"]), source)
    if head is None:
        raise invalid("source_branch", "does not exist")
    if branch_tip(open_repository(tenant, project["id"]), target) is None:
        raise invalid("target_branch", "does not exist")
    other = tenant.value(
        "SELECT i.iid FROM forge_merge_requests m JOIN forge_issuables i USING (id) WHERE i.project_id = ?"
        " AND i.state = 'opened' AND m.source_project_id = ? AND m.source_branch = ? AND m.target_branch = ?",
        *(project["id"], source_project["id"], source, target),
    )
    if other is not None:
        raise ForgeError(409, [f"Another open merge request already exists for this source branch: !{other}"])
    return head.id


def update_merge_request(
    tenant: Tenant, row: sqlite3.Row, person: Person, changes: dict[str, Any]
) -> sqlite3.Row:
    """Change `title`, `description`, `target_branch`, `milestone_id`, `locked`, `squash`, `remove_source_branch`,
    labels as for issues, `assignees`, `reviewers`, and by `state_event` the state."""
    values = {key: changes[key] for key in ("title", "description", "locked") if changes.get(key) is not None}
    if "title" in values:
        check_title(values["title"])
    if "milestone_id" in changes:
        values["milestone_id"] = changes["milestone_id"] or None
    own = {
        key: changes[key]
        for key in ("target_branch", "squash", "remove_source_branch")
        if changes.get(key) is not None
    }
    if (
        "target_branch" in own
        and branch_tip(open_repository(tenant, row["project_id"]), own["target_branch"]) is None
    ):
        raise invalid("target_branch", "does not exist")
    with tenant.transaction():
        values["updated_at"] = stamp(tenant.now())
        _set(tenant, "forge_issuables", row["id"], values)
        if own:
            _set(tenant, "forge_merge_requests", row["id"], own)
        change_labels(tenant, row, changes)
        for role, key in (("assignee", "assignees"), ("reviewer", "reviewers")):
            if changes.get(key) is not None:
                set_people(tenant, row["id"], role, changes[key])
        if changes.get("state_event") == "close":
            close_merge_request(tenant, row, person.username)
        elif changes.get("state_event") == "reopen" and row["state"] == "closed":
            _reopen(tenant, row, person.username)
    return _found(tenant, row["project_id"], row["iid"])


def close_merge_request(tenant: Tenant, row: sqlite3.Row, username: str, at: str | None = None) -> None:
    """Nothing happens to one that isn't open."""
    if row["state"] == "opened":
        now = at or stamp(tenant.now())
        changed = {"state": "closed", "closed_at": now, "closed_by": username, "updated_at": now}
        _set(tenant, "forge_issuables", row["id"], changed)
        events.record(tenant, row["project_id"], username, "closed", kind="merge_request", target=row, at=now)


def _reopen(tenant: Tenant, row: sqlite3.Row, username: str) -> None:
    source = open_repository(tenant, row["source_project_id"]) if _has_source(tenant, row) else None
    head = None if source is None else branch_tip(source, row["source_branch"])
    if head is None:
        raise ForgeError(422, "The source branch of the merge request does not exist")
    _set(tenant, "forge_issuables", row["id"], {"state": "opened", "closed_at": None, "closed_by": None})
    set_head(tenant, row, head.id)
    events.record(tenant, row["project_id"], username, "reopened", kind="merge_request", target=row)


def _has_source(tenant: Tenant, row: sqlite3.Row) -> bool:
    return bool(tenant.value("SELECT 1 FROM forge_projects WHERE id = ?", row["source_project_id"]))


def mark_merged(
    tenant: Tenant,
    row: sqlite3.Row,
    username: str,
    *,
    base: Oid | None,
    start: Oid,
    merge_commit: Oid | None,
    squash_commit: Oid | None,
    at: str | None = None,
) -> None:
    """It was merged; `start` is what the target branch pointed at before."""
    now = at or stamp(tenant.now())
    _set(tenant, "forge_issuables", row["id"], {"state": "merged", "updated_at": now})
    merged: dict[str, Any] = {
        "merged_at": now,
        "merged_by": username,
        "base_sha": None if base is None else str(base),
        "start_sha": str(start),
        "merge_commit_sha": None if merge_commit is None else str(merge_commit),
        "squash_commit_sha": None if squash_commit is None else str(squash_commit),
    }
    _set(tenant, "forge_merge_requests", row["id"], merged)
    events.record(tenant, row["project_id"], username, "accepted", kind="merge_request", target=row, at=now)


# Following branches


def set_head(tenant: Tenant, row: sqlite3.Row, head: Oid) -> None:
    """What the source branch points at now; kept as `refs/merge-requests/<iid>/head` of the target project."""
    if row["source_project_id"] != row["project_id"]:
        share_objects(
            repository_folder(tenant, row["source_project_id"]), repository_folder(tenant, row["project_id"])
        )
    repo = open_repository(tenant, row["project_id"])
    repo.references.create(f"refs/merge-requests/{row['iid']}/head", head, force=True)
    changed: dict[str, Any] = {"head_sha": str(head)}
    refs = diff_refs(repo, {**dict(row), **changed})
    if refs is not None:
        changed |= {"base_sha": refs.base and str(refs.base.id), "start_sha": str(refs.start.id)}
    _set(tenant, "forge_merge_requests", row["id"], changed)


def follow_branch(
    tenant: Tenant, project_id: int, username: str, branch: str, old: str | None, new: str
) -> None:
    """A branch moved: open requests from it get its commits, those into it may be merged by that."""
    opened = f"SELECT {_COLUMNS} FROM {_SOURCE} WHERE i.state = 'opened' AND"
    for row in tenant.rows(f"{opened} m.source_project_id = ? AND m.source_branch = ?", project_id, branch):
        set_head(tenant, row, Oid(hex=new))
        now = stamp(tenant.now())
        tenant.db.execute("UPDATE forge_issuables SET updated_at = ? WHERE id = ?", (now, row["id"]))
    if old is None:
        return
    into = tenant.rows(f"{opened} i.project_id = ? AND m.target_branch = ?", project_id, branch)
    if not into:
        return
    repo = open_repository(tenant, project_id)
    before, after = _commit(repo, old), _commit(repo, new)
    for row in into:
        head = _commit(repo, row["head_sha"])
        if head is None or before is None or after is None:
            continue
        if contains(repo, after, head.id) and not contains(repo, before, head.id):
            mark_merged(
                tenant,
                row,
                username,
                base=merge_base(repo, before, head),
                start=before.id,
                merge_commit=after.id,
                squash_commit=None,
            )


@dataclass(frozen=True)
class DiffRefs:
    """What a request's difference is between."""

    base: Commit | None
    """Where source and target parted."""
    start: Commit
    """The target branch."""
    head: Commit


def diff_refs(repo: Repository, row: sqlite3.Row | dict[str, Any]) -> DiffRefs | None:
    """As the branches are now, or for a merged request as they were; None when commits are gone."""
    head = _commit(repo, row["head_sha"])
    target = branch_tip(repo, row["target_branch"]) if row["state"] != "merged" else None
    start = target or _commit(repo, row["start_sha"])
    if head is None or start is None:
        return None
    if target is not None:
        base_id = merge_base(repo, start, head)
        return DiffRefs(None if base_id is None else _commit(repo, str(base_id)), start, head)
    return DiffRefs(_commit(repo, row["base_sha"]), start, head)


def _commit(repo: Repository, sha: str | None) -> Commit | None:
    found: pygit2.Object | None = repo.get(sha) if sha else None
    return found if isinstance(found, Commit) else None


def _found(tenant: Tenant, project_id: int, iid: int) -> sqlite3.Row:
    row = find_merge_request(tenant, project_id, iid)
    assert row is not None
    return row


def _set(tenant: Tenant, table: str, row_id: int, values: dict[str, Any]) -> None:
    assignments = ", ".join(f"{key} = ?" for key in values)
    tenant.db.execute(f"UPDATE {table} SET {assignments} WHERE id = ?", (*values.values(), row_id))


# Approvals


def approve(tenant: Tenant, issuable_id: int, username: str) -> bool:
    """Whether they hadn't approved yet."""
    done = tenant.db.execute(
        "INSERT OR IGNORE INTO forge_approvals VALUES (?, ?, ?)", (issuable_id, username, stamp(tenant.now()))
    )
    return done.rowcount > 0


def unapprove(tenant: Tenant, issuable_id: int, username: str) -> bool:
    """Whether they had approved."""
    done = tenant.db.execute(
        "DELETE FROM forge_approvals WHERE issuable_id = ? AND username = ?", (issuable_id, username)
    )
    return done.rowcount > 0


def approvers(tenant: Tenant, issuable_id: int) -> list[str]:
    rows = tenant.rows(
        "SELECT username FROM forge_approvals WHERE issuable_id = ? ORDER BY created_at, username",
        issuable_id,
    )
    return [row["username"] for row in rows]


def closing_requests(tenant: Tenant, project: sqlite3.Row, issue_iid: int) -> list[sqlite3.Row]:
    """Open and merged requests that say they close an issue of the project."""
    rows = tenant.rows(
        f"SELECT {_COLUMNS} FROM {_SOURCE} WHERE i.project_id = ? AND i.kind = 'merge_request'"
        " AND i.state IN ('opened', 'merged') AND i.title || i.description LIKE ? ORDER BY i.iid DESC",
        project["id"],
        f"%#{issue_iid}%",
    )
    return [
        row
        for row in rows
        if issue_iid in closed_issues(f"{row['title']}\n{row['description']}", project["full_path"])
    ]
