"""Pages of merge requests."""

import sqlite3
from typing import Any

from fastapi import APIRouter, Request, Response
from pygit2 import Repository

from tac_rl.office.forge.errors import forbidden, not_found
from tac_rl.office.forge.pages.rendering import form_of, go, page_of, project_at, render, required, usernames
from tac_rl.office.forge.reading import FileDiff, HistoryQuery, branch_names, diff_trees, history
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.shapes.git import CommitShape, commit
from tac_rl.office.forge.store import merge_requests as store
from tac_rl.office.forge.store import notes
from tac_rl.office.forge.store.accepting import accept, mergeability
from tac_rl.office.forge.store.access import Level, may_merge, need_writable
from tac_rl.office.forge.store.issuables import labels_on, may_edit, people_in, split_names
from tac_rl.office.forge.store.merge_requests import MergeRequestQuery
from tac_rl.office.forge.store.paging import EVERYTHING
from tac_rl.office.forge.web import Ask, Asking, Segment, reading

router = APIRouter(include_in_schema=False)
_ROOT = "/{namespace}/{project}/-/merge_requests"
COMMITS = 200


@router.get(_ROOT)
async def list_requests(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row = project_at(ask, namespace, project)
    given = request.query_params
    state = given.get("state", "opened")
    query = MergeRequestQuery.model_validate(
        {
            "state": state if state in ("opened", "closed", "merged", "all") else "opened",
            "search": given.get("search"),
            "labels": ",".join(given.getlist("label_name[]")) or None,
            "milestone": given.get("milestone_title"),
        }
    )
    page = page_of(request)
    found = store.list_merge_requests(ask.tenant, ask.person, query, page, project=row)
    values: dict[str, Any] = {
        "found": found,
        "page": page,
        "state": query.state,
        "search": query.search or "",
    }
    return render(ask, "merge_requests.html", project=row, **values)


@router.get(f"{_ROOT}/new")
async def new_request(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    ask.user()
    row = project_at(ask, namespace, project)
    names = branch_names(open_repository(ask.tenant, row["id"]))
    source = request.query_params.get("merge_request[source_branch]", "")
    return render(ask, "new_merge_request.html", project=row, branches=names, source=source)


@router.post(_ROOT)
async def create_request(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    need_writable(row)
    form = await form_of(request)
    made = store.create_merge_request(
        ask.tenant,
        row,
        ask.user().username,
        title=required(form, "title"),
        source_project=row,
        source_branch=required(form, "source_branch"),
        target_branch=required(form, "target_branch"),
        description=form.get("description", ""),
        labels=split_names(form.get("labels")),
        assignees=usernames(ask.tenant, form.get("assignees", "")),
        reviewers=usernames(ask.tenant, form.get("reviewers", "")),
    )
    return go(f"/{row['full_path']}/-/merge_requests/{made['iid']}")


@router.get(f"{_ROOT}/{{iid}}")
@router.get(f"{_ROOT}/{{iid}}/diffs")
@router.get(f"{_ROOT}/{{iid}}/commits")
async def show_request(ask: Ask, namespace: Segment, project: Segment, iid: int) -> Response:
    row, found = _find(ask, namespace, project, iid)

    def read(repo: Repository) -> tuple[list[CommitShape], list[FileDiff]]:
        refs = store.diff_refs(repo, found)
        if refs is None:
            return [], []
        new = history(repo, [refs.head.id], HistoryQuery(), hidden=[refs.start.id], limit=COMMITS)
        diffs = diff_trees(None if refs.base is None else refs.base.tree, refs.head.tree)
        return [commit(one, "") for one in new], diffs

    commits, diffs = await reading(ask, row, read)
    said = notes.list_notes(ask.tenant, found["id"], EVERYTHING, ascending=True).rows
    return render(
        ask,
        "merge_request.html",
        project=row,
        request=found,
        labels=labels_on(ask.tenant, found["id"]),
        assignees=people_in(ask.tenant, found["id"]),
        reviewers=people_in(ask.tenant, found["id"], "reviewer"),
        approvers=store.approvers(ask.tenant, found["id"]),
        notes=said,
        commits=commits,
        diffs=diffs,
        status=mergeability(ask.tenant, row["id"], found)[1],
        may_edit=ask.person is not None and may_edit(ask.tenant, row, found, ask.person, Level.DEVELOPER),
        may_merge=ask.person is not None and may_merge(ask.tenant, row, ask.person, found["target_branch"]),
    )


@router.post(f"{_ROOT}/{{iid}}")
async def change_request(
    ask: Ask, namespace: Segment, project: Segment, iid: int, request: Request
) -> Response:
    row, found = _find(ask, namespace, project, iid)
    person, form = ask.user(), await form_of(request)
    if not may_edit(ask.tenant, row, found, person, Level.DEVELOPER):
        raise forbidden()
    changes: dict[str, object] = {key: form[key] for key in ("title", "description", "labels") if key in form}
    for field in ("assignees", "reviewers"):
        if field in form:
            changes[field] = usernames(ask.tenant, form[field])
    if form.get("state_event") in ("close", "reopen"):
        changes["state_event"] = form["state_event"]
    store.update_merge_request(ask.tenant, found, person, changes)
    return go(f"/{row['full_path']}/-/merge_requests/{iid}")


@router.post(f"{_ROOT}/{{iid}}/notes")
async def comment(ask: Ask, namespace: Segment, project: Segment, iid: int, request: Request) -> Response:
    person = ask.user()
    row, found = _find(ask, namespace, project, iid)
    notes.add_note(ask.tenant, found, person.username, required(await form_of(request), "note"))
    return go(f"/{row['full_path']}/-/merge_requests/{iid}")


@router.post(f"{_ROOT}/{{iid}}/approve")
async def approve(ask: Ask, namespace: Segment, project: Segment, iid: int) -> Response:
    person = ask.user()
    row, found = _find(ask, namespace, project, iid)
    project_at(ask, namespace, project, Level.DEVELOPER)
    store.approve(ask.tenant, found["id"], person.username)
    return go(f"/{row['full_path']}/-/merge_requests/{iid}")


@router.post(f"{_ROOT}/{{iid}}/merge")
async def merge(ask: Ask, namespace: Segment, project: Segment, iid: int, request: Request) -> Response:
    person = ask.user()
    row, found = _find(ask, namespace, project, iid)
    need_writable(row)
    if not may_merge(ask.tenant, row, person, found["target_branch"]):
        raise forbidden()
    form = await form_of(request)
    accept(ask.tenant, row, found, person, remove_source_branch=form.get("remove_source_branch") == "1")
    return go(f"/{row['full_path']}/-/merge_requests/{iid}")


def _find(ask: Asking, namespace: str, project: str, iid: int) -> tuple[sqlite3.Row, sqlite3.Row]:
    row = project_at(ask, namespace, project)
    found = store.find_merge_request(ask.tenant, row["id"], min(iid, 2**31))
    if found is None:
        raise not_found("Merge Request")
    return row, found
