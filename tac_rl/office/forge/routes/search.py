"""Search and events."""

import sqlite3
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pygit2 import Repository

from tac_rl.office.forge.errors import not_found
from tac_rl.office.forge.reading import HistoryQuery, find_commit, history, search_files
from tac_rl.office.forge.routes.groups import find_group
from tac_rl.office.forge.shapes.git import CommitShape, FoundBlob, commit
from tac_rl.office.forge.shapes.issues import issues, note
from tac_rl.office.forge.shapes.merge_requests import merge_requests
from tac_rl.office.forge.shapes.projects import milestone, projects
from tac_rl.office.forge.shapes.records import Event, event, wiki_page
from tac_rl.office.forge.store import projects as project_store
from tac_rl.office.forge.store.events import list_events
from tac_rl.office.forge.store.issues import IssueQuery, list_issues
from tac_rl.office.forge.store.merge_requests import MergeRequestQuery, list_merge_requests
from tac_rl.office.forge.store.milestones import list_milestones
from tac_rl.office.forge.store.paging import EVERYTHING, Page
from tac_rl.office.forge.store.people import contains, find_person, list_people, person_of_id
from tac_rl.office.forge.store.wikis import list_pages
from tac_rl.office.forge.web import (
    PREFIX,
    Ask,
    Asking,
    GitLabRoute,
    Paged,
    Segment,
    listing,
    reading,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["search and events"])
Scope = Literal[
    "projects", "issues", "merge_requests", "milestones", "users", "blobs", "commits", "wiki_blobs"
]
ProjectScope = Literal[
    "issues", "merge_requests", "milestones", "users", "blobs", "commits", "wiki_blobs", "notes"
]
Text = Annotated[str, Query(min_length=1, max_length=1000)]
FOUND_FILES = 200
"""The most files or commits that a search gives for one project."""


@router.get("/search", **returns(list[dict[str, Any]]))
async def search(
    ask: Ask,
    scope: Scope,
    search: Text,
    page: Paged,
    state: Literal["opened", "closed", "merged", "all"] = "all",
) -> Response:
    """In all that the caller may see."""
    ask.user()
    return await _search(ask, scope, search, page, state, _projects(ask))


@router.get("/groups/{id}/search", **returns(list[dict[str, Any]]))
async def search_group(
    ask: Ask,
    id: Segment,
    scope: Scope,
    search: Text,
    page: Paged,
    state: Literal["opened", "closed", "merged", "all"] = "all",
) -> Response:
    """In a group's projects."""
    ask.user()
    namespace = find_group(ask, id)["id"]
    return await _search(ask, scope, search, page, state, _projects(ask, namespace), namespace_id=namespace)


@router.get("/projects/{id}/search", **returns(list[dict[str, Any]]))
async def search_project(
    ask: Ask,
    id: Segment,
    scope: ProjectScope,
    search: Text,
    page: Paged,
    ref: str | None = None,
    state: Literal["opened", "closed", "merged", "all"] = "all",
) -> Response:
    """In one project."""
    ask.user()
    project = ask.project(id)
    if scope == "notes":
        return _notes(ask, project, search, page)
    return await _search(ask, scope, search, page, state, [project], project=project, ref=ref)


def _projects(ask: Asking, namespace_id: int | None = None) -> list[sqlite3.Row]:
    query = project_store.ProjectQuery(order_by="id", sort="asc")
    return project_store.list_projects(
        ask.tenant, ask.person, query, EVERYTHING, namespace_id=namespace_id
    ).rows


