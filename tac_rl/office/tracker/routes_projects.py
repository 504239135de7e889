"""Routes: projects, their members, states and labels; the caller."""

from typing import Any

from fastapi import Response

from tac_rl.office.tracker import listings, projects
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.collecting import Collection, add_collection
from tac_rl.office.tracker.people import user_record
from tac_rl.office.tracker.projects import ADMIN, MEMBER
from tac_rl.office.tracker.records import Problem, forbidden, missing, refused
from tac_rl.office.tracker.web import (
    API,
    FIELDS,
    PAGING,
    PROJECT,
    Api,
    Call,
    answer,
    done,
    listed,
    paged,
    parameter,
    ref,
)

USER = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "first_name", "last_name", "display_name")},
    "required": ["id", "display_name"],
}
FEATURES = {
    "modules": "module_view",
    "cycles": "cycle_view",
    "views": "issue_views_view",
    "pages": "page_view",
    "intakes": "intake_view",
    "work_item_types": "is_issue_type_enabled",
}
"""Plane's name of a feature -> the project's field."""


def add_routes(api: Api) -> None:
    project, one = ref(r.PROJECT), f"{API}/projects/{{project_id:uuid}}"
    api.route(
        "GET",
        f"{API}/projects",
        list_projects,
        "Projects",
        gives=paged(project),
        query=(*PAGING, *FIELDS, parameter("include_archived", "`true` or `false`")),
        also=[f"{API}/projects-lite"],
    )
    takes = r.PROJECT.body_schema()
    api.route(
        "POST", f"{API}/projects", create_project, "New project", gives=project, status=201, takes=takes
    )
    api.route("GET", one, get_project, "A project", gives=project, query=FIELDS)
    takes = r.PROJECT.body_schema(partial=True)
    api.route("PATCH", one, update_project, "Change a project", gives=project, takes=takes)
    api.route("DELETE", one, delete_project, "Delete a project", gives=None, status=204)
    api.route("POST", f"{one}/archive", archive_project, "Archive a project", gives=None, status=204)
    api.route("DELETE", f"{one}/archive", restore_project, "Restore a project", gives=None, status=204)
    flags = {"type": "object", "properties": {name: {"type": "boolean"} for name in FEATURES}}
    api.route("GET", f"{one}/features", get_features, "What a project uses", gives=flags)
    api.route("PATCH", f"{one}/features", set_features, "Say what a project uses", gives=flags, takes=flags)

    members = f"{PROJECT}/project-members"
    also = [f"{PROJECT}/members"]
    api.route("GET", members, list_members, "Members of a project", gives=listed(USER), also=also)
    takes = {
        "type": "object",
        "properties": {
            "member": {"type": "string"},
            "email": {"type": "string"},
            "role": {"type": "integer", "enum": [5, 15, 20]},
        },
    }
    api.route("POST", members, add_member, "New member", gives=USER, status=201, takes=takes, also=also)
    member, also = f"{members}/{{member_id:uuid}}", [f"{PROJECT}/members/{{member_id:uuid}}"]
    api.route("DELETE", member, remove_member, "Remove a member", gives=None, status=204, also=also)
    lite = f"{PROJECT}/project-members-lite"
    api.route("GET", lite, page_members, "Members, in pages", gives=paged(USER), query=PAGING[:2])
    api.route("GET", f"{API}/members", list_people, "Everybody", gives=listed(USER))
    lite = f"{API}/members-lite"
    api.route("GET", lite, page_people, "Everybody, in pages", gives=paged(USER), query=PAGING[:2])
    api.route("GET", "/api/v1/users/me", me, "The caller", gives=USER)

    add_collection(api, STATES)
    add_collection(api, LABELS)


STATES = Collection(
    "states",
    r.STATE,
    lambda call, project: listings.of_project(r.STATE, project, "sequence", "NOT is_triage"),
    create=projects.create_state,
    update=projects.update_state,
    delete=lambda act, project, state: projects.delete_state(act.tenant, state),
    created=200,
)
LABELS = Collection(
    "labels",
    r.LABEL,
    lambda call, project: listings.of_project(r.LABEL, project),
    create=projects.create_label,
    update=projects.update_label,
    delete=lambda act, project, label: projects.delete_label(act.tenant, project, label),
)


async def list_projects(call: Call) -> Response:
    listing = listings.projects(call.workspace())
    lite = call.request.url.path.endswith("-lite")
    if lite and call.request.query_params.get("include_archived") != "true":
        listing = listing.narrowed("tracker_projects.archived_at IS NULL")
    return call.page(listing)


async def create_project(call: Call) -> Response:
    username = call.workspace()
    values = r.PROJECT.parse(await call.document(), call.scope())
    project = projects.create_project(call.act, values)
    return call.record(listings.projects(username), project, 201)


