"""Branches and protected branches."""

import sqlite3
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, BeforeValidator
from pygit2 import Repository

from tac_rl.office.forge.errors import ForgeError, not_found
from tac_rl.office.forge.merging import contains
from tac_rl.office.forge.reading import branch_names, branch_tip
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.routes.params import level_number
from tac_rl.office.forge.shapes import git as shapes
from tac_rl.office.forge.shapes.git import Branch
from tac_rl.office.forge.shapes.projects import ProtectedBranch, protected_branch
from tac_rl.office.forge.store import access
from tac_rl.office.forge.store.access import Level
from tac_rl.office.forge.store.branches import make_branch, remove_branch
from tac_rl.office.forge.web import (
    NOTHING,
    PREFIX,
    Ask,
    Asking,
    GitLabRoute,
    Paged,
    Params,
    Segment,
    answer,
    no_content,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["branches and tags"])


RuleLevel = Annotated[Literal[0, 30, 40, 60], BeforeValidator(level_number)]


class NewBranch(Params):
    branch: str
    ref: str


class GrantedAccess(BaseModel):
    access_level: RuleLevel | None = None


class Protection(Params):
    name: str
    push_access_level: RuleLevel | None = None
    merge_access_level: RuleLevel | None = None
    unprotect_access_level: RuleLevel | None = None
    allowed_to_push: list[GrantedAccess] | None = None
    allowed_to_merge: list[GrantedAccess] | None = None
    allow_force_push: bool = False


class ChangedProtection(Params):
    push_access_level: RuleLevel | None = None
    merge_access_level: RuleLevel | None = None
    allowed_to_push: list[GrantedAccess] | None = None
    allowed_to_merge: list[GrantedAccess] | None = None
    allow_force_push: bool | None = None


class OldProtection(Params):
    developers_can_push: bool = False
    developers_can_merge: bool = False


@router.get("/projects/{id}/repository/branches", **returns(list[Branch]))
async def list_branches(ask: Ask, id: Segment, page: Paged, search: str = "") -> Response:
    """By name; `search` may begin with ^ or end with $."""
    project = ask.project(id)
    repo = open_repository(ask.tenant, project["id"])
    wanted = search.strip("^$").lower()
    names = [
        name
        for name in branch_names(repo)
        if wanted in name.lower()
        and (not search.startswith("^") or name.lower().startswith(wanted))
        and (not search.endswith("$") or name.lower().endswith(wanted))
    ]
    shown = set(names[page.offset : page.offset + page.size])
    shape = _Branches(ask, project, repo)
    return sliced(ask, [shape(name) if name in shown else None for name in names], page)


@router.post("/projects/{id}/repository/branches", **returns(Branch, 201))
async def create_branch(ask: Ask, id: Segment, given: NewBranch) -> Response:
    """At another branch, a tag or a commit."""
    project = ask.project(id, Level.DEVELOPER)
    make_branch(ask.tenant, project, ask.user(), given.branch, given.ref)
    return answer(_branch(ask, project, given.branch), 201)


@router.delete("/projects/{id}/repository/merged_branches", **returns(dict[str, str], 202))
async def delete_merged_branches(ask: Ask, id: Segment) -> Response:
    """All that are part of the default branch, except protected ones."""
    project = ask.project(id, Level.DEVELOPER)
    repo = open_repository(ask.tenant, project["id"])
    default = branch_tip(repo, project["default_branch"])
    for name in branch_names(repo):
        tip = branch_tip(repo, name)
        merged = default is not None and tip is not None and contains(repo, default, tip.id)
        protected = access.protections_of(ask.tenant, project["id"], name)
        if merged and not protected and name != project["default_branch"]:
            remove_branch(ask.tenant, project, ask.user(), name)
    return answer({"message": "202 Accepted"}, 202)


@router.get("/projects/{id}/repository/branches/{branch}", **returns(Branch))
async def get_branch(ask: Ask, id: Segment, branch: Segment) -> Response:
    """One branch (slashes in its name encoded)."""
    return answer(_branch(ask, ask.project(id), branch))


@router.delete("/projects/{id}/repository/branches/{branch}", **NOTHING)
async def delete_branch(ask: Ask, id: Segment, branch: Segment) -> Response:
    """Not the default one."""
    project = ask.project(id, Level.DEVELOPER)
    remove_branch(ask.tenant, project, ask.user(), branch)
    return no_content()


@router.put("/projects/{id}/repository/branches/{branch}/protect", **returns(Branch))
async def protect_branch(ask: Ask, id: Segment, branch: Segment, given: OldProtection) -> Response:
    """The older way to protect a branch."""
    project = ask.project(id, Level.MAINTAINER)
    _branch(ask, project, branch)
    access.unprotect(ask.tenant, project["id"], branch)
    access.protect(
        ask.tenant,
        project["id"],
        branch,
        push_level=Level.DEVELOPER if given.developers_can_push else Level.MAINTAINER,
        merge_level=Level.DEVELOPER if given.developers_can_merge else Level.MAINTAINER,
    )
    return answer(_branch(ask, project, branch))


