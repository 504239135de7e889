"""Pages: signing in, projects, members, everybody's numbers. Issues and plans are in `pages_issues.py`."""

from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse

from tac_rl.office.tracker import listings, pages_issues, projects
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.people import person_of_login, username_of_login
from tac_rl.office.tracker.projects import ADMIN, GUEST, MEMBER
from tac_rl.office.tracker.records import missing, refused
from tac_rl.office.tracker.resources import STATE_GROUPS
from tac_rl.office.tracker.visits import (
    COOKIE,
    SignInFirst,
    Visit,
    add_page,
    go,
    only,
    render,
    sign_in_first,
    start_session,
)

HOME = "/tac/projects"
PROJECT = "/tac/projects/{project_id:uuid}"


def add_pages(app: FastAPI) -> None:
    app.add_exception_handler(SignInFirst, sign_in_first)
    for method, path, handler in (
        ("GET", "/", welcome),
        ("POST", "/sign-in", sign_in),
        ("POST", "/sign-out", sign_out),
        ("GET", "/tac", home),
        ("GET", HOME, list_projects),
        ("POST", HOME, create_project),
        ("GET", "/tac/analytics", analytics),
        ("GET", "/tac/settings/members", everybody),
        ("GET", PROJECT, to_issues),
        ("GET", f"{PROJECT}/settings", settings),
        ("POST", f"{PROJECT}/settings", change_project),
        ("POST", f"{PROJECT}/delete", delete_project),
        ("GET", f"{PROJECT}/settings/members", members),
        ("POST", f"{PROJECT}/settings/members", change_members),
    ):
        add_page(app, method, path, handler)
    pages_issues.add_pages(app, PROJECT)


# Signing in


def _inner(path: str) -> str:
    """Where to go after signing in: a page of ours, whatever the address says."""
    return path if path.startswith("/tac") and "\\" not in path else HOME


async def welcome(visit: Visit) -> Response:
    to = _inner(visit.request.query_params.get("next_path", ""))
    try:
        visit.username  # noqa: B018 - asks whether somebody has signed in
    except SignInFirst:
        return render("sign_in.html", title="Sign in", me=None, email="", known=False, to=to, problem="")
    return go(to)


async def sign_in(visit: Visit) -> Response:
    """First the e-mail, then the password, as Plane asks."""
    form = await visit.form()
    email, to = only(form, "email"), _inner(only(form, "next_path"))
    known = person_of_login(visit.tenant, email) is not None
    shown: dict[str, Any] = {"title": "Sign in", "me": None, "email": email, "known": known, "to": to}
    if not known:
        return render("sign_in.html", 401, **shown, problem="There is no account with this e-mail.")
    if "password" not in form:
        return render("sign_in.html", **shown, problem="")
    username = username_of_login(visit.tenant, email, only(form, "password"))
    if username is None:
        return render("sign_in.html", 401, **shown, problem="The password is wrong.")
    return start_session(visit.tenant, username, to)


async def sign_out(visit: Visit) -> Response:
    token = visit.request.cookies.get(COOKIE, "")
    visit.tenant.db.execute("DELETE FROM tracker_sessions WHERE token = ?", (token,))
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


# The workspace


async def home(visit: Visit) -> Response:
    return go(HOME)


async def list_projects(visit: Visit) -> Response:
    listing = listings.projects(visit.username).narrowed("tracker_projects.archived_at IS NULL")
    rows, _ = listing.page(visit.tenant, 1000, 0)
    return visit.html("projects.html", "Projects", projects=rows)


async def create_project(visit: Visit) -> Response:
    visit.workspace()
    form = await visit.form()
    document = {name: only(form, name) for name in ("name", "identifier", "description")}
    made = projects.create_project(visit.act, r.PROJECT.parse(document, visit.scope()))
    return go(f"{HOME}/{made}/issues")


