"""Pages: issues by state, one issue, cycles and modules."""

import json
from typing import Any

from fastapi import FastAPI, Response

from tac_rl.office.tracker import issues, listings, plans, threads
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.projects import ADMIN, MEMBER, role_in
from tac_rl.office.tracker.records import forbidden, html_of_text, missing, refused
from tac_rl.office.tracker.resources import MODULE_STATUSES, PRIORITIES
from tac_rl.office.tracker.visits import Visit, add_page, go, only

HOME = "/tac/projects"


def add_pages(app: FastAPI, project: str) -> None:
    issue, cycle = f"{project}/issues/{{issue_id:uuid}}", f"{project}/cycles/{{plan_id:uuid}}"
    module = f"{project}/modules/{{plan_id:uuid}}"
    for method, path, handler in (
        ("GET", f"{project}/issues", list_issues),
        ("POST", f"{project}/issues", create_issue),
        ("GET", issue, one_issue),
        ("POST", issue, change_issue),
        ("POST", f"{issue}/comments", comment),
        ("POST", f"{issue}/delete", delete_issue),
        ("GET", "/tac/browse/{project_identifier}-{number:int}", browse),
        ("GET", f"{project}/cycles", list_cycles),
        ("POST", f"{project}/cycles", create_cycle),
        ("GET", cycle, one_cycle),
        ("POST", cycle, change_cycle),
        ("GET", f"{project}/modules", list_modules),
        ("POST", f"{project}/modules", create_module),
        ("GET", module, one_module),
    ):
        add_page(app, method, path, handler)


def _of(visit: Visit, least: int = 0) -> dict[str, Any]:
    """What every page of a project shows: the project, its states, people and labels."""
    project = visit.project(max(least, 5))
    tenant = visit.tenant
    return {
        "project": tenant.row("SELECT * FROM tracker_projects WHERE id = ?", project),
        "states": tenant.rows(
            "SELECT * FROM tracker_states WHERE project = ? AND NOT is_triage ORDER BY sequence", project
        ),
        "people": {
            row["username"]: row["name"]
            for row in tenant.rows(
                "SELECT p.username, p.name FROM tracker_members m JOIN people p ON p.username = m.username"
                " WHERE m.project = ? ORDER BY p.username",
                project,
            )
        },
        "labels": {
            row["id"]: row["name"]
            for row in tenant.rows("SELECT * FROM tracker_labels WHERE project = ? ORDER BY name", project)
        },
        "cycles": tenant.rows(
            "SELECT * FROM tracker_cycles WHERE project = ? AND archived_at IS NULL ORDER BY sort_order DESC",
            project,
        ),
        "priorities": PRIORITIES,
    }


def _shown(rows: Any, of: dict[str, Any]) -> list[dict[str, Any]]:
    """Issues with the names of their people and labels."""
    return [
        {
            **dict(row),
            "assignees": [of["people"].get(name, name) for name in json.loads(row["assignees"])],
            "labels": [of["labels"].get(label, label) for label in json.loads(row["labels"])],
        }
        for row in rows
    ]


async def list_issues(visit: Visit) -> Response:
    of, query = _of(visit), visit.request.query_params
    listing = listings.issues_of(of["project"]["id"])
    if text := query.get("search", "").strip():
        listing = listing.narrowed("instr(lower(tracker_issues.name), ?)", text.lower())
    rows, total = listing.page(visit.tenant, 1000, 0)
    title = f"{of['project']['name']}: issues"
    return visit.html("issues.html", title, **of, issues=_shown(rows, of), total=total, search=text)


def _document(form: dict[str, list[str]]) -> dict[str, Any]:
    """A form's fields as the API takes them; a field that is not in the form is left as it is."""
    plain = ("name", "priority", "state", "start_date", "target_date")
    document: dict[str, Any] = {name: only(form, name) for name in plain if name in form}
    for name in ("start_date", "target_date"):
        if document.get(name) == "":
            document[name] = None
    if "description" in form:
        document["description_html"] = html_of_text(only(form, "description").replace("\r\n", "\n"))
    return document


