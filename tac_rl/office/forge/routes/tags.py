"""Tags and releases."""

import sqlite3
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pygit2 import Commit

from tac_rl.office.forge.errors import not_found
from tac_rl.office.forge.reading import find_commit, tag_names, tag_object
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.shapes import git as shapes
from tac_rl.office.forge.shapes.git import TagShape
from tac_rl.office.forge.shapes.records import Release, release
from tac_rl.office.forge.store import releases
from tac_rl.office.forge.store.access import Level
from tac_rl.office.forge.store.branches import make_tag, remove_tag
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

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["tags and releases"])


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
