"""Merge requests."""

import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field
from pygit2 import Repository

from tac_rl.office.forge.closing import closed_issues
from tac_rl.office.forge.errors import forbidden, invalid, not_found, unauthorized
from tac_rl.office.forge.reading import FileDiff, HistoryQuery, diff_trees, history
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.routes.groups import find_group
from tac_rl.office.forge.routes.issues import find, participants
from tac_rl.office.forge.routes.params import (
    Ids,
    Names,
    OptionalId,
    StateEvent,
    assignees_of,
    check_milestone,
)
from tac_rl.office.forge.shapes.git import CommitShape, Diff, commit, diff
from tac_rl.office.forge.shapes.issues import Issue, issues
from tac_rl.office.forge.shapes.merge_requests import (
    Approvals,
    MergeRequest,
    approvals,
    merge_request,
    merge_requests,
)
from tac_rl.office.forge.shapes.records import Pipeline, pipeline
from tac_rl.office.forge.shapes.view import UserBasic
from tac_rl.office.forge.store import merge_requests as store
from tac_rl.office.forge.store.accepting import accept, mergeability
from tac_rl.office.forge.store.access import Level, level_of, may_merge, need_writable
from tac_rl.office.forge.store.issuables import split_names
from tac_rl.office.forge.store.issues import delete_issuable, find_issue
from tac_rl.office.forge.store.paging import EVERYTHING, Page
from tac_rl.office.forge.store.pipelines import list_pipelines
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
    reading,
    returns,
    sliced,
    usernames_of,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["merge requests"])
Query = Annotated[store.MergeRequestQuery, Depends(Filters(store.MergeRequestQuery))]
COMMITS = 500
"""The most commits of one merge request that are looked at."""


class NewMergeRequest(Params):
    source_branch: str
    target_branch: str
    title: str
    description: str | None = None
    target_project_id: OptionalId = None
    labels: Names = None
    assignee_ids: Ids = Field(default_factory=list)
    assignee_id: OptionalId = None
    reviewer_ids: Ids = Field(default_factory=list)
    milestone_id: OptionalId = None
    remove_source_branch: bool | None = None
    squash: bool | None = None


class ChangedMergeRequest(Params):
    title: str | None = None
    description: str | None = None
    target_branch: str | None = None
    labels: Names = None
    add_labels: Names = None
    remove_labels: Names = None
    assignee_ids: Ids = Field(default_factory=list)
    assignee_id: OptionalId = None
    reviewer_ids: Ids = Field(default_factory=list)
    milestone_id: OptionalId = None
    remove_source_branch: bool | None = None
    squash: bool | None = None
    discussion_locked: bool | None = None
    state_event: StateEvent = None


class Merge(Params):
    merge_commit_message: str | None = None
    squash_commit_message: str | None = None
    squash: bool | None = None
    should_remove_source_branch: bool | None = None
    sha: str | None = None


@router.get("/merge_requests", **returns(list[MergeRequest]))
async def list_all_merge_requests(ask: Ask, page: Paged, query: Query) -> Response:
    """Everywhere; unless `scope` says otherwise those made by the caller."""
    ask.user()
    if query.scope is None:
        query = query.model_copy(update={"scope": "created_by_me"})
    return _listed(ask, query, page)


@router.get("/groups/{id}/merge_requests", **returns(list[MergeRequest]))
async def list_group_merge_requests(ask: Ask, id: Segment, page: Paged, query: Query) -> Response:
    """In the projects of a group."""
    return _listed(ask, query, page, namespace_id=find_group(ask, id)["id"])


@router.get("/projects/{id}/merge_requests", **returns(list[MergeRequest]))
async def list_merge_requests(ask: Ask, id: Segment, page: Paged, query: Query) -> Response:
    """Into a project."""
    return _listed(ask, query, page, project=ask.project(id, setting="merge_requests_enabled"))


def _listed(ask: Asking, query: store.MergeRequestQuery, page: Page, **where: Any) -> Response:
    found = store.list_merge_requests(ask.tenant, ask.person, query, page, **where)
    return listing(ask, list(merge_requests(ask.view, found.rows)), page, found.total)


