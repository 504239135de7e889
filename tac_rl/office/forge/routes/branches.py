"""Branches, protected branches, tags, releases."""

import sqlite3
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, BeforeValidator
from pygit2 import Commit, Repository

from tac_rl.office.forge.errors import ForgeError, not_found
from tac_rl.office.forge.merging import contains
from tac_rl.office.forge.reading import branch_names, branch_tip, find_commit, tag_names, tag_object
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.shapes import git as shapes
from tac_rl.office.forge.shapes.git import Branch, TagShape
from tac_rl.office.forge.shapes.projects import ProtectedBranch, protected_branch
from tac_rl.office.forge.shapes.records import Release, release
from tac_rl.office.forge.store import access, releases
from tac_rl.office.forge.store.access import Level
from tac_rl.office.forge.store.branches import make_branch, make_tag, remove_branch, remove_tag
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


def _number(value: Any) -> Any:
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4
        else value
    )


RuleLevel = Annotated[Literal[0, 30, 40, 60], BeforeValidator(_number)]


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


class NewTag(Params):
    tag_name: str
    ref: str
    message: str | None = None


class NewRelease(Params):
    tag_name: str
    name: str | None = None
    description: str | None = None
    ref: str | None = None
    tag_message: str | None = None
    released_at: datetime | None = None


class ChangedRelease(Params):
    name: str | None = None
    description: str | None = None
    released_at: datetime | None = None


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


# Tags and releases


@router.get("/projects/{id}/repository/tags", **returns(list[TagShape]))
async def list_tags(
    ask: Ask,
    id: Segment,
    page: Paged,
    search: str = "",
    order_by: Literal["name", "updated", "version"] = "updated",
    sort: Literal["asc", "desc"] = "desc",
) -> Response:
    """Latest first."""
    project = ask.project(id)
    repo = open_repository(ask.tenant, project["id"])
    wanted = search.strip("^$").lower()
    found = [
        shape for name in tag_names(repo) if wanted in name.lower() and (shape := _tag(ask, project, name))
    ]
    found.sort(
        key=lambda tag: tag["name"] if order_by != "updated" else tag["commit"]["committed_date"],
        reverse=sort == "desc",
    )
    return sliced(ask, list(found), page)


@router.post("/projects/{id}/repository/tags", **returns(TagShape, 201))
async def create_tag(ask: Ask, id: Segment, given: NewTag) -> Response:
    """With a message an annotated one."""
    project = ask.project(id, Level.DEVELOPER)
    make_tag(ask.tenant, project, ask.user(), given.tag_name, given.ref, given.message or "")
    return answer(_tag(ask, project, given.tag_name), 201)


@router.get("/projects/{id}/repository/tags/{tag_name}", **returns(TagShape))
async def get_tag(ask: Ask, id: Segment, tag_name: Segment) -> Response:
    """One tag."""
    shape = _tag(ask, ask.project(id), tag_name)
    if shape is None:
        raise not_found("Tag")
    return answer(shape)


@router.delete("/projects/{id}/repository/tags/{tag_name}", **NOTHING)
async def delete_tag(ask: Ask, id: Segment, tag_name: Segment) -> Response:
    """And its release."""
    project = ask.project(id, Level.DEVELOPER)
    remove_tag(ask.tenant, project, ask.user(), tag_name)
    return no_content()


def _tag(ask: Asking, project: sqlite3.Row, name: str) -> TagShape | None:
    repo = open_repository(ask.tenant, project["id"])
    found = tag_object(repo, name)
    target = found if isinstance(found, Commit) else find_commit(repo, f"refs/tags/{name}")
    if found is None or target is None:
        return None
    row = releases.find_release(ask.tenant, project["id"], name)
    return shapes.tag(name, found, target, row, ask.view.project_url(project["full_path"]))


@router.get("/projects/{id}/releases", **returns(list[Release]))
async def list_releases(
    ask: Ask,
    id: Segment,
    page: Paged,
    order_by: Literal["released_at", "created_at"] = "released_at",
    sort: Literal["asc", "desc"] = "desc",
) -> Response:
    """Latest first."""
    project = ask.project(id)
    rows = releases.list_releases(ask.tenant, project["id"], order_by=order_by, ascending=sort == "asc")
    return sliced(ask, [_release(ask, project, row) for row in rows], page)


@router.post("/projects/{id}/releases", **returns(Release, 201))
async def create_release(ask: Ask, id: Segment, given: NewRelease) -> Response:
    """For a tag that is there, or one to be made at `ref`."""
    project = ask.project(id, Level.DEVELOPER)
    row = releases.create_release(
        ask.tenant,
        project,
        ask.user(),
        given.tag_name,
        name=given.name or "",
        description=given.description or "",
        ref=given.ref,
        tag_message=given.tag_message or "",
        released_at=given.released_at,
    )
    return answer(_release(ask, project, row), 201)


@router.get("/projects/{id}/releases/{tag_name}", **returns(Release))
async def get_release(ask: Ask, id: Segment, tag_name: Segment) -> Response:
    """Of a tag; `permalink%2Flatest` for the latest."""
    project = ask.project(id)
    if tag_name == "permalink/latest":
        latest = releases.list_releases(ask.tenant, project["id"])
        tag_name = latest[0]["tag"] if latest else ""
    return answer(_release(ask, project, _find_release(ask, project, tag_name)))


@router.put("/projects/{id}/releases/{tag_name}", **returns(Release))
async def edit_release(ask: Ask, id: Segment, tag_name: Segment, given: ChangedRelease) -> Response:
    """Name, notes, date."""
    project = ask.project(id, Level.DEVELOPER)
    row = releases.update_release(
        ask.tenant,
        _find_release(ask, project, tag_name),
        name=given.name,
        description=given.description,
        released_at=given.released_at,
    )
    return answer(_release(ask, project, row))


@router.delete("/projects/{id}/releases/{tag_name}", **returns(Release))
async def delete_release(ask: Ask, id: Segment, tag_name: Segment) -> Response:
    """The tag stays."""
    project = ask.project(id, Level.DEVELOPER)
    shape = _release(ask, project, _find_release(ask, project, tag_name))
    releases.delete_release(ask.tenant, project["id"], tag_name)
    return answer(shape)


def _find_release(ask: Asking, project: sqlite3.Row, tag: str) -> sqlite3.Row:
    row = releases.find_release(ask.tenant, project["id"], tag)
    if row is None:
        raise not_found()
    return row


def _release(ask: Asking, project: sqlite3.Row, row: sqlite3.Row) -> Release:
    tag = _tag(ask, project, row["tag"])
    return release(ask.view, row, project["full_path"], None if tag is None else tag["commit"])
