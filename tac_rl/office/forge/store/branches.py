"""Branches, tags and commits made through the API or the pages: checked, written, and followed up."""

import sqlite3
from collections.abc import Sequence

from pygit2 import Commit, Repository, Signature

from tac_rl.office.base import Person
from tac_rl.office.forge.committing import (
    Action,
    check_branch_name,
    commit_actions,
    create_tag,
    delete_ref,
    move_branch,
    signature_of,
)
from tac_rl.office.forge.errors import ForgeError, bad_request, forbidden, not_found
from tac_rl.office.forge.merging import apply_commit
from tac_rl.office.forge.reading import branch_tip, find_commit, tag_object
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.store.access import Level, level_of, may_push, need_writable, protections_of
from tac_rl.office.forge.store.pushes import RefChange, refs_changed
from tac_rl.office.tenant import Tenant


def make_branch(tenant: Tenant, project: sqlite3.Row, person: Person, name: str, ref: str) -> None:
    """400 where the branch exists, or `ref` doesn't."""
    need_writable(project)
    check_branch_name(name)
    if not may_push(tenant, project, person, name):
        raise forbidden()
    repo = open_repository(tenant, project["id"])
    start = find_commit(repo, ref)
    if start is None:
        raise bad_request(f"Invalid reference name: {ref}")
    if branch_tip(repo, name) is not None:
        raise bad_request("Branch already exists")
    move_branch(repo, name, start.id, None)
    refs_changed(tenant, project["id"], person, [RefChange(f"refs/heads/{name}", None, str(start.id))])


def remove_branch(tenant: Tenant, project: sqlite3.Row, person: Person, name: str) -> None:
    """404 where there is none; the default branch stays, and a protected one needs a maintainer."""
    need_writable(project)
    repo = open_repository(tenant, project["id"])
    tip = branch_tip(repo, name)
    if tip is None:
        raise not_found("Branch")
    if name == project["default_branch"]:
        raise ForgeError(405, "Cannot remove HEAD branch")
    if protections_of(tenant, project["id"], name) and level_of(tenant, project, person) < Level.MAINTAINER:
        raise ForgeError(405, "You dont have push access to repo")
    delete_ref(repo, f"refs/heads/{name}")
    refs_changed(tenant, project["id"], person, [RefChange(f"refs/heads/{name}", str(tip.id), None)])


def make_tag(
    tenant: Tenant, project: sqlite3.Row, person: Person, name: str, ref: str, message: str = ""
) -> None:
    """400 where the tag exists, or `ref` doesn't."""
    need_writable(project)
    repo = open_repository(tenant, project["id"])
    target = find_commit(repo, ref)
    if target is None:
        raise bad_request(f"Target {ref} is invalid")
    if tag_object(repo, name) is not None:
        raise bad_request(f"Tag {name} already exists")
    create_tag(repo, name, target, message, signature_of(person, tenant.now()))
    refs_changed(tenant, project["id"], person, [RefChange(f"refs/tags/{name}", None, str(target.id))])


def remove_tag(tenant: Tenant, project: sqlite3.Row, person: Person, name: str) -> None:
    """404 where there is none; a release of it goes too."""
    need_writable(project)
    repo = open_repository(tenant, project["id"])
    found = tag_object(repo, name)
    if found is None:
        raise not_found("Tag")
    delete_ref(repo, f"refs/tags/{name}")
    tenant.db.execute("DELETE FROM forge_releases WHERE project_id = ? AND tag = ?", (project["id"], name))
    refs_changed(tenant, project["id"], person, [RefChange(f"refs/tags/{name}", str(found.id), None)])


def commit_files(
    tenant: Tenant,
    project: sqlite3.Row,
    person: Person,
    *,
    branch: str,
    message: str,
    actions: Sequence[Action],
    author: Signature | None = None,
    start_branch: str | None = None,
    start_sha: str | None = None,
    force: bool = False,
) -> Commit:
    """Commit to a branch, or to a new one that starts at another branch or commit."""
    need_writable(project)
    if not branch:
        raise bad_request("branch is empty")
    if not may_push(tenant, project, person, branch):
        raise forbidden("You are not allowed to push into this branch")
    repo = open_repository(tenant, project["id"])
    tip = branch_tip(repo, branch)
    start = _start(repo, project, tip, branch, start_branch, start_sha, force)
    committer = signature_of(person, tenant.now())
    made = commit_actions(
        repo,
        branch=branch,
        actions=actions,
        message=message,
        author=author or committer,
        committer=committer,
        start=start,
        force=force,
    )
    change = RefChange(f"refs/heads/{branch}", None if tip is None else str(tip.id), str(made))
    refs_changed(tenant, project["id"], person, [change])
    commit = find_commit(repo, str(made))
    assert commit is not None
    return commit


def _start(
    repo: Repository,
    project: sqlite3.Row,
    tip: Commit | None,
    branch: str,
    start_branch: str | None,
    start_sha: str | None,
    force: bool,
) -> Commit | None:
    """Where a new (or forced) branch begins; None for the first commit of an empty repository."""
    name = start_sha or start_branch
    if tip is not None and name is not None and name != branch and not force:
        raise bad_request(
            f"A branch called '{branch}' already exists. Switch to that branch in order to make changes"
        )
    if tip is not None and not force:
        return None
    if name is not None:
        found = find_commit(repo, name)
        if found is None:
            raise bad_request(f"Cannot find start reference: {name}")
        return found
    if tip is not None:
        return tip
    if not project["is_empty"]:
        raise bad_request("You can only create or edit files when you are on a branch")
    return None


def pick_commit(
    tenant: Tenant, project: sqlite3.Row, person: Person, sha: str, branch: str, *, revert: bool
) -> Commit:
    """Cherry-pick or revert a commit onto a branch."""
    need_writable(project)
    repo = open_repository(tenant, project["id"])
    picked, target = find_commit(repo, sha), branch_tip(repo, branch)
    if picked is None:
        raise not_found("Commit")
    if target is None:
        raise not_found("Branch")
    if not may_push(tenant, project, person, branch):
        raise forbidden()
    made = apply_commit(repo, branch, target, picked, signature_of(person, tenant.now()), revert=revert)
    refs_changed(
        tenant, project["id"], person, [RefChange(f"refs/heads/{branch}", str(target.id), str(made))]
    )
    commit = find_commit(repo, str(made))
    assert commit is not None
    return commit
