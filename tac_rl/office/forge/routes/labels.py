"""Labels and milestones of projects."""

import sqlite3
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from tac_rl.office.forge.errors import not_found
from tac_rl.office.forge.routes.params import Day, OptionalId, day_text
from tac_rl.office.forge.shapes.issues import Issue, issues
from tac_rl.office.forge.shapes.merge_requests import MergeRequest, merge_requests
from tac_rl.office.forge.shapes.projects import Label, Milestone, label, milestone
from tac_rl.office.forge.store import labels as label_store
from tac_rl.office.forge.store import milestones as store
from tac_rl.office.forge.store.access import Level
from tac_rl.office.forge.store.issues import IssueQuery, list_issues
from tac_rl.office.forge.store.merge_requests import MergeRequestQuery, list_merge_requests
from tac_rl.office.forge.web import (
    NOTHING,
    PREFIX,
    Ask,
    Asking,
    GitLabRoute,
    Id,
    Paged,
    Params,
    Segment,
    answer,
    listing,
    no_content,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["labels and milestones"])


class NewLabel(Params):
    name: str
    color: str
    description: str | None = None
    priority: OptionalId = None


class ChangedLabel(Params):
    name: str | None = None
    """Which one, in the form without a name in the path."""
    new_name: str | None = None
    color: str | None = None
    description: str | None = None
    priority: OptionalId = None


class NewMilestone(Params):
    title: str
    description: str | None = None
    due_date: Day = None
    start_date: Day = None


class ChangedMilestone(Params):
    title: str | None = None
    description: str | None = None
    due_date: Day = None
    start_date: Day = None
    state_event: Literal["close", "activate"] | None = None


@router.get("/projects/{id}/labels", **returns(list[Label]))
async def list_labels(
    ask: Ask, id: Segment, page: Paged, search: str = "", with_counts: bool = False
) -> Response:
    """By name."""
    rows = label_store.list_labels(ask.tenant, ask.project(id)["id"], search)
    return sliced(ask, [label(row, counts=with_counts) for row in rows], page)


@router.post("/projects/{id}/labels", **returns(Label, 201))
async def create_label(ask: Ask, id: Segment, given: NewLabel) -> Response:
    """409 for a name that is taken."""
    project = ask.project(id, Level.REPORTER)
    label_store.create_label(
        ask.tenant, project["id"], given.name, given.color, given.description or "", given.priority
    )
    return answer(label(_label(ask, project, given.name.strip()), counts=True), 201)


@router.get("/projects/{id}/labels/{label_id}", **returns(Label))
async def get_label(ask: Ask, id: Segment, label_id: Segment) -> Response:
    """By number or name."""
    return answer(label(_label(ask, ask.project(id), label_id), counts=True))


@router.put("/projects/{id}/labels/{label_id}", **returns(Label))
async def edit_label(ask: Ask, id: Segment, label_id: Segment, given: ChangedLabel) -> Response:
    """Issues keep it under its new name."""
    return _edit_label(ask, id, label_id, given)


@router.put("/projects/{id}/labels", **returns(Label))
async def edit_named_label(ask: Ask, id: Segment, given: ChangedLabel) -> Response:
    """The same, with the present name as a parameter."""
    return _edit_label(ask, id, given.name or "", given)


@router.delete("/projects/{id}/labels/{label_id}", **NOTHING)
async def delete_label(ask: Ask, id: Segment, label_id: Segment) -> Response:
    """Issues lose it."""
    project = ask.project(id, Level.REPORTER)
    label_store.delete_label(ask.tenant, _label(ask, project, label_id)["id"])
    return no_content()


@router.delete("/projects/{id}/labels", **NOTHING)
async def delete_named_label(ask: Ask, id: Segment, name: Annotated[str, Query()]) -> Response:
    """The same, with the name as a parameter."""
    return await delete_label(ask, id, name)


def _edit_label(ask: Asking, key: str, label_key: str, given: ChangedLabel) -> Response:
    project = ask.project(key, Level.REPORTER)
    row = _label(ask, project, label_key)
    changes = given.given()
    changes["name"] = changes.pop("new_name", None)
    label_store.update_label(ask.tenant, row, changes)
    return answer(label(_label(ask, project, row["id"]), counts=True))


