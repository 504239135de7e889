"""Projects: found, listed, made, changed, forked, removed."""

import json
import re
import shutil
import sqlite3
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from tac_rl.office.base import Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import ForgeError, forbidden, invalid
from tac_rl.office.forge.repositories import fork_repository, make_repository, repository_folder
from tac_rl.office.forge.store import events
from tac_rl.office.forge.store.access import (
    Level,
    level_in_group,
    membership_condition,
    protect,
    visible_condition,
)
from tac_rl.office.forge.store.members import remove_all_members
from tac_rl.office.forge.store.namespaces import check_path
from tac_rl.office.forge.store.paging import Found, Page, select_page
from tac_rl.office.forge.store.people import contains
from tac_rl.office.tenant import Tenant

COLUMNS = (
    "p.*, n.path AS namespace_path, n.name AS namespace_name, n.kind AS namespace_kind,"
    " n.path || '/' || p.path AS full_path"
)
SOURCE = "forge_projects p JOIN forge_namespaces n ON n.id = p.namespace_id"
_NAME = re.compile(r"[\w\U0001F000-\U0001FAFF][\w .+\-–_\U0001F000-\U0001FAFF]*")
_RESERVED = frozenset(("-", "blob", "commits", "edit", "files", "new", "raw", "refs", "tree", "wikis"))
_BAD_NAME = (
    "can contain only letters, digits, emoji, '_', '.', '+', dashes, or spaces. It must start with a letter,"
    " digit, emoji, or '_'."
)

SETTINGS: Mapping[str, Any] = {
    "issues_enabled": True,
    "merge_requests_enabled": True,
    "wiki_enabled": True,
    "jobs_enabled": True,
    "snippets_enabled": True,
    "container_registry_enabled": True,
    "packages_enabled": True,
    "service_desk_enabled": False,
    "request_access_enabled": True,
    "lfs_enabled": True,
    "shared_runners_enabled": True,
    "emails_disabled": False,
    "public_jobs": True,
    "only_allow_merge_if_pipeline_succeeds": False,
    "only_allow_merge_if_all_discussions_are_resolved": False,
    "allow_merge_on_skipped_pipeline": False,
    "remove_source_branch_after_merge": True,
    "printing_merge_request_link_enabled": True,
    "resolve_outdated_diff_discussions": False,
    "autoclose_referenced_issues": True,
    "merge_method": "merge",
    "squash_option": "default_off",
    "ci_config_path": "",
}
"""What may be set, kept and shown, with what a new project has. Of these the forge acts on `merge_method`,
`squash_option`, `remove_source_branch_after_merge` (as a proposal) and `autoclose_referenced_issues`."""


class ProjectQuery(BaseModel):
    """What a list of projects may be restricted to."""

    search: str | None = None
    visibility: Literal["private", "internal", "public"] | None = None
    archived: bool | None = None
    membership: bool = False
    owned: bool = False
    starred: bool = False
    topic: str | None = None
    min_access_level: int | None = Field(None, ge=0, le=100)
    with_issues_enabled: bool = False
    with_merge_requests_enabled: bool = False
    order_by: Literal[
        "id", "name", "path", "created_at", "updated_at", "last_activity_at", "similarity", "star_count"
    ] = "created_at"
    sort: Literal["asc", "desc"] = "desc"


def find_project(tenant: Tenant, key: str | int) -> sqlite3.Row | None:
    """By number or `namespace/path` (case ignored), whoever may see it."""
    text = str(key)
    if text.isascii() and text.isdigit():
        return tenant.row(f"SELECT {COLUMNS} FROM {SOURCE} WHERE p.id = ?", int(text[:18]))
    namespace, _, path = text.rpartition("/")
    return tenant.row(f"SELECT {COLUMNS} FROM {SOURCE} WHERE n.path = ? AND p.path = ?", namespace, path)


def project_of_id(tenant: Tenant, project_id: int) -> sqlite3.Row:
    """One that is there."""
    found = find_project(tenant, project_id)
    assert found is not None
    return found


