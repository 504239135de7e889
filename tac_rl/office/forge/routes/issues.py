"""Issues, and notes on issues and merge requests."""

import sqlite3
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import forbidden, not_found
from tac_rl.office.forge.routes.groups import find_group
from tac_rl.office.forge.routes.params import (
    Day,
    Ids,
    Names,
    OptionalId,
    StateEvent,
    assignees_of,
    check_milestone,
    day_text,
)
from tac_rl.office.forge.shapes.issues import Issue, Note, issue, issues, note
from tac_rl.office.forge.shapes.merge_requests import MergeRequest, merge_requests
from tac_rl.office.forge.shapes.view import UserBasic
from tac_rl.office.forge.store import issues as store
from tac_rl.office.forge.store import notes as note_store
from tac_rl.office.forge.store.access import Level, level_of
from tac_rl.office.forge.store.issuables import (
    Kind,
    find_issuable,
    may_edit,
    may_see_issuable,
    people_in,
    split_names,
)
from tac_rl.office.forge.store.merge_requests import closing_requests
from tac_rl.office.forge.store.paging import Page
from tac_rl.office.forge.web import (
    NOTHING,
    PREFIX,
    Ask,
    Asking,
    Filters,
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

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["issues"])
IssueType = Literal["issue", "incident", "test_case", "task"]
Query = Annotated[store.IssueQuery, Depends(Filters(store.IssueQuery))]


class NewIssue(Params):
    title: str
    iid: OptionalId = None
    description: str | None = None
    labels: Names = None
    assignee_ids: Ids = Field(default_factory=list)
    assignee_id: OptionalId = None
    milestone_id: OptionalId = None
    due_date: Day = None
    confidential: bool = False
    issue_type: IssueType = "issue"
    created_at: datetime | None = None


class ChangedIssue(Params):
    title: str | None = None
    description: str | None = None
    labels: Names = None
    add_labels: Names = None
    remove_labels: Names = None
    assignee_ids: Ids = Field(default_factory=list)
    assignee_id: OptionalId = None
    milestone_id: OptionalId = None
    due_date: Day = None
    confidential: bool | None = None
    discussion_locked: bool | None = None
    issue_type: IssueType | None = None
    state_event: StateEvent = None


class NewNote(Params):
    body: str
    internal: bool = False
    created_at: datetime | None = None


class ChangedNote(Params):
    body: str


@router.get("/issues", **returns(list[Issue]))
async def list_all_issues(ask: Ask, page: Paged, query: Query) -> Response:
    """Everywhere; unless `scope` says otherwise those made by the caller."""
    ask.user()
    if query.scope is None:
        query = query.model_copy(update={"scope": "created_by_me"})
    return _listed(ask, query, page)


@router.get("/groups/{id}/issues", **returns(list[Issue]))
async def list_group_issues(ask: Ask, id: Segment, page: Paged, query: Query) -> Response:
    """In the projects of a group."""
    return _listed(ask, query, page, namespace_id=find_group(ask, id)["id"])


@router.get("/projects/{id}/issues", **returns(list[Issue]))
async def list_issues(ask: Ask, id: Segment, page: Paged, query: Query) -> Response:
    """Of a project."""
    return _listed(ask, query, page, project=ask.project(id, setting="issues_enabled"))


@router.get("/issues/{id}", **returns(Issue))
async def get_issue_by_id(ask: Ask, id: Id) -> Response:
    """By its number in the whole forge, for administrators."""
    ask.admin()
    row = store.issue_of_id(ask.tenant, id)
    if row is None:
        raise not_found()
    return answer(issue(ask.view, row))


@router.post("/projects/{id}/issues", **returns(Issue, 201))
async def create_issue(ask: Ask, id: Segment, given: NewIssue) -> Response:
    """Anybody who sees the project may; labels and a milestone need a reporter, `iid` an owner."""
    project = ask.project(id, Level.NONE, setting="issues_enabled")
    level = ask.level(project)
    trusted = level >= Level.REPORTER
    with ask.tenant.transaction():
        row = store.create_issue(
            ask.tenant,
            project,
            ask.user().username,
            title=given.title,
            description=given.description or "",
            labels=split_names(given.labels) if trusted else [],
            assignees=assignees_of(ask, given.given()) if trusted else [],
            milestone_id=check_milestone(ask, project, given.milestone_id) if trusted else None,
            due_date=day_text(given.due_date),
            confidential=given.confidential,
            issue_type=given.issue_type,
            iid=given.iid if level >= Level.OWNER else None,
            at=stamp(given.created_at) if given.created_at is not None and level >= Level.OWNER else None,
        )
    return answer(issue(ask.view, row), 201)


