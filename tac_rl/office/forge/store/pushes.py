"""What follows when references of a project changed, by a push, a commit through the API, or a merge."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import pygit2
from pygit2 import Repository

from tac_rl.office.base import Person
from tac_rl.office.forge.closing import closed_issues
from tac_rl.office.forge.errors import ForgeError, bad_request
from tac_rl.office.forge.reading import (
    HistoryQuery,
    branch_names,
    branch_tip,
    find_commit,
    find_readme,
    history,
    message_of,
)
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.store import events
from tac_rl.office.forge.store.access import protect, protections_of
from tac_rl.office.forge.store.issues import close_issue, find_issue
from tac_rl.office.forge.store.merge_requests import follow_branch
from tac_rl.office.forge.store.pipelines import add_pipeline, run_pipeline
from tac_rl.office.forge.store.projects import project_of_id, settings_of
from tac_rl.office.tenant import Tenant

_SKIPS = ("[skip ci]", "[ci skip]")
_NEW_COMMITS = 200
"""Of one push, how many commits are looked at for issues that they close."""


@dataclass(frozen=True)
class RefChange:
    """A reference's value before and after; None: it wasn't there."""

    ref: str
    old: str | None
    new: str | None


def refs_changed(tenant: Tenant, project_id: int, person: Person, changes: Sequence[RefChange]) -> None:
    """Bring records in line with the repository: default branch, merge requests, issues, pipelines, events."""
    repo = open_repository(tenant, project_id)
    with tenant.transaction():
        refresh(tenant, project_id, repo)
        project = project_of_id(tenant, project_id)
        for change in changes:
            _record_push(tenant, project, person, repo, change)
            branch = change.ref.removeprefix("refs/heads/")
            if branch == change.ref or change.new is None:
                continue
            follow_branch(tenant, project_id, person.username, branch, change.old, change.new)
            if branch == project["default_branch"]:
                _close_issues(tenant, project, person, repo, change)
            _start_pipeline(tenant, project_id, person, repo, branch)


def refresh(tenant: Tenant, project_id: int, repo: Repository) -> None:
    """What a project's record says of its repository. The first branch ever becomes the default, protected."""
    project = project_of_id(tenant, project_id)
    branches = branch_names(repo)
    default = project["default_branch"]
    if project["is_empty"] and branches:
        if default not in branches:
            default = next((name for name in ("main", "master") if name in branches), branches[0])
            repo.set_head(f"refs/heads/{default}")
        if not protections_of(tenant, project_id, default):
            protect(tenant, project_id, default)
    tip = branch_tip(repo, default)
    readme = None if tip is None else find_readme(repo, tip)
    tenant.db.execute(
        "UPDATE forge_projects SET default_branch = ?, is_empty = ?, readme = ? WHERE id = ?",
        (default, not branches, readme, project_id),
    )


def set_default_branch(tenant: Tenant, project: sqlite3.Row, branch: str) -> None:
    """400 where there is no such branch."""
    repo = open_repository(tenant, project["id"])
    if not project["is_empty"] and branch_tip(repo, branch) is None:
        raise bad_request(f"Could not set the default branch: {branch!r} does not exist")
    if not pygit2.reference_is_valid_name(f"refs/heads/{branch}"):
        raise bad_request(f"{branch!r} is not a valid name for a branch")
    repo.set_head(f"refs/heads/{branch}")
    tenant.db.execute("UPDATE forge_projects SET default_branch = ? WHERE id = ?", (branch, project["id"]))
    refresh(tenant, project["id"], repo)


def close_mentioned(tenant: Tenant, project: sqlite3.Row, person: Person, text: str) -> None:
    """Close the issues that a text says it closes."""
    if settings_of(project)["autoclose_referenced_issues"]:
        for iid in closed_issues(text, project["full_path"]):
            issue = find_issue(tenant, project["id"], iid)
            if issue is not None:
                close_issue(tenant, issue, person.username)


def _close_issues(
    tenant: Tenant, project: sqlite3.Row, person: Person, repo: Repository, change: RefChange
) -> None:
    assert change.new is not None
    hidden = [pygit2.Oid(hex=change.old)] if change.old and repo.get(change.old) is not None else []
    new = history(repo, [pygit2.Oid(hex=change.new)], HistoryQuery(), hidden=hidden, limit=_NEW_COMMITS)
    for commit in reversed(new):
        close_mentioned(tenant, project, person, message_of(commit))


def _start_pipeline(tenant: Tenant, project_id: int, person: Person, repo: Repository, branch: str) -> None:
    tip = branch_tip(repo, branch)
    if tip is None or any(skip in message_of(tip) for skip in _SKIPS):
        return
    try:
        run_pipeline(tenant, project_id, person.username, branch, source="push")
    except ForgeError:  # GitLab shows a wrong CI file as a pipeline that failed, without jobs
        add_pipeline(
            tenant, project_id, person.username, ref=branch, sha=str(tip.id), status="failed", jobs=()
        )


def _record_push(
    tenant: Tenant, project: sqlite3.Row, person: Person, repo: Repository, change: RefChange
) -> None:
    kind, _, name = change.ref.removeprefix("refs/").partition("/")
    action = "deleted" if change.new is None else "pushed new" if change.old is None else "pushed to"
    tip = find_commit(repo, change.new) if change.new else None
    events.record(
        tenant,
        project["id"],
        person.username,
        action,
        push={
            "commit_count": 0 if change.new is None else 1,
            "action": {"deleted": "removed", "pushed new": "created"}.get(action, "pushed"),
            "ref_type": "branch" if kind == "heads" else "tag",
            "commit_from": change.old,
            "commit_to": change.new,
            "ref": name,
            "commit_title": None if tip is None else message_of(tip).partition("\n")[0],
            "ref_count": None,
        },
    )