def list_projects(
    tenant: Tenant,
    viewer: Person | None,
    query: ProjectQuery,
    page: Page,
    *,
    namespace_id: int | None = None,
    forks_of: int | None = None,
    starred_by: str | None = None,
) -> Found:
    """Projects that the viewer may see."""
    visible, arguments = visible_condition(viewer)
    where = [visible]

    def restrict(condition: str, *values: object) -> None:
        where.append(condition)
        arguments.extend(values)

    if query.search:
        # A search that names a namespace finds by the whole address.
        column = (
            "n.path || '/' || p.path"
            if "/" in query.search
            else "p.name || ' ' || p.path || ' ' || p.description"
        )
        restrict(f"{column} LIKE ? ESCAPE '\\'", contains(query.search))
    if query.visibility is not None:
        restrict("p.visibility = ?", query.visibility)
    if query.archived is not None:
        restrict("p.archived = ?", query.archived)
    if query.membership and viewer is not None:
        condition, values = membership_condition(viewer)
        restrict(condition, *values)
    if query.owned and viewer is not None:
        condition, values = membership_condition(viewer)
        restrict(f"(p.creator = ? AND {condition})", viewer.username, *values)
    if query.starred or starred_by is not None:
        who = starred_by or (viewer.username if viewer is not None else "")
        restrict("EXISTS (SELECT 1 FROM forge_stars s WHERE s.project_id = p.id AND s.username = ?)", who)
    if query.topic:
        restrict("EXISTS (SELECT 1 FROM json_each(p.topics) WHERE value = ? COLLATE NOCASE)", query.topic)
    if query.min_access_level is not None and viewer is not None and not viewer.admin:
        restrict(
            "EXISTS (SELECT 1 FROM forge_members m WHERE m.username = ? AND m.access_level >= ? AND"
            " ((m.source = 'project' AND m.source_id = p.id) OR (m.source = 'group' AND m.source_id = n.id)))",
            viewer.username,
            query.min_access_level,
        )
    for setting in ("issues_enabled", "merge_requests_enabled"):
        if getattr(query, f"with_{setting}"):
            restrict(f"coalesce(json_extract(p.settings, '$.{setting}'), 1)")
    if namespace_id is not None:
        restrict("p.namespace_id = ?", namespace_id)
    if forks_of is not None:
        restrict("p.forked_from = ?", forks_of)
    stars = "(SELECT count(*) FROM forge_stars s WHERE s.project_id = p.id)"
    columns = {"similarity": "p.name", "star_count": stars}
    order = f"{columns.get(query.order_by, f'p.{query.order_by}')} {query.sort}, p.id {query.sort}"
    return select_page(tenant, COLUMNS, f"FROM {SOURCE} WHERE {' AND '.join(where)}", arguments, order, page)


def create_project(
    tenant: Tenant,
    person: Person,
    namespace: sqlite3.Row,
    *,
    name: str | None,
    path: str | None,
    description: str = "",
    visibility: str = "private",
    default_branch: str = "main",
    at: str | None = None,
) -> sqlite3.Row:
    """A project with an empty repository; the name may come from the path, and the reverse."""
    if level_in_group(tenant, namespace, person) < Level.DEVELOPER:
        raise forbidden()
    title = (name or path or "").strip()
    if not _NAME.fullmatch(title) or len(title) > 255:
        raise invalid("name", _BAD_NAME)
    slug = check_path(path if path else re.sub(r"[^a-z0-9_]+", "-", title.lower()).strip("-"))
    taken = tenant.value(
        "SELECT 1 FROM forge_projects WHERE namespace_id = ? AND path = ?", namespace["id"], slug
    )
    if taken or slug.lower() in _RESERVED:
        raise ForgeError(
            400, {field: ["has already been taken"] for field in ("project_namespace.name", "name", "path")}
        )
    now = at or stamp(tenant.now())
    made = tenant.db.execute(
        "INSERT INTO forge_projects (namespace_id, path, name, description, default_branch, visibility,"
        " creator, created_at, updated_at, last_activity_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            namespace["id"],
            slug,
            title,
            description,
            default_branch,
            visibility,
            person.username,
            now,
            now,
            now,
        ),
    )
    project_id = made.lastrowid
    assert project_id is not None
    folder = repository_folder(tenant, project_id)
    shutil.rmtree(folder, ignore_errors=True)
    make_repository(folder, default_branch)
    events.record(tenant, project_id, person.username, "created", at=now)
    return project_of_id(tenant, project_id)


