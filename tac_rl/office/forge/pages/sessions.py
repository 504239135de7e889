"""Signing in and out, lists of projects, search."""

import sqlite3

from fastapi import APIRouter, Request, Response

from tac_rl.office.forge.errors import ForgeError, not_found
from tac_rl.office.forge.pages.rendering import form_of, go, page_of, render, required
from tac_rl.office.forge.store import projects as store
from tac_rl.office.forge.store.access import level_in_group
from tac_rl.office.forge.store.issues import IssueQuery, list_issues
from tac_rl.office.forge.store.merge_requests import MergeRequestQuery, list_merge_requests
from tac_rl.office.forge.store.namespaces import find_namespace, namespace_of
from tac_rl.office.forge.store.paging import Page
from tac_rl.office.forge.store.people import SESSION, end_session, find_person, new_token, shown, sign_in
from tac_rl.office.forge.store.projects import ProjectQuery
from tac_rl.office.forge.web import SESSION_COOKIE, Ask, Segment

router = APIRouter(include_in_schema=False)


@router.get("/users/sign_in")
async def sign_in_form(ask: Ask) -> Response:
    if ask.person is not None:
        return go("/")
    return render(ask, "sign_in.html", failed=False)


@router.post("/users/sign_in")
async def do_sign_in(ask: Ask, request: Request) -> Response:
    form = await form_of(request)
    login = form.get("user[login]") or form.get("username", "")
    password = form.get("user[password]") or form.get("password", "")
    person = sign_in(ask.tenant, login, password)
    if person is None:
        return render(ask, "sign_in.html", failed=True, code=401)
    answer = go("/")
    answer.set_cookie(
        SESSION_COOKIE,
        new_token(ask.tenant, person.username, "session"),
        max_age=int(SESSION.total_seconds()),
        httponly=True,
        samesite="lax",
    )
    return answer


@router.post("/users/sign_out")
async def sign_out(request: Request, ask: Ask) -> Response:
    end_session(ask.tenant, request.cookies.get(SESSION_COOKIE, ""))
    answer = go("/users/sign_in")
    answer.delete_cookie(SESSION_COOKIE)
    return answer


@router.get("/")
@router.get("/explore")
@router.get("/explore/projects")
@router.get("/dashboard/projects")
async def list_projects(ask: Ask, request: Request) -> Response:
    query = ProjectQuery(search=request.query_params.get("name"), order_by="last_activity_at")
    found = store.list_projects(ask.tenant, ask.person, query, page_of(request))
    return render(ask, "projects.html", title="Projects", found=found, page=page_of(request))


@router.get("/search")
async def search(ask: Ask, request: Request) -> Response:
    text = request.query_params.get("search", "")[:1000]
    page = Page(1, 50)
    return render(
        ask,
        "search.html",
        text=text,
        projects=store.list_projects(ask.tenant, ask.person, ProjectQuery(search=text), page).rows
        if text
        else [],
        issues=list_issues(ask.tenant, ask.person, IssueQuery(search=text), page).rows if text else [],
        requests=list_merge_requests(ask.tenant, ask.person, MergeRequestQuery(search=text), page).rows
        if text
        else [],
    )


@router.get("/projects/new")
async def new_project(ask: Ask) -> Response:
    person = ask.user()
    groups = [
        row
        for row in ask.tenant.rows("SELECT * FROM forge_namespaces WHERE kind = 'group' ORDER BY path")
        if level_in_group(ask.tenant, row, person) >= 30
    ]
    return render(ask, "new_project.html", groups=groups, own=shown(person.username))


@router.post("/projects")
async def create_project(ask: Ask, request: Request) -> Response:
    person, form = ask.user(), await form_of(request)
    path = form.get("namespace") or shown(person.username)
    own = path == shown(person.username)
    namespace = namespace_of(ask.tenant, path) if own else find_namespace(ask.tenant, path)
    if namespace is None:
        raise not_found("Namespace")
    visibility = form.get("visibility", "private")
    if visibility not in ("private", "internal", "public"):
        raise ForgeError(400, "visibility does not have a valid value")
    made = store.create_project(
        ask.tenant,
        person,
        namespace,
        name=required(form, "name"),
        path=form.get("path") or None,
        description=form.get("description", ""),
        visibility=visibility,
    )
    return go(f"/{made['full_path']}")


@router.get("/groups/{namespace}")
@router.get("/{namespace}")
async def show_namespace(ask: Ask, request: Request, namespace: Segment) -> Response:
    row: sqlite3.Row | None = find_namespace(ask.tenant, namespace)
    person = find_person(ask.tenant, namespace)
    if row is None and person is None:
        raise not_found()
    page = page_of(request)
    found = store.list_projects(
        ask.tenant, ask.person, ProjectQuery(), page, namespace_id=row["id"] if row is not None else 0
    )
    title = row["name"] if row is not None else person.name if person is not None else namespace
    return render(ask, "projects.html", title=title, found=found, page=page)