@router.post("/projects/{id}/merge_requests", **returns(MergeRequest, 201))
async def create_merge_request(ask: Ask, id: Segment, given: NewMergeRequest) -> Response:
    """From a branch of this project, into this one or the one that it was forked from."""
    source = ask.project(id, Level.NONE, setting="merge_requests_enabled")
    need_writable(source)
    target = source
    if given.target_project_id is not None:
        target = ask.project(str(given.target_project_id), Level.NONE, setting="merge_requests_enabled")
    related = source["id"] == target["id"] or source["forked_from"] == target["id"]
    if not related:
        raise invalid("validate_fork", "Source project is not a fork of the target project")
    if ask.level(source) < Level.DEVELOPER:
        raise forbidden()
    fields = given.given()
    trusted = ask.level(target) >= Level.REPORTER
    row = store.create_merge_request(
        ask.tenant,
        target,
        ask.user().username,
        title=given.title,
        source_project=source,
        source_branch=given.source_branch,
        target_branch=given.target_branch,
        description=given.description or "",
        labels=split_names(given.labels) if trusted else [],
        assignees=assignees_of(ask, fields),
        reviewers=usernames_of(ask.tenant, given.reviewer_ids),
        milestone_id=check_milestone(ask, target, given.milestone_id) if trusted else None,
        squash=bool(given.squash),
        remove_source_branch=bool(given.remove_source_branch),
    )
    return await _shown(ask, target, row, 201)


@router.get("/projects/{id}/merge_requests/{iid}", **returns(MergeRequest))
async def get_merge_request(ask: Ask, id: Segment, iid: Id) -> Response:
    """With its state of mergeability and what its difference is between."""
    return await _shown(ask, *_find(ask, id, iid))


@router.put("/projects/{id}/merge_requests/{iid}", **returns(MergeRequest))
async def edit_merge_request(ask: Ask, id: Segment, iid: Id, given: ChangedMergeRequest) -> Response:
    """Its author and assignees may, and developers."""
    find(ask, id, "merge_request", iid, Level.DEVELOPER)
    project, row = _find(ask, id, iid)
    changes = given.given()
    if "discussion_locked" in changes:
        changes["locked"] = changes.pop("discussion_locked")
    if "milestone_id" in changes:
        changes["milestone_id"] = check_milestone(ask, project, changes["milestone_id"])
    changes["assignees"] = assignees_of(ask, changes)
    changes["reviewers"] = usernames_of(ask.tenant, changes.get("reviewer_ids"))
    return await _shown(ask, project, store.update_merge_request(ask.tenant, row, ask.user(), changes))


@router.delete("/projects/{id}/merge_requests/{iid}", **NOTHING)
async def delete_merge_request(ask: Ask, id: Segment, iid: Id) -> Response:
    """Owners may."""
    project, row = _find(ask, id, iid)
    if level_of(ask.tenant, project, ask.user()) < Level.OWNER:
        raise forbidden()
    delete_issuable(ask.tenant, row["id"])
    return no_content()


@router.put("/projects/{id}/merge_requests/{iid}/merge", **returns(MergeRequest))
async def merge(ask: Ask, id: Segment, iid: Id, given: Merge) -> Response:
    """401 without the right to, 405 where it isn't open, 409 for another `sha`, 422 for a conflict."""
    project, row = _find(ask, id, iid)
    person = ask.user()
    need_writable(project)
    if not may_merge(ask.tenant, project, person, row["target_branch"]):
        raise unauthorized()
    merged = accept(
        ask.tenant,
        project,
        row,
        person,
        squash=given.squash,
        message=given.merge_commit_message or "",
        squash_message=given.squash_commit_message or "",
        sha=given.sha,
        remove_source_branch=given.should_remove_source_branch,
    )
    return await _shown(ask, project, merged)


@router.get("/projects/{id}/merge_requests/{iid}/changes", **returns(MergeRequest))
async def changes(ask: Ask, id: Segment, iid: Id) -> Response:
    """The merge request with its differences under `changes`."""
    project, row = _find(ask, id, iid)
    shape = await _shape(ask, project, row)
    shape["changes"] = await _diffs(ask, project, row)
    shape["overflow"] = False
    return answer(shape)


@router.get("/projects/{id}/merge_requests/{iid}/diffs", **returns(list[Diff]))
async def diffs(ask: Ask, id: Segment, iid: Id, page: Paged) -> Response:
    """Its differences, by file."""
    return sliced(ask, list(await _diffs(ask, *_find(ask, id, iid))), page)


@router.get("/projects/{id}/merge_requests/{iid}/raw_diffs", response_class=PlainTextResponse)
async def raw_diffs(ask: Ask, id: Segment, iid: Id) -> Response:
    """The same as one text."""
    found = await _diffs(ask, *_find(ask, id, iid))
    text = "".join(
        f"diff --git a/{d['old_path']} b/{d['new_path']}\n--- a/{d['old_path']}\n+++ b/{d['new_path']}\n{d['diff']}"
        for d in found
    )
    return PlainTextResponse(text)