@router.get("/projects/{id}/issues/{issue_iid}", **returns(Issue))
async def get_issue(ask: Ask, id: Segment, issue_iid: Id) -> Response:
    """By its number in the project."""
    _, row = find(ask, id, "issue", issue_iid)
    return answer(issue(ask.view, row))


@router.put("/projects/{id}/issues/{issue_iid}", **returns(Issue))
async def edit_issue(ask: Ask, id: Segment, issue_iid: Id, given: ChangedIssue) -> Response:
    """Its author and assignees may, and reporters."""
    project, row = find(ask, id, "issue", issue_iid, Level.REPORTER)
    changes = given.given()
    if "discussion_locked" in changes:
        changes["locked"] = changes.pop("discussion_locked")
    if "due_date" in changes:
        changes["due_date"] = day_text(changes["due_date"])
    if "milestone_id" in changes:
        changes["milestone_id"] = check_milestone(ask, project, changes["milestone_id"])
    changes["assignees"] = assignees_of(ask, changes)
    return answer(issue(ask.view, store.update_issue(ask.tenant, row, ask.user(), changes)))


@router.delete("/projects/{id}/issues/{issue_iid}", **NOTHING)
async def delete_issue(ask: Ask, id: Segment, issue_iid: Id) -> Response:
    """Owners may."""
    project, row = find(ask, id, "issue", issue_iid)
    if level_of(ask.tenant, project, ask.user()) < Level.OWNER:
        raise forbidden()
    store.delete_issuable(ask.tenant, row["id"])
    return no_content()


@router.get("/projects/{id}/issues/{issue_iid}/participants", **returns(list[UserBasic]))
async def issue_participants(ask: Ask, id: Segment, issue_iid: Id, page: Paged) -> Response:
    """Author, assignees, and who commented."""
    return participants(ask, find(ask, id, "issue", issue_iid)[1], page)


@router.get("/projects/{id}/issues/{issue_iid}/closed_by", **returns(list[MergeRequest]))
async def closed_by(ask: Ask, id: Segment, issue_iid: Id, page: Paged) -> Response:
    """Merge requests that will close it when they are merged."""
    project, row = find(ask, id, "issue", issue_iid)
    found = closing_requests(ask.tenant, project, row["iid"])
    return sliced(ask, list(merge_requests(ask.view, found)), page)


@router.get("/projects/{id}/issues/{issue_iid}/related_merge_requests", **returns(list[MergeRequest]))
async def related_merge_requests(ask: Ask, id: Segment, issue_iid: Id, page: Paged) -> Response:
    """The same: other relations aren't kept."""
    return await closed_by(ask, id, issue_iid, page)


def _listed(ask: Asking, query: store.IssueQuery, page: Page, **where: Any) -> Response:
    found = store.list_issues(ask.tenant, ask.person, query, page, **where)
    shapes = issues(ask.view, found.rows, label_details=query.with_labels_details)
    return listing(ask, list(shapes), page, found.total)


def find(
    ask: Asking, key: str, kind: Kind, iid: int, edit: Level | None = None
) -> tuple[sqlite3.Row, sqlite3.Row]:
    """A project and an issue or merge request of it; with `edit`, only for who may change it."""
    project = ask.project(key, None if edit is None else Level.NONE)
    row = find_issuable(ask.tenant, kind, project["id"], iid)
    if row is None or not may_see_issuable(ask.tenant, project, row, ask.person):
        raise not_found("Issue" if kind == "issue" else "Merge Request")
    if edit is not None and not may_edit(ask.tenant, project, row, ask.user(), edit):
        raise forbidden()
    return project, row


