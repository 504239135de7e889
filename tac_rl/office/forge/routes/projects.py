"""Projects: list, get, make, change, fork, star, archive, delete."""

import sqlite3
from typing import Annotated, Any, Literal, Union

from fastapi import APIRouter, Depends, Response

from tac_rl.office.forge.committing import Action
from tac_rl.office.forge.errors import bad_request, invalid, not_found
from tac_rl.office.forge.languages import languages_of
from tac_rl.office.forge.routes.params import Names, OptionalId, Visibility
from tac_rl.office.forge.shapes.projects import Project, ProjectSimple, project, projects, simple_projects
from tac_rl.office.forge.shapes.view import UserBasic
from tac_rl.office.forge.store import projects as store
from tac_rl.office.forge.store.access import Level, level_of
from tac_rl.office.forge.store.branches import commit_files
from tac_rl.office.forge.store.issuables import split_names
from tac_rl.office.forge.store.members import list_members
from tac_rl.office.forge.store.namespaces import find_namespace, namespace_of
from tac_rl.office.forge.store.paging import Page
from tac_rl.office.forge.store.people import shown
from tac_rl.office.forge.store.projects import ProjectQuery
from tac_rl.office.forge.store.pushes import set_default_branch
from tac_rl.office.forge.web import (
    PREFIX,
    Ask,
    Asking,
    Filters,
    GitLabRoute,
    Paged,
    Params,
    Segment,
    answer,
    listing,
    reading,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["projects"])
Query = Annotated[ProjectQuery, Depends(Filters(ProjectQuery))]
ListedProjects = list[Union[Project, ProjectSimple]]  # noqa: UP007 - in an OpenAPI document either form


_STARRED: dict[str, Any] = {
    "status_code": 201,
    "responses": {201: {"model": Project}, 304: {"description": "Nothing changed"}},
}


class Accepted(Params):
    message: str


class ProjectSettings(Params):
    """What can be set when a project is made, and later."""

    name: str | None = None
    path: str | None = None
    description: str | None = None
    visibility: Visibility | None = None
    default_branch: str | None = None
    topics: Names = None
    tag_list: Names = None
    issues_enabled: bool | None = None
    merge_requests_enabled: bool | None = None
    wiki_enabled: bool | None = None
    jobs_enabled: bool | None = None
    snippets_enabled: bool | None = None
    container_registry_enabled: bool | None = None
    packages_enabled: bool | None = None
    request_access_enabled: bool | None = None
    lfs_enabled: bool | None = None
    shared_runners_enabled: bool | None = None
    public_jobs: bool | None = None
    only_allow_merge_if_pipeline_succeeds: bool | None = None
    only_allow_merge_if_all_discussions_are_resolved: bool | None = None
    remove_source_branch_after_merge: bool | None = None
    autoclose_referenced_issues: bool | None = None
    merge_method: Literal["merge", "rebase_merge", "ff"] | None = None
    squash_option: Literal["never", "always", "default_on", "default_off"] | None = None
    ci_config_path: str | None = None

    def changes(self) -> dict[str, Any]:
        given = self.given()
        topics = given.pop("tag_list", None) if given.get("topics") is None else given.pop("topics")
        given.pop("topics", None)
        return {**given, "topics": None if topics is None else split_names(topics)}


class NewProject(ProjectSettings):
    namespace_id: OptionalId = None
    initialize_with_readme: bool = False


class Fork(Params):
    name: str | None = None
    path: str | None = None
    namespace: str | None = None
    namespace_id: OptionalId = None
    namespace_path: str | None = None
    description: str | None = None
    visibility: Visibility | None = None


def list_of(
    ask: Asking, page: Page, query: ProjectQuery | None = None, *, simple: bool = False, **where: Any
) -> Response:
    """A page of projects that the viewer may see."""
    found = store.list_projects(ask.tenant, ask.person, query or ProjectQuery(), page, **where)
    shape = simple_projects if simple else projects
    return listing(ask, list(shape(ask.view, found.rows)), page, found.total)


@router.get("/projects", **returns(ListedProjects))
async def list_projects(ask: Ask, page: Paged, query: Query, simple: bool = False) -> Response:
    """All projects that the caller may see."""
    return list_of(ask, page, query, simple=simple)


@router.post("/projects", **returns(Project, 201))
async def create_project(ask: Ask, given: NewProject) -> Response:
    """In the caller's own namespace unless `namespace_id` is given."""
    person = ask.user()
    if given.name is None and given.path is None:
        raise bad_request("name, path are missing, at least one parameter must be provided")
    if given.namespace_id is None:
        namespace: sqlite3.Row | None = namespace_of(ask.tenant, shown(person.username))
    else:
        namespace = find_namespace(ask.tenant, given.namespace_id)
    if namespace is None:
        raise invalid("namespace", "is not valid")
    branch = given.default_branch or "main"
    with ask.tenant.transaction():
        made = store.create_project(
            ask.tenant,
            person,
            namespace,
            name=given.name,
            path=given.path,
            description=given.description or "",
            visibility=given.visibility or "private",
            default_branch=branch,
        )
        changes = given.changes()
        for done in ("name", "path"):
            changes.pop(done, None)
        made = store.update_project(ask.tenant, made, changes)
    _set_avatar(ask, made)
    if given.initialize_with_readme:
        text = f"# {made['name']}\n" + (f"\n{made['description']}\n" if made["description"] else "")
        readme = Action("create", "README.md", text.encode())
        commit_files(ask.tenant, made, person, branch=branch, message="Initial commit", actions=[readme])
    return _shown(ask, made["id"], 201)