async def _search(
    ask: Asking,
    scope: Scope,
    text: str,
    page: Page,
    state: Any,
    among: Sequence[sqlite3.Row],
    ref: str | None = None,
    **where: Any,
) -> Response:
    view, tenant = ask.view, ask.tenant
    if scope == "projects":
        query = project_store.ProjectQuery(search=text)
        found = project_store.list_projects(tenant, ask.person, query, page, **where)
        return listing(ask, list(projects(view, found.rows)), page, found.total)
    if scope == "issues":
        wanted = IssueQuery(search=text, state="all" if state == "merged" else state)
        found = list_issues(tenant, ask.person, wanted, page, **where)
        return listing(ask, list(issues(view, found.rows)), page, found.total)
    if scope == "merge_requests":
        found = list_merge_requests(
            tenant, ask.person, MergeRequestQuery(search=text, state=state), page, **where
        )
        return listing(ask, list(merge_requests(view, found.rows)), page, found.total)
    if scope == "users":
        return sliced(ask, [view.user(row["username"]) for row in list_people(tenant, search=text)], page)
    items: list[Any] = []
    for project in among:
        if scope == "milestones":
            rows = list_milestones(tenant, project["id"], EVERYTHING, search=text).rows
            items += [milestone(view, row, project["full_path"]) for row in rows]
        elif scope == "wiki_blobs":
            items += [
                {**wiki_page(row, content=False), "data": row["content"][:1000], "project_id": project["id"]}
                for row in list_pages(tenant, project["id"], text)
            ]
        elif scope == "blobs":
            items += await _blobs(ask, project, text, ref)
        else:
            items += await _commits(ask, project, text, ref)
    return sliced(ask, items, page)


async def _blobs(ask: Asking, project: sqlite3.Row, text: str, ref: str | None) -> list[FoundBlob]:
    name = ref or project["default_branch"]

    def read(repo: Repository) -> list[FoundBlob]:
        tip = find_commit(repo, name)
        found = [] if tip is None else search_files(repo, tip, text, FOUND_FILES)
        return [
            FoundBlob(
                basename=path.rpartition(".")[0] or path,
                data=data,
                path=path,
                filename=path,
                id=None,
                ref=name,
                startline=line,
                project_id=project["id"],
            )
            for path, line, data in found
        ]

    return await reading(ask, project, read)


async def _commits(ask: Asking, project: sqlite3.Row, text: str, ref: str | None) -> list[CommitShape]:
    url = ask.view.project_url(project["full_path"])

    def read(repo: Repository) -> list[CommitShape]:
        tip = find_commit(repo, ref or project["default_branch"])
        if tip is None:
            return []
        return [
            commit(one, url) for one in history(repo, [tip.id], HistoryQuery(text=text), limit=FOUND_FILES)
        ]

    found = await reading(ask, project, read)
    for shape in found:
        shape["project_id"] = project["id"]
    return found


def _notes(ask: Asking, project: sqlite3.Row, text: str, page: Page) -> Response:
    rows = ask.tenant.rows(
        "SELECT n.*, i.kind, i.iid, i.project_id FROM forge_notes n JOIN forge_issuables i ON i.id = n.issuable_id"
        " WHERE i.project_id = ? AND n.internal = 0 AND i.confidential = 0 AND n.body LIKE ? ESCAPE '\\'"
        " ORDER BY n.id DESC",
        project["id"],
        contains(text),
    )
    return sliced(ask, [note(ask.view, row, {**dict(row), "id": row["issuable_id"]}) for row in rows], page)


# Events


@router.get("/events", **returns(list[Event]))
async def own_events(ask: Ask, page: Paged, sort: Literal["asc", "desc"] = "desc") -> Response:
    """What the caller did."""
    return _events(ask, page, author=ask.user().username, ascending=sort == "asc")


@router.get("/users/{id}/events", **returns(list[Event]))
async def user_events(ask: Ask, id: Segment, page: Paged, sort: Literal["asc", "desc"] = "desc") -> Response:
    """What somebody did, by number or username."""
    number = id.isascii() and id.isdigit() and len(id) < 10
    person = person_of_id(ask.tenant, int(id)) if number else find_person(ask.tenant, id)
    if person is None:
        raise not_found("User")
    return _events(ask, page, author=person.username, ascending=sort == "asc")


@router.get("/projects/{id}/events", **returns(list[Event]))
async def project_events(
    ask: Ask,
    id: Segment,
    page: Paged,
    action: str | None = None,
    target_type: Literal["issue", "milestone", "merge_request", "note"] | None = None,
    sort: Literal["asc", "desc"] = "desc",
) -> Response:
    """What happened in a project."""
    kinds = {"issue": "Issue", "merge_request": "MergeRequest", "note": "Note", "milestone": "Milestone"}
    return _events(
        ask,
        page,
        project_id=ask.project(id)["id"],
        action=action,
        target_type=kinds.get(target_type or ""),
        ascending=sort == "asc",
    )


def _events(ask: Asking, page: Page, **where: Any) -> Response:
    found = list_events(ask.tenant, ask.person, page, **where)
    return listing(ask, [event(ask.view, row) for row in found.rows], page, found.total)