def fork_project(
    tenant: Tenant,
    person: Person,
    project: sqlite3.Row,
    namespace: sqlite3.Row,
    *,
    name: str | None,
    path: str | None,
    description: str | None,
    visibility: str | None,
) -> sqlite3.Row:
    """A copy in another namespace: repository, description and settings. 409 where the name is taken."""
    try:
        made = create_project(
            tenant,
            person,
            namespace,
            name=name or project["name"],
            path=path or project["path"],
            description=project["description"] if description is None else description,
            visibility=visibility or project["visibility"],
            default_branch=project["default_branch"],
        )
    except ForgeError as error:
        raise ForgeError(409, error.body["message"]) if error.status == 400 else error from error
    folder = repository_folder(tenant, made["id"])
    shutil.rmtree(folder)
    fork_repository(repository_folder(tenant, project["id"]), folder)
    tenant.db.execute(
        "UPDATE forge_projects SET forked_from = ?, settings = ?, is_empty = ?, readme = ? WHERE id = ?",
        (project["id"], project["settings"], project["is_empty"], project["readme"], made["id"]),
    )
    if not project["is_empty"]:
        protect(tenant, made["id"], project["default_branch"])
    return project_of_id(tenant, made["id"])


def update_project(tenant: Tenant, project: sqlite3.Row, changes: Mapping[str, Any]) -> sqlite3.Row:
    """Change columns (`name`, `path`, `description`, `visibility`, `archived`, `topics`) and `SETTINGS`."""
    values: dict[str, Any] = {
        column: changes[column]
        for column in ("name", "path", "description", "visibility", "archived")
        if changes.get(column) is not None
    }
    if "path" in values and values["path"].lower() != project["path"].lower():
        check_path(values["path"])
        if find_project(tenant, f"{project['namespace_path']}/{values['path']}") is not None:
            raise invalid("path", "has already been taken")
    if "name" in values and not _NAME.fullmatch(values["name"]):
        raise invalid("name", _BAD_NAME)
    if changes.get("topics") is not None:
        values["topics"] = json.dumps(changes["topics"], ensure_ascii=False)
    settings = {key: changes[key] for key in SETTINGS if changes.get(key) is not None}
    if settings:
        values["settings"] = json.dumps({**json.loads(project["settings"]), **settings})
    values["updated_at"] = stamp(tenant.now())
    assignments = ", ".join(f"{column} = ?" for column in values)
    tenant.db.execute(
        f"UPDATE forge_projects SET {assignments} WHERE id = ?", (*values.values(), project["id"])
    )
    return project_of_id(tenant, project["id"])


def delete_project(tenant: Tenant, project: sqlite3.Row) -> None:
    """With everything that belongs to it, the repository too."""
    with tenant.transaction() as db:
        remove_all_members(tenant, "project", project["id"])
        db.execute("DELETE FROM forge_projects WHERE id = ?", (project["id"],))
    shutil.rmtree(repository_folder(tenant, project["id"]), ignore_errors=True)


def settings_of(project: sqlite3.Row) -> dict[str, Any]:
    return {**SETTINGS, **json.loads(project["settings"])}


# Stars and pictures


def star(tenant: Tenant, project_id: int, username: str) -> bool:
    """Whether there was no star by them yet."""
    done = tenant.db.execute("INSERT OR IGNORE INTO forge_stars VALUES (?, ?)", (project_id, username))
    return done.rowcount > 0


def unstar(tenant: Tenant, project_id: int, username: str) -> bool:
    """Whether there was a star by them."""
    done = tenant.db.execute(
        "DELETE FROM forge_stars WHERE project_id = ? AND username = ?", (project_id, username)
    )
    return done.rowcount > 0


def set_avatar(tenant: Tenant, project_id: int, filename: str, content: bytes) -> None:
    """The project's picture (at most 200 KiB, as GitLab has it); empty content removes it."""
    if len(content) > 200 << 10:
        raise invalid("avatar", "is too big (should be at most 200 KiB)")
    if not content:
        tenant.db.execute("DELETE FROM forge_avatars WHERE project_id = ?", (project_id,))
        return
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", filename.rpartition("/")[2]).strip(".")
    if not safe.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tiff", ".ico", ".webp")):
        raise invalid(
            "avatar",
            "file format is not supported. Please try one of the following supported formats:"
            " png, jpg, jpeg, gif, bmp, tiff, ico, webp",
        )
    tenant.db.execute(
        "INSERT OR REPLACE INTO forge_avatars VALUES (?, ?, ?)", (project_id, safe[-100:], content)
    )