@router.get("/projects/{id}", **returns(Project))
async def get_project(ask: Ask, id: Segment) -> Response:
    """By number or by its path with slashes encoded (`root%2Fname`)."""
    return _shown(ask, ask.project(id)["id"])


@router.put("/projects/{id}", **returns(Project))
async def edit_project(ask: Ask, id: Segment, given: ProjectSettings) -> Response:
    """Settings; `avatar` as an uploaded file, or empty to remove the picture."""
    row = ask.project(id, Level.MAINTAINER)
    if given.default_branch is not None and given.default_branch != row["default_branch"]:
        set_default_branch(ask.tenant, row, given.default_branch)
    store.update_project(ask.tenant, row, given.changes())
    _set_avatar(ask, row)
    return _shown(ask, row["id"])


@router.delete("/projects/{id}", **returns(Accepted, 202))
async def delete_project(ask: Ask, id: Segment) -> Response:
    """With its repository, issues and everything else. At once, not in a while."""
    row = ask.project(id, Level.OWNER)
    store.delete_project(ask.tenant, row)
    return answer({"message": "202 Accepted"}, 202)


@router.post("/projects/{id}/fork", **returns(Project, 201))
async def fork_project(ask: Ask, id: Segment, given: Fork) -> Response:
    """Into the caller's own namespace unless another is given."""
    row = ask.project(id)
    person = ask.user()
    key = given.namespace_id or given.namespace_path or given.namespace
    namespace = (
        namespace_of(ask.tenant, shown(person.username)) if key is None else find_namespace(ask.tenant, key)
    )
    if namespace is None:
        raise not_found("Target Namespace")
    made = store.fork_project(
        ask.tenant,
        person,
        row,
        namespace,
        name=given.name,
        path=given.path,
        description=given.description,
        visibility=given.visibility,
    )
    return _shown(ask, made["id"], 201)


@router.get("/projects/{id}/forks", **returns(ListedProjects))
async def list_forks(ask: Ask, id: Segment, page: Paged, query: Query, simple: bool = False) -> Response:
    """That the caller may see."""
    return list_of(ask, page, query, simple=simple, forks_of=ask.project(id)["id"])


@router.post("/projects/{id}/archive", **returns(Project, 201))
async def archive(ask: Ask, id: Segment) -> Response:
    """It becomes read-only."""
    return _set_archived(ask, id, True)


@router.post("/projects/{id}/unarchive", **returns(Project, 201))
async def unarchive(ask: Ask, id: Segment) -> Response:
    """It can be written to again."""
    return _set_archived(ask, id, False)


def _set_archived(ask: Asking, key: str, archived: bool) -> Response:
    row = ask.project(key, Level.OWNER)
    store.update_project(ask.tenant, row, {"archived": archived})
    return _shown(ask, row["id"], 201)


@router.post("/projects/{id}/star", **_STARRED)
async def star(ask: Ask, id: Segment) -> Response:
    """Give it a star."""
    row = ask.project(id)
    new = store.star(ask.tenant, row["id"], ask.user().username)
    return _shown(ask, row["id"], 201) if new else Response(status_code=304)


@router.post("/projects/{id}/unstar", **_STARRED)
async def unstar(ask: Ask, id: Segment) -> Response:
    """Take the star back."""
    row = ask.project(id)
    there = store.unstar(ask.tenant, row["id"], ask.user().username)
    return _shown(ask, row["id"], 201) if there else Response(status_code=304)


@router.get("/projects/{id}/languages", **returns(dict[str, float]))
async def languages(ask: Ask, id: Segment) -> Response:
    """Shares in percent."""
    row = ask.project(id)
    return answer(await reading(ask, row, lambda repo: languages_of(repo, row["default_branch"])))


@router.get("/projects/{id}/users", **returns(list[UserBasic]))
async def list_users(ask: Ask, id: Segment, page: Paged, search: str = "") -> Response:
    """Members, those of the group too."""
    row = ask.project(id)
    found = list_members(ask.tenant, [("project", row["id"]), ("group", row["namespace_id"])], search=search)
    return sliced(ask, [ask.view.user(member["username"]) for member in found], page)


def _shown(ask: Asking, project_id: int, status: int = 200) -> Response:
    row = store.project_of_id(ask.tenant, project_id)
    level = None if ask.person is None else level_of(ask.tenant, row, ask.person)
    return answer(project(ask.view, row, level), status)


def _set_avatar(ask: Asking, row: sqlite3.Row) -> None:
    upload = ask.request.state.uploads.get("avatar")
    if upload is not None:
        store.set_avatar(ask.tenant, row["id"], *upload)