@router.get("/projects/{id}/merge_requests/{iid}/commits", **returns(list[CommitShape]))
async def commits(ask: Ask, id: Segment, iid: Id, page: Paged) -> Response:
    """Newest first."""
    project, row = _find(ask, id, iid)
    url = ask.view.project_url(project["full_path"])

    def read(repo: Repository) -> list[CommitShape]:
        refs = store.diff_refs(repo, row)
        if refs is None:
            return []
        found = history(repo, [refs.head.id], HistoryQuery(), hidden=[refs.start.id], limit=COMMITS)
        return [commit(one, url) for one in found]

    return sliced(ask, list(await reading(ask, project, read)), page)


@router.get("/projects/{id}/merge_requests/{iid}/participants", **returns(list[UserBasic]))
async def merge_request_participants(ask: Ask, id: Segment, iid: Id, page: Paged) -> Response:
    """Author, assignees, and who commented."""
    return participants(ask, _find(ask, id, iid)[1], page)


@router.get("/projects/{id}/merge_requests/{iid}/pipelines", **returns(list[Pipeline]))
async def merge_request_pipelines(ask: Ask, id: Segment, iid: Id, page: Paged) -> Response:
    """Of its source branch."""
    project, row = _find(ask, id, iid)
    found = list_pipelines(ask.tenant, project["id"], EVERYTHING, ref=row["source_branch"])
    return sliced(ask, [pipeline(ask.view, one, project["full_path"]) for one in found.rows], page)


@router.get("/projects/{id}/merge_requests/{iid}/closes_issues", **returns(list[Issue]))
async def closes_issues(ask: Ask, id: Segment, iid: Id, page: Paged) -> Response:
    """Issues that its description says it closes."""
    project, row = _find(ask, id, iid)
    numbers = closed_issues(f"{row['title']}\n{row['description']}", project["full_path"])
    found = [issue for number in numbers if (issue := find_issue(ask.tenant, project["id"], number))]
    return sliced(ask, list(issues(ask.view, found)), page)


@router.get("/projects/{id}/merge_requests/{iid}/approvals", **returns(Approvals))
async def get_approvals(ask: Ask, id: Segment, iid: Id) -> Response:
    """Who approved it; no approval is ever required here."""
    _, row = _find(ask, id, iid)
    return answer(approvals(ask.view, row, store.approvers(ask.tenant, row["id"])))


@router.post("/projects/{id}/merge_requests/{iid}/approve", **returns(Approvals, 201))
async def approve(ask: Ask, id: Segment, iid: Id) -> Response:
    """401 the second time."""
    row = _approvable(ask, id, iid)
    if not store.approve(ask.tenant, row["id"], ask.user().username):
        raise unauthorized()
    return answer(approvals(ask.view, row, store.approvers(ask.tenant, row["id"])), 201)


@router.post("/projects/{id}/merge_requests/{iid}/unapprove", **returns(Approvals, 201))
async def unapprove(ask: Ask, id: Segment, iid: Id) -> Response:
    """404 without an approval to take back."""
    row = _approvable(ask, id, iid)
    if not store.unapprove(ask.tenant, row["id"], ask.user().username):
        raise not_found()
    return answer(approvals(ask.view, row, store.approvers(ask.tenant, row["id"])), 201)


def _approvable(ask: Asking, key: str, iid: int) -> sqlite3.Row:
    project, row = _find(ask, key, iid)
    if ask.user() and ask.level(project) < Level.DEVELOPER:
        raise unauthorized()
    return row


def _find(ask: Asking, key: str, iid: int) -> tuple[sqlite3.Row, sqlite3.Row]:
    project = ask.project(key)
    row = store.find_merge_request(ask.tenant, project["id"], iid)
    if row is None:
        raise not_found("Merge Request")
    return project, row


async def _shown(ask: Asking, project: sqlite3.Row, row: sqlite3.Row, status: int = 200) -> Response:
    return answer(await _shape(ask, project, row), status)


async def _shape(ask: Asking, project: sqlite3.Row, row: sqlite3.Row) -> MergeRequest:
    repo = open_repository(ask.tenant, project["id"])
    refs = store.diff_refs(repo, row)
    count = None if refs is None else len(_file_diffs(refs))
    allowed = ask.person is not None and may_merge(ask.tenant, project, ask.person, row["target_branch"])
    return merge_request(
        ask.view,
        row,
        status=mergeability(ask.tenant, project["id"], row),
        refs=refs,
        changes_count=count,
        may_merge=allowed,
    )


async def _diffs(ask: Asking, project: sqlite3.Row, row: sqlite3.Row) -> list[Diff]:
    def read(repo: Repository) -> list[Diff]:
        refs = store.diff_refs(repo, row)
        return [] if refs is None else [diff(found) for found in _file_diffs(refs)]

    return await reading(ask, project, read)


def _file_diffs(refs: store.DiffRefs) -> list[FileDiff]:
    return diff_trees(None if refs.base is None else refs.base.tree, refs.head.tree)
