"""Pages of issues, labels and milestones."""

import sqlite3
from datetime import date
from typing import Any

from fastapi import APIRouter, Request, Response

from tac_rl.office.forge.errors import ForgeError, forbidden, not_found
from tac_rl.office.forge.pages.rendering import (
    form_of,
    go,
    page_of,
    project_at,
    render,
    required,
    usernames,
)
from tac_rl.office.forge.store import issues as store
from tac_rl.office.forge.store import labels, milestones, notes
from tac_rl.office.forge.store.access import Level, level_of
from tac_rl.office.forge.store.issuables import (
    labels_on,
    may_edit,
    may_see_issuable,
    people_in,
    split_names,
)
from tac_rl.office.forge.store.issues import IssueQuery
from tac_rl.office.forge.store.merge_requests import MergeRequestQuery, list_merge_requests
from tac_rl.office.forge.store.paging import EVERYTHING
from tac_rl.office.forge.store.people import shown
from tac_rl.office.forge.web import Ask, Asking, Segment

router = APIRouter(include_in_schema=False)
_ROOT = "/{namespace}/{project}/-"
_SORTS = {
    "created": ("created_at", "desc"),
    "updated": ("updated_at", "desc"),
    "due": ("due_date", "asc"),
    "priority": ("priority", "desc"),
    "title": ("title", "asc"),
}


