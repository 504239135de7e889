"""Merging a merge request."""

import sqlite3
from datetime import datetime

from tac_rl.office.base import Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.closing import closed_issues
from tac_rl.office.forge.committing import delete_ref, signature_of
from tac_rl.office.forge.errors import ForgeError, conflict
from tac_rl.office.forge.merging import contains, has_conflicts, merge_base, merge_branch
from tac_rl.office.forge.reading import branch_tip, find_commit
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.store.access import protections_of
from tac_rl.office.forge.store.merge_requests import find_merge_request, is_draft, mark_merged
from tac_rl.office.forge.store.projects import find_project, settings_of
from tac_rl.office.forge.store.pushes import RefChange, close_mentioned, refs_changed
from tac_rl.office.tenant import Tenant


def accept(
    tenant: Tenant,
    project: sqlite3.Row,
    row: sqlite3.Row,
    person: Person,
    *,
    squash: bool | None = None,
    message: str = "",
    squash_message: str = "",
    sha: str | None = None,
    remove_source_branch: bool | None = None,
    at: datetime | None = None,
) -> sqlite3.Row:
    """Merge it into its target branch, close the issues that it closes, perhaps remove its source branch.

    405 where it isn't open or a draft, 409 where `sha` isn't its head, 422 where it can't be merged.
    """
    if row["state"] != "opened" or is_draft(row["title"]):
        raise ForgeError(405, "405 Method Not Allowed")
    if sha is not None and sha != row["head_sha"]:
        raise conflict(f"SHA does not match HEAD of source branch: {row['head_sha']}")
    repo = open_repository(tenant, project["id"])
    target = branch_tip(repo, row["target_branch"])
    head = find_commit(repo, row["head_sha"] or "")
    if target is None or head is None or contains(repo, target, head.id):
        raise ForgeError(422, "Branch cannot be merged")
    when = at or tenant.now()
    merged = merge_branch(
        repo,
        row["target_branch"],
        target,
        head,
        method=settings_of(project)["merge_method"],
        squash=bool(row["squash"]) if squash is None else squash,
        message=message or _message(project, row),
        squash_message=squash_message or f"{row['title']}\n",
        author=signature_of(person, when),
    )
    with tenant.transaction():
        mark_merged(
            tenant,
            row,
            person.username,
            base=merge_base(repo, target, head),
            start=target.id,
            merge_commit=merged.merge_commit,
            squash_commit=merged.squash_commit,
            at=stamp(when),
        )
        change = RefChange(f"refs/heads/{row['target_branch']}", str(target.id), str(merged.tip))
        if at is None:
            refs_changed(tenant, project["id"], person, [change])
            if row["target_branch"] == project["default_branch"]:
                close_mentioned(tenant, project, person, f"{row['title']}\n{row['description']}")
        remove = bool(row["remove_source_branch"]) if remove_source_branch is None else remove_source_branch
        if remove:
            remove_source(tenant, row, person, follow=at is None)
    found = find_merge_request(tenant, project["id"], row["iid"])
    assert found is not None
    return found


def _message(project: sqlite3.Row, row: sqlite3.Row) -> str:
    closed = closed_issues(row["description"], project["full_path"])
    closing = f"Closes {', '.join(f'#{iid}' for iid in closed)}\n\n" if closed else ""
    return (
        f"Merge branch '{row['source_branch']}' into '{row['target_branch']}'\n\n{row['title']}\n\n{closing}"
        f"See merge request {project['full_path']}!{row['iid']}\n"
    )


def remove_source(tenant: Tenant, row: sqlite3.Row, person: Person, *, follow: bool) -> None:
    """Remove a merge request's source branch, unless it is protected or the default one."""
    source = find_project(tenant, row["source_project_id"])
    if source is None or row["source_branch"] == source["default_branch"]:
        return
    if protections_of(tenant, source["id"], row["source_branch"]):
        return
    repo = open_repository(tenant, source["id"])
    name = f"refs/heads/{row['source_branch']}"
    delete_ref(repo, name)
    if follow:
        refs_changed(tenant, source["id"], person, [RefChange(name, row["head_sha"], None)])


def mergeability(tenant: Tenant, project_id: int, row: sqlite3.Row) -> tuple[str, str]:
    """GitLab's `merge_status` and `detailed_merge_status`."""
    if row["state"] != "opened":
        return "can_be_merged" if row["state"] == "merged" else "unchecked", "not_open"
    repo = open_repository(tenant, project_id)
    target = branch_tip(repo, row["target_branch"])
    head = find_commit(repo, row["head_sha"] or "")
    if target is None or head is None:
        return "cannot_be_merged", "broken_status"
    if contains(repo, target, head.id):
        return "cannot_be_merged", "commits_status"
    if has_conflicts(repo, target, head):
        return "cannot_be_merged", "conflict"
    return "can_be_merged", "draft_status" if is_draft(row["title"]) else "mergeable"