def participants(ask: Asking, row: sqlite3.Row, page: Page) -> Response:
    commenters = ask.tenant.rows(
        "SELECT DISTINCT author FROM forge_notes WHERE issuable_id = ? ORDER BY id", row["id"]
    )
    names = [row["author"], *people_in(ask.tenant, row["id"]), *(note["author"] for note in commenters)]
    return sliced(ask, list(ask.view.users(list(dict.fromkeys(names)))), page)


# Notes


Noteable = Literal["issues", "merge_requests"]


@router.get("/projects/{id}/{noteable}/{iid}/notes", **returns(list[Note]))
async def list_notes(
    ask: Ask,
    id: Segment,
    noteable: Noteable,
    iid: Id,
    page: Paged,
    sort: Literal["asc", "desc"] = "desc",
    order_by: Literal["created_at", "updated_at"] = "created_at",
    activity_filter: Literal["all_notes", "only_comments", "only_activity"] = "all_notes",
) -> Response:
    """Comments, newest first. Changes of labels and the like leave no notes here."""
    project, row = _noteable(ask, id, noteable, iid)
    if activity_filter == "only_activity":
        return sliced(ask, [], page)
    found = note_store.list_notes(ask.tenant, row["id"], page, order_by=order_by, ascending=sort == "asc")
    internal = level_of(ask.tenant, project, ask.person) >= Level.REPORTER
    shapes = [note(ask.view, one, row) for one in found.rows if internal or not one["internal"]]
    return listing(ask, shapes, page, found.total)


@router.post("/projects/{id}/{noteable}/{iid}/notes", **returns(Note, 201))
async def create_note(ask: Ask, id: Segment, noteable: Noteable, iid: Id, given: NewNote) -> Response:
    """Comment."""
    project, row = _noteable(ask, id, noteable, iid)
    person = ask.user()
    owner = level_of(ask.tenant, project, person) >= Level.OWNER
    at = stamp(given.created_at) if given.created_at is not None and owner else None
    made = note_store.add_note(ask.tenant, row, person.username, given.body, internal=given.internal, at=at)
    return answer(note(ask.view, made, row), 201)


@router.get("/projects/{id}/{noteable}/{iid}/notes/{note_id}", **returns(Note))
async def get_note(ask: Ask, id: Segment, noteable: Noteable, iid: Id, note_id: Id) -> Response:
    """One comment."""
    _, row, found = _note(ask, id, noteable, iid, note_id)
    return answer(note(ask.view, found, row))


@router.put("/projects/{id}/{noteable}/{iid}/notes/{note_id}", **returns(Note))
async def edit_note(
    ask: Ask, id: Segment, noteable: Noteable, iid: Id, note_id: Id, given: ChangedNote
) -> Response:
    """Its author may, and maintainers."""
    _, row, found = _note(ask, id, noteable, iid, note_id, own=True)
    return answer(note(ask.view, note_store.update_note(ask.tenant, found, given.body), row))


@router.delete("/projects/{id}/{noteable}/{iid}/notes/{note_id}", **NOTHING)
async def delete_note(ask: Ask, id: Segment, noteable: Noteable, iid: Id, note_id: Id) -> Response:
    """Its author may, and maintainers."""
    note_store.delete_note(ask.tenant, _note(ask, id, noteable, iid, note_id, own=True)[2]["id"])
    return no_content()


def _noteable(ask: Asking, key: str, noteable: Noteable, iid: int) -> tuple[sqlite3.Row, sqlite3.Row]:
    return find(ask, key, "issue" if noteable == "issues" else "merge_request", iid)


def _note(
    ask: Asking, key: str, noteable: Noteable, iid: int, note_id: int, *, own: bool = False
) -> tuple[sqlite3.Row, sqlite3.Row, sqlite3.Row]:
    project, row = _noteable(ask, key, noteable, iid)
    found = note_store.find_note(ask.tenant, row["id"], note_id)
    level = level_of(ask.tenant, project, ask.person)
    if found is None or (found["internal"] and level < Level.REPORTER):
        raise not_found()
    if own and ask.user().username != found["author"] and level < Level.MAINTAINER:
        raise forbidden()
    return project, row, found