def _values(visit: Visit, form: dict[str, list[str]], of: dict[str, Any], *, partial: bool) -> dict[str, Any]:
    project = of["project"]["id"]
    values = r.ISSUE.parse(_document(form), visit.scope(project), partial=partial)
    if "with_assignees" in form:
        chosen = dict.fromkeys(form.get("assignees", []))
        values["assignees"] = json.dumps([username for username in chosen if username in of["people"]])
    if "with_labels" in form:
        chosen = dict.fromkeys(form.get("labels", []))
        values["labels"] = json.dumps([label for label in chosen if label in of["labels"]])
    return values


def _plan(visit: Visit, form: dict[str, list[str]], of: dict[str, Any], issue: str) -> None:
    """Put an issue into the cycle that a form names, or out of any."""
    if "cycle" not in form:
        return
    project, wanted = of["project"]["id"], only(form, "cycle")
    now = visit.tenant.value("SELECT cycle FROM tracker_cycle_issues WHERE issue = ?", issue)
    if wanted and wanted not in {cycle["id"] for cycle in of["cycles"]}:
        raise missing()
    if wanted and wanted != now:
        plans.put_in_cycle(visit.act, project, wanted, [issue])
    elif now is not None and not wanted:
        plans.take_from_cycle(visit.act, project, now, issue)


async def create_issue(visit: Visit) -> Response:
    of, form = _of(visit, MEMBER), await visit.form()
    values = _values(visit, form, of, partial=False)
    with visit.tenant.transaction():
        made = issues.create_issue(visit.act, of["project"]["id"], values)
        _plan(visit, form, of, made)
    return go(f"{HOME}/{of['project']['id']}/issues/{made}")


def _issue(visit: Visit, project: str) -> Any:
    row = listings.any_issue_of(project).one(visit.tenant, visit.id("issue_id"))
    if row is None:
        raise missing()
    return row


async def one_issue(visit: Visit) -> Response:
    of, tenant = _of(visit), visit.tenant
    row = _issue(visit, of["project"]["id"])
    comments = tenant.rows(
        "SELECT c.*, coalesce(p.name, c.actor) AS author FROM tracker_comments c"
        " LEFT JOIN people p ON p.username = c.actor WHERE c.issue = ? ORDER BY c.created_at, c.rowid",
        row["id"],
    )
    history = tenant.rows(
        "SELECT a.*, coalesce(p.name, a.actor) AS author FROM tracker_activities a"
        " LEFT JOIN people p ON p.username = a.actor"
        " WHERE a.issue = ? AND coalesce(a.field, '') != 'comment' ORDER BY a.created_at, a.rowid",
        row["id"],
    )
    links = tenant.rows("SELECT * FROM tracker_links WHERE issue = ? ORDER BY created_at", row["id"])
    shown = {
        "assigned": json.loads(row["assignees"]),
        "labelled": json.loads(row["labels"]),
        "cycle": tenant.value("SELECT cycle FROM tracker_cycle_issues WHERE issue = ?", row["id"]),
        "author": of["people"].get(row["created_by"], row["created_by"]),
    }
    title = f"{of['project']['identifier']}-{row['sequence_id']} {row['name']}"
    what = {"comments": comments, "history": history, "links": links, **shown}
    return visit.html("issue.html", title, **of, issue=row, **what)


async def change_issue(visit: Visit) -> Response:
    of, form = _of(visit, MEMBER), await visit.form()
    row = _issue(visit, of["project"]["id"])
    values = _values(visit, form, of, partial=True)
    if values.get("description_html") == html_of_text(row["description_stripped"]):
        del values["description_html"]
    with visit.tenant.transaction():
        issues.update_issue(visit.act, row["id"], values)
        _plan(visit, form, of, row["id"])
    return go(f"{HOME}/{of['project']['id']}/issues/{row['id']}")


async def comment(visit: Visit) -> Response:
    project, form = visit.project(), await visit.form()
    row = _issue(visit, project)
    text = only(form, "comment")
    if not text:
        raise refused("The comment is empty")
    document = {"comment_html": html_of_text(text.replace("\r\n", "\n"))}
    values = r.COMMENT.parse(document, visit.scope(project))
    threads.create_comment(visit.act, project, row["id"], values)
    return go(f"{HOME}/{project}/issues/{row['id']}")