def _label(ask: Asking, project: sqlite3.Row, key: str | int) -> sqlite3.Row:
    row = label_store.find_label(ask.tenant, project["id"], key)
    if row is None:
        raise not_found("Label")
    return row


# Milestones


@router.get("/projects/{id}/milestones", **returns(list[Milestone]))
async def list_milestones(
    ask: Ask,
    id: Segment,
    page: Paged,
    iids: Annotated[list[Id] | None, Query()] = None,
    state: Literal["active", "closed", "all"] = "all",
    title: str | None = None,
    search: str | None = None,
) -> Response:
    """Latest due first."""
    project = ask.project(id)
    found = store.list_milestones(
        ask.tenant, project["id"], page, state=state, title=title, search=search, iids=tuple(iids or ())
    )
    shapes = [milestone(ask.view, row, project["full_path"]) for row in found.rows]
    return listing(ask, shapes, page, found.total)


@router.post("/projects/{id}/milestones", **returns(Milestone, 201))
async def create_milestone(ask: Ask, id: Segment, given: NewMilestone) -> Response:
    """400 for a title that is taken."""
    project = ask.project(id, Level.REPORTER)
    row = store.create_milestone(
        ask.tenant,
        project["id"],
        given.title,
        description=given.description or "",
        due_date=day_text(given.due_date),
        start_date=day_text(given.start_date),
    )
    return answer(milestone(ask.view, row, project["full_path"]), 201)


@router.get("/projects/{id}/milestones/{milestone_id}", **returns(Milestone))
async def get_milestone(ask: Ask, id: Segment, milestone_id: Id) -> Response:
    """By number (not the number within the project)."""
    project = ask.project(id)
    return answer(milestone(ask.view, _milestone(ask, project, milestone_id), project["full_path"]))


@router.put("/projects/{id}/milestones/{milestone_id}", **returns(Milestone))
async def edit_milestone(ask: Ask, id: Segment, milestone_id: Id, given: ChangedMilestone) -> Response:
    """Title, description, dates, or by `state_event` its state."""
    project = ask.project(id, Level.REPORTER)
    changes = given.given()
    for key in ("due_date", "start_date"):
        if key in changes:
            changes[key] = day_text(changes[key])
    event = changes.pop("state_event", None)
    if event is not None:
        changes["state"] = "closed" if event == "close" else "active"
    row = store.update_milestone(ask.tenant, _milestone(ask, project, milestone_id), changes)
    return answer(milestone(ask.view, row, project["full_path"]))


@router.delete("/projects/{id}/milestones/{milestone_id}", **NOTHING)
async def delete_milestone(ask: Ask, id: Segment, milestone_id: Id) -> Response:
    """Its issues stay, without it."""
    project = ask.project(id, Level.REPORTER)
    store.delete_milestone(ask.tenant, _milestone(ask, project, milestone_id)["id"])
    return no_content()


@router.get("/projects/{id}/milestones/{milestone_id}/issues", **returns(list[Issue]))
async def milestone_issues(ask: Ask, id: Segment, milestone_id: Id, page: Paged) -> Response:
    """Planned in it."""
    project = ask.project(id)
    query = IssueQuery(milestone=_milestone(ask, project, milestone_id)["title"])
    found = list_issues(ask.tenant, ask.person, query, page, project=project)
    return listing(ask, issues(ask.view, found.rows), page, found.total)


@router.get("/projects/{id}/milestones/{milestone_id}/merge_requests", **returns(list[MergeRequest]))
async def milestone_merge_requests(ask: Ask, id: Segment, milestone_id: Id, page: Paged) -> Response:
    """Planned in it."""
    project = ask.project(id)
    query = MergeRequestQuery(milestone=_milestone(ask, project, milestone_id)["title"])
    found = list_merge_requests(ask.tenant, ask.person, query, page, project=project)
    return listing(ask, merge_requests(ask.view, found.rows), page, found.total)


def _milestone(ask: Asking, project: sqlite3.Row, milestone_id: int) -> sqlite3.Row:
    row = store.find_milestone(ask.tenant, project["id"], milestone_id)
    if row is None:
        raise not_found()
    return row