async def analytics(visit: Visit) -> Response:
    """The numbers of all projects that the visitor is a member of, and of each."""
    numbers = ", ".join(
        f"count(*) FILTER (WHERE s.\"group\" = '{group}') AS {group}" for group in STATE_GROUPS
    )
    rows = visit.tenant.rows(
        "SELECT p.id, p.name, count(*) AS total,"
        f" count(*) FILTER (WHERE tracker_issues.assignees = '[]') AS unassigned, {numbers}"
        " FROM tracker_issues JOIN tracker_states s ON s.id = tracker_issues.state"
        " JOIN tracker_projects p ON p.id = tracker_issues.project"
        " JOIN tracker_members m ON m.project = p.id AND m.username = ?"
        " WHERE NOT s.is_triage AND tracker_issues.archived_at IS NULL AND NOT tracker_issues.is_draft"
        " AND p.archived_at IS NULL GROUP BY p.id ORDER BY p.name",
        visit.username,
    )
    names = ("total", "unassigned", *STATE_GROUPS)
    totals = {name: sum(row[name] for row in rows) for name in names}
    totals["open"] = sum(totals[group] for group in ("backlog", "unstarted", "started"))
    pending = _pending(visit)
    totals["pending"] = sum(row["pending"] for row in pending)
    what = {"rows": rows, "totals": totals, "groups": STATE_GROUPS, "pending": pending}
    return visit.html("analytics.html", "Analytics", **what)


def _pending(visit: Visit) -> list[Any]:
    """How many unfinished issues each assignee has (an issue of two counts for both)."""
    return visit.tenant.rows(
        "SELECT coalesce(people.name, who.value) AS name, count(*) AS pending"
        " FROM tracker_issues JOIN tracker_states s ON s.id = tracker_issues.state"
        " JOIN tracker_projects p ON p.id = tracker_issues.project"
        " JOIN tracker_members m ON m.project = p.id AND m.username = ?"
        " JOIN json_each(tracker_issues.assignees) who LEFT JOIN people ON people.username = who.value"
        " WHERE s.\"group\" IN ('backlog', 'unstarted', 'started') AND tracker_issues.archived_at IS NULL"
        " AND NOT tracker_issues.is_draft AND p.archived_at IS NULL"
        " GROUP BY who.value ORDER BY pending DESC, name",
        visit.username,
    )


async def everybody(visit: Visit) -> Response:
    visit.workspace()
    return visit.html("people.html", "Members", people=visit.tenant.people())


# A project


def _project(visit: Visit, least: int = GUEST) -> Any:
    project = visit.project(least)
    row = visit.tenant.row("SELECT * FROM tracker_projects WHERE id = ?", project)
    if row is None:
        raise missing()
    return row


async def to_issues(visit: Visit) -> Response:
    return go(f"{HOME}/{visit.project()}/issues")


async def settings(visit: Visit) -> Response:
    project = _project(visit)
    return visit.html("settings.html", f"{project['name']}: settings", project=project)


async def change_project(visit: Visit) -> Response:
    project, form = _project(visit, ADMIN), await visit.form()
    wanted = {name: only(form, name) for name in ("name", "identifier", "description") if name in form}
    values = r.PROJECT.parse(wanted, visit.scope(project["id"]), partial=True)
    projects.update_project(visit.act, project["id"], values)
    return go(f"{HOME}/{project['id']}/settings")


async def delete_project(visit: Visit) -> Response:
    project, form = _project(visit, ADMIN), await visit.form()
    if only(form, "name") != project["name"]:
        raise refused("To delete a project, write its name")
    projects.delete_project(visit.tenant, project["id"])
    return go(HOME)


async def members(visit: Visit) -> Response:
    project = _project(visit)
    rows = visit.tenant.rows(
        "SELECT people.*, m.role FROM tracker_members m JOIN people ON people.username = m.username"
        " WHERE m.project = ? ORDER BY people.username",
        project["id"],
    )
    there = {row["username"] for row in rows}
    others = [person for person in visit.tenant.people() if person.username not in there]
    title = f"{project['name']}: members"
    return visit.html("members.html", title, project=project, members=rows, others=others)


async def change_members(visit: Visit) -> Response:
    """Add those chosen, or remove one."""
    project, form = _project(visit, ADMIN), await visit.form()
    with visit.tenant.transaction():
        for username in form.get("add", []):
            person = person_of_login(visit.tenant, username)
            if person is None:
                raise refused(f"There is nobody called {username}")
            if not projects.role_in(visit.tenant, project["id"], person.username):
                projects.set_member(visit.act, project["id"], person.username, MEMBER)
        for username in form.get("remove", []):
            projects.remove_member(visit.tenant, project["id"], username)
    return go(f"{HOME}/{project['id']}/settings/members")