async def delete_issue(visit: Visit) -> Response:
    project = visit.project(MEMBER)
    row = _issue(visit, project)
    if row["created_by"] != visit.username and role_in(visit.tenant, project, visit.username) < ADMIN:
        raise forbidden()
    issues.delete_issue(visit.act, project, row["id"])
    return go(f"{HOME}/{project}/issues")


async def browse(visit: Visit) -> Response:
    visit.workspace()
    path = visit.request.path_params
    row = visit.tenant.row(
        "SELECT i.id, i.project FROM tracker_issues i JOIN tracker_projects p ON p.id = i.project"
        " WHERE p.identifier = ? AND i.sequence_id = ?",
        *(path["project_identifier"].upper(), min(path["number"], 2**31)),
    )
    if row is None:
        raise missing()
    return go(f"{HOME}/{row['project']}/issues/{row['id']}")


# Cycles and modules


async def list_cycles(visit: Visit) -> Response:
    of = _of(visit)
    rows, _ = listings.cycles_of(of["project"]["id"]).page(visit.tenant, 1000, 0)
    today = visit.act.at[:10]
    title = f"{of['project']['name']}: Cycles"
    return visit.html("cycles.html", title, project=of["project"], cycles=rows, today=today)


async def create_cycle(visit: Visit) -> Response:
    project, form = visit.project(MEMBER), await visit.form()
    document = {name: only(form, name) or None for name in ("start_date", "end_date")}
    values = r.CYCLE.parse({**document, "name": only(form, "name")}, visit.scope(project))
    made = plans.create_cycle(visit.act, project, values)
    return go(f"{HOME}/{project}/cycles/{made}")


async def one_cycle(visit: Visit) -> Response:
    of = _of(visit)
    project = of["project"]["id"]
    row = listings.cycles_of(project).one(visit.tenant, visit.id("plan_id"))
    if row is None:
        raise missing()
    inside, _ = listings.issues_in("cycle", row["id"], project).page(visit.tenant, 1000, 0)
    there = {issue["id"] for issue in inside}
    every, _ = listings.issues_of(project).page(visit.tenant, 1000, 0)
    others = [issue for issue in every if issue["id"] not in there]
    title = f"{of['project']['name']}: {row['name']}"
    what = {"cycle": row, "issues": _shown(inside, of), "others": others, "state_names": _states(of)}
    return visit.html("cycle.html", title, **{**of, **what})


def _states(of: dict[str, Any]) -> dict[str, str]:
    return {state["id"]: state["name"] for state in of["states"]}


async def change_cycle(visit: Visit) -> Response:
    """Add issues, take issues out, or move the unfinished ones to another cycle."""
    project, form = visit.project(MEMBER), await visit.form()
    cycle = visit.require(listings.cycles_of(project), visit.id("plan_id"))
    with visit.tenant.transaction():
        if form.get("add"):
            plans.put_in_cycle(visit.act, project, cycle, form["add"])
        for issue in form.get("remove", []):
            plans.take_from_cycle(visit.act, project, cycle, issue)
        if target := only(form, "transfer_to"):
            plans.transfer(visit.act, project, cycle, target)
    return go(f"{HOME}/{project}/cycles/{cycle}")


async def list_modules(visit: Visit) -> Response:
    of = _of(visit)
    rows, _ = listings.modules_of(of["project"]["id"]).page(visit.tenant, 1000, 0)
    title = f"{of['project']['name']}: modules"
    return visit.html("modules.html", title, project=of["project"], modules=rows, statuses=MODULE_STATUSES)


async def create_module(visit: Visit) -> Response:
    project, form = visit.project(MEMBER), await visit.form()
    document = {name: only(form, name) for name in ("name", "description", "status") if name in form}
    made = plans.create_module(visit.act, project, r.MODULE.parse(document, visit.scope(project)))
    return go(f"{HOME}/{project}/modules/{made}")


async def one_module(visit: Visit) -> Response:
    of = _of(visit)
    project = of["project"]["id"]
    row = listings.modules_of(project).one(visit.tenant, visit.id("plan_id"))
    if row is None:
        raise missing()
    inside, _ = listings.issues_in("module", row["id"], project).page(visit.tenant, 1000, 0)
    title = f"{of['project']['name']}: {row['name']}"
    shown = {"module": row, "issues": _shown(inside, of), "state_names": _states(of)}
    return visit.html("module.html", title, **of, **shown)