@router.get(f"{_ROOT}/issues")
async def list_issues(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row = project_at(ask, namespace, project)
    given = request.query_params
    state = given.get("state", "opened")
    order_by, direction = _SORTS.get(given.get("sort", "").partition("_")[0], ("created_at", "desc"))
    if given.get("sort", "").endswith("_asc"):
        direction = "asc"
    query = IssueQuery.model_validate(
        {
            "state": state if state in ("opened", "closed", "all") else "opened",
            "order_by": order_by,
            "sort": direction,
            "search": given.get("search"),
            "labels": ",".join(given.getlist("label_name[]") + given.getlist("label_name")) or None,
            "milestone": given.get("milestone_title"),
            "author_username": given.get("author_username"),
            "assignee_username": [given["assignee_username"]] if given.get("assignee_username") else [],
        }
    )
    page = page_of(request)
    found = store.list_issues(ask.tenant, ask.person, query, page, project=row)
    named = {issue["id"]: labels_on(ask.tenant, issue["id"]) for issue in found.rows}
    values: dict[str, Any] = {
        "found": found,
        "page": page,
        "state": query.state,
        "search": query.search or "",
        "labels": named,
    }
    return render(ask, "issues.html", project=row, **values)


@router.get(f"{_ROOT}/issues/new")
async def new_issue(ask: Ask, namespace: Segment, project: Segment) -> Response:
    ask.user()
    row = project_at(ask, namespace, project)
    return render(ask, "edit_issue.html", project=row, issue=None, labels="", assignees="", milestone="")


@router.post(f"{_ROOT}/issues")
async def create_issue(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    person = ask.user()
    row = project_at(ask, namespace, project)
    form = await form_of(request)
    trusted = level_of(ask.tenant, row, person) >= Level.REPORTER
    made = store.create_issue(
        ask.tenant,
        row,
        person.username,
        title=required(form, "title"),
        description=form.get("description", ""),
        labels=split_names(form.get("labels")) if trusted else [],
        assignees=usernames(ask.tenant, form.get("assignees", "")) if trusted else [],
        milestone_id=_milestone(ask, row, form.get("milestone", "")) if trusted else None,
        due_date=_day(form.get("due_date", "")),
    )
    return go(f"/{row['full_path']}/-/issues/{made['iid']}")


@router.get(f"{_ROOT}/issues/{{iid}}")
async def show_issue(ask: Ask, namespace: Segment, project: Segment, iid: int) -> Response:
    row, issue = _issue(ask, namespace, project, iid)
    said = notes.list_notes(ask.tenant, issue["id"], EVERYTHING, ascending=True).rows
    internal = level_of(ask.tenant, row, ask.person) >= Level.REPORTER
    due = issue["milestone_id"]
    return render(
        ask,
        "issue.html",
        project=row,
        issue=issue,
        labels=labels_on(ask.tenant, issue["id"]),
        assignees=people_in(ask.tenant, issue["id"]),
        milestone=milestones.find_milestone(ask.tenant, row["id"], due) if due else None,
        notes=[note for note in said if internal or not note["internal"]],
        may_edit=ask.person is not None and may_edit(ask.tenant, row, issue, ask.person, Level.REPORTER),
    )


@router.get(f"{_ROOT}/issues/{{iid}}/edit")
async def edit_issue(ask: Ask, namespace: Segment, project: Segment, iid: int) -> Response:
    row, issue = _issue(ask, namespace, project, iid, edit=True)
    due = issue["milestone_id"]
    milestone = milestones.find_milestone(ask.tenant, row["id"], due) if due else None
    return render(
        ask,
        "edit_issue.html",
        project=row,
        issue=issue,
        labels=", ".join(labels_on(ask.tenant, issue["id"])),
        assignees=", ".join(shown(name) for name in people_in(ask.tenant, issue["id"])),
        milestone="" if milestone is None else milestone["title"],
    )


@router.post(f"{_ROOT}/issues/{{iid}}")
async def change_issue(
    ask: Ask, namespace: Segment, project: Segment, iid: int, request: Request
) -> Response:
    row, issue = _issue(ask, namespace, project, iid, edit=True)
    form = await form_of(request)
    changes: dict[str, object] = {key: form[key] for key in ("title", "description", "labels") if key in form}
    if "assignees" in form:
        changes["assignees"] = usernames(ask.tenant, form["assignees"])
    if "milestone" in form:
        changes["milestone_id"] = _milestone(ask, row, form["milestone"])
    if "due_date" in form:
        changes["due_date"] = _day(form["due_date"])
    if form.get("state_event") in ("close", "reopen"):
        changes["state_event"] = form["state_event"]
    store.update_issue(ask.tenant, issue, ask.user(), changes)
    return go(f"/{row['full_path']}/-/issues/{iid}")


@router.post(f"{_ROOT}/issues/{{iid}}/notes")
async def comment(ask: Ask, namespace: Segment, project: Segment, iid: int, request: Request) -> Response:
    person = ask.user()
    row, issue = _issue(ask, namespace, project, iid)
    form = await form_of(request)
    notes.add_note(ask.tenant, issue, person.username, required(form, "note"))
    if form.get("state_event") in ("close", "reopen"):
        _issue(ask, namespace, project, iid, edit=True)
        store.update_issue(ask.tenant, issue, person, {"state_event": form["state_event"]})
    return go(f"/{row['full_path']}/-/issues/{iid}")


def _issue(
    ask: Asking, namespace: str, project: str, iid: int, *, edit: bool = False
) -> tuple[sqlite3.Row, sqlite3.Row]:
    row = project_at(ask, namespace, project)
    issue = store.find_issue(ask.tenant, row["id"], min(iid, 2**31))
    if issue is None or not may_see_issuable(ask.tenant, row, issue, ask.person):
        raise not_found("Issue")
    if edit and not may_edit(ask.tenant, row, issue, ask.user(), Level.REPORTER):
        raise forbidden()
    return row, issue


def _milestone(ask: Asking, project: sqlite3.Row, title: str) -> int | None:
    if not title.strip():
        return None
    found = milestones.milestone_titled(ask.tenant, project["id"], title.strip())
    if found is None:
        raise ForgeError(400, f"There is no milestone {title.strip()!r}")
    return int(found["id"])


def _day(text: str) -> str | None:
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError as error:
        raise ForgeError(400, "A date must look like 2026-03-31") from error


# Labels and milestones


@router.get(f"{_ROOT}/labels")
async def list_labels(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project)
    return render(ask, "labels.html", project=row, labels=labels.list_labels(ask.tenant, row["id"]))


@router.post(f"{_ROOT}/labels")
async def create_label(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row = project_at(ask, namespace, project, Level.REPORTER)
    form = await form_of(request)
    color = form.get("color") or labels.DEFAULT_COLOR
    labels.create_label(ask.tenant, row["id"], required(form, "name"), color, form.get("description", ""))
    return go(f"/{row['full_path']}/-/labels")


@router.get(f"{_ROOT}/milestones")
async def list_milestones(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project)
    found = milestones.list_milestones(ask.tenant, row["id"], EVERYTHING).rows
    return render(ask, "milestones.html", project=row, milestones=found)


@router.post(f"{_ROOT}/milestones")
async def create_milestone(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row = project_at(ask, namespace, project, Level.REPORTER)
    form = await form_of(request)
    made = milestones.create_milestone(
        ask.tenant,
        row["id"],
        required(form, "title"),
        description=form.get("description", ""),
        due_date=_day(form.get("due_date", "")),
        start_date=_day(form.get("start_date", "")),
    )
    return go(f"/{row['full_path']}/-/milestones/{made['iid']}")


@router.get(f"{_ROOT}/milestones/{{iid}}")
async def show_milestone(ask: Ask, namespace: Segment, project: Segment, iid: int) -> Response:
    row = project_at(ask, namespace, project)
    found = milestones.list_milestones(ask.tenant, row["id"], EVERYTHING, iids=(min(iid, 2**31),)).rows
    if not found:
        raise not_found("Milestone")
    title = found[0]["title"]
    issues = store.list_issues(ask.tenant, ask.person, IssueQuery(milestone=title), EVERYTHING, project=row)
    query = MergeRequestQuery(milestone=title)
    requests = list_merge_requests(ask.tenant, ask.person, query, EVERYTHING, project=row)
    return render(
        ask, "milestone.html", project=row, milestone=found[0], issues=issues.rows, requests=requests.rows
    )


@router.post(f"{_ROOT}/milestones/{{iid}}")
async def change_milestone(
    ask: Ask, namespace: Segment, project: Segment, iid: int, request: Request
) -> Response:
    row = project_at(ask, namespace, project, Level.REPORTER)
    found = milestones.list_milestones(ask.tenant, row["id"], EVERYTHING, iids=(min(iid, 2**31),)).rows
    if not found:
        raise not_found("Milestone")
    form = await form_of(request)
    state = "closed" if form.get("state_event") == "close" else "active"
    milestones.update_milestone(ask.tenant, found[0], {"state": state})
    return go(f"/{row['full_path']}/-/milestones/{iid}")