async def get_project(call: Call) -> Response:
    return call.record(listings.projects(call.workspace()), call.id("project_id"))


async def update_project(call: Call) -> Response:
    project = call.project(ADMIN)
    values = r.PROJECT.parse(await call.document(), call.scope(project), partial=True)
    projects.update_project(call.act, project, values)
    return call.record(listings.projects(call.username), project)


async def delete_project(call: Call) -> Response:
    projects.delete_project(call.tenant, call.project(ADMIN))
    return done()


async def archive_project(call: Call) -> Response:
    project = call.project(ADMIN)
    projects.archive_project(call.act, project, archived=True)
    return done()


async def restore_project(call: Call) -> Response:
    project = call.project(ADMIN)
    projects.archive_project(call.act, project, archived=False)
    return done()


def _features(call: Call, project: str) -> Response:
    row = call.tenant.row("SELECT * FROM tracker_projects WHERE id = ?", project)
    if row is None:
        raise missing()
    return answer({name: bool(row[column]) for name, column in FEATURES.items()})


async def get_features(call: Call) -> Response:
    return _features(call, call.project())


async def set_features(call: Call) -> Response:
    project = call.project(ADMIN)
    document = await call.document()
    if not isinstance(document, dict):
        raise refused("Expected an object")
    wanted = {column: document[name] for name, column in FEATURES.items() if name in document}
    projects.update_project(call.act, project, r.PROJECT.parse(wanted, call.scope(project), partial=True))
    return _features(call, project)


# Members


def _members(call: Call) -> list[dict[str, Any]]:
    rows = call.tenant.rows(
        "SELECT username, role FROM tracker_members WHERE project = ? ORDER BY username", call.project()
    )
    return [shown for row in rows if (shown := _member(call, row["username"], row["role"])) is not None]


def _member(call: Call, username: str, role: int) -> dict[str, Any] | None:
    person = call.tenant.person(username)
    if person is None:
        return None
    slug = {20: "admin", 15: "contributor", 5: "guest"}.get(role, "contributor")
    flags = {"role": role, "role_slug": slug, "is_active": True, "is_bot": False}
    return {**user_record(person, call.names), **flags}


def _chosen(call: Call, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of these people, those that the query asks for by part of a name or address."""
    query = call.request.query_params
    for name in ("first_name", "last_name", "email", "display_name"):
        if part := query.get(name, "").lower():
            found = [user for user in found if part in user[name].lower()]
    if slug := query.get("role_slug"):
        found = [user for user in found if user["role_slug"] == slug]
    return found


async def list_members(call: Call) -> Response:
    return answer(_chosen(call, _members(call)))


async def page_members(call: Call) -> Response:
    return call.page_of(_chosen(call, _members(call)))


def _everybody(call: Call) -> list[dict[str, Any]]:
    call.workspace()
    people = [person.username for person in call.tenant.people()]
    shown = (_member(call, username, projects.workspace_role(call.tenant, username)) for username in people)
    return [user for user in shown if user is not None]


async def list_people(call: Call) -> Response:
    return answer(_chosen(call, _everybody(call)))


async def page_people(call: Call) -> Response:
    return call.page_of(_chosen(call, _everybody(call)))


async def add_member(call: Call) -> Response:
    project = call.project(ADMIN)
    document = await call.document()
    if not isinstance(document, dict):
        raise refused("Expected an object")
    username: str | None = None
    if isinstance(document.get("member"), str):
        username = call.names.username(document["member"].lower())
    elif isinstance(document.get("email"), str):
        email = document["email"].lower()
        if email.isprintable():
            username = call.tenant.value("SELECT username FROM people WHERE email = ?", email)
    else:
        raise refused("Expected email or member")
    role = document.get("role", MEMBER)
    if isinstance(role, bool) or role not in (5, MEMBER, ADMIN):
        raise Problem(400, {"role": [f'"{str(role)[:20]}" is not a valid choice.']})
    if username is None:
        raise refused("There is nobody with this account in the workspace")
    if projects.role_in(call.tenant, project, username):
        raise refused("User is already part of the workspace and project")
    projects.set_member(call.act, project, username, int(role))
    return answer(_member(call, username, int(role)), 201)


async def remove_member(call: Call) -> Response:
    project = call.project(ADMIN)
    username = call.names.username(call.id("member_id"))
    if username is None or not projects.role_in(call.tenant, project, username):
        raise missing()
    projects.remove_member(call.tenant, project, username)
    return done()


async def me(call: Call) -> Response:
    person = call.tenant.person(call.username)
    if person is None:
        raise forbidden()
    return answer(user_record(person, call.names))