@router.put("/projects/{id}/repository/branches/{branch}/unprotect", **returns(Branch))
async def unprotect_branch(ask: Ask, id: Segment, branch: Segment) -> Response:
    """The older way to lift the protection."""
    project = ask.project(id, Level.MAINTAINER)
    _branch(ask, project, branch)
    access.unprotect(ask.tenant, project["id"], branch)
    return answer(_branch(ask, project, branch))


class _Branches:
    """Shapes of a project's branches."""

    def __init__(self, ask: Asking, project: sqlite3.Row, repo: Repository) -> None:
        self._ask, self._project, self._repo = ask, project, repo
        self._default = branch_tip(repo, project["default_branch"])

    def __call__(self, name: str) -> Branch | None:
        tip = branch_tip(self._repo, name)
        if tip is None:
            return None
        ask, project = self._ask, self._project
        other = name != project["default_branch"] and self._default is not None
        return shapes.branch(
            name,
            tip,
            ask.view.project_url(project["full_path"]),
            default_branch=project["default_branch"],
            rules=access.protections_of(ask.tenant, project["id"], name),
            merged=other and self._default is not None and contains(self._repo, self._default, tip.id),
            can_push=ask.person is not None and access.may_push(ask.tenant, project, ask.person, name),
        )


def _branch(ask: Asking, project: sqlite3.Row, name: str) -> Branch:
    shape = _Branches(ask, project, open_repository(ask.tenant, project["id"]))(name)
    if shape is None:
        raise not_found("Branch")
    return shape


# Protected branches


@router.get("/projects/{id}/protected_branches", **returns(list[ProtectedBranch]))
async def list_protected(ask: Ask, id: Segment, page: Paged, search: str = "") -> Response:
    """Rules, by name or pattern."""
    project = ask.project(id, Level.DEVELOPER)
    rows = access.protections(ask.tenant, project["id"], search)
    return sliced(ask, [protected_branch(row) for row in rows], page)


@router.post("/projects/{id}/protected_branches", **returns(ProtectedBranch, 201))
async def protect(ask: Ask, id: Segment, given: Protection) -> Response:
    """For maintainers only, unless levels are given: 0 nobody, 30 developers, 40 maintainers, 60 administrators."""
    project = ask.project(id, Level.MAINTAINER)
    if not given.name.strip():
        raise ForgeError(422, {"name": ["can't be blank"]})
    row = access.protect(
        ask.tenant,
        project["id"],
        given.name,
        push_level=_level(given.push_access_level, given.allowed_to_push, Level.MAINTAINER),
        merge_level=_level(given.merge_access_level, given.allowed_to_merge, Level.MAINTAINER),
        allow_force_push=given.allow_force_push,
    )
    return answer(protected_branch(row), 201)


@router.get("/projects/{id}/protected_branches/{name}", **returns(ProtectedBranch))
async def get_protected(ask: Ask, id: Segment, name: Segment) -> Response:
    """One rule."""
    project = ask.project(id, Level.DEVELOPER)
    return answer(protected_branch(_rule(ask, project, name)))


@router.patch("/projects/{id}/protected_branches/{name}", **returns(ProtectedBranch))
async def edit_protected(ask: Ask, id: Segment, name: Segment, given: ChangedProtection) -> Response:
    """Other levels, or whether force-pushes are allowed."""
    project = ask.project(id, Level.MAINTAINER)
    row = _rule(ask, project, name)
    ask.tenant.db.execute(
        "UPDATE forge_protected_branches SET push_level = ?, merge_level = ?, allow_force_push = ? WHERE id = ?",
        (
            _level(given.push_access_level, given.allowed_to_push, row["push_level"]),
            _level(given.merge_access_level, given.allowed_to_merge, row["merge_level"]),
            row["allow_force_push"] if given.allow_force_push is None else given.allow_force_push,
            row["id"],
        ),
    )
    return answer(protected_branch(_rule(ask, project, name)))


@router.delete("/projects/{id}/protected_branches/{name}", **NOTHING)
async def unprotect(ask: Ask, id: Segment, name: Segment) -> Response:
    """The branch itself stays."""
    project = ask.project(id, Level.MAINTAINER)
    _rule(ask, project, name)
    access.unprotect(ask.tenant, project["id"], name)
    return no_content()


def _rule(ask: Asking, project: sqlite3.Row, name: str) -> sqlite3.Row:
    row = access.protection(ask.tenant, project["id"], name)
    if row is None:
        raise not_found()
    return row


def _level(direct: int | None, granted: list[GrantedAccess] | None, otherwise: int) -> int:
    if direct is not None:
        return direct
    levels = [grant.access_level for grant in granted or () if grant.access_level is not None]
    return min(levels, default=otherwise)
