"""Projects, members' permissions, labels, milestones, protected branches."""

import json
import sqlite3
from typing import Any, NotRequired

from typing_extensions import TypedDict

from tac_rl.office.forge.shapes.people import Namespace
from tac_rl.office.forge.shapes.view import UserBasic, View
from tac_rl.office.forge.store.access import LEVEL_NAMES, Level
from tac_rl.office.forge.store.people import known
from tac_rl.office.forge.store.projects import SETTINGS, project_of_id
from tac_rl.office.tenant import Tenant


class ProjectSimple(TypedDict):
    id: int
    description: str
    name: str
    name_with_namespace: str
    path: str
    path_with_namespace: str
    created_at: str
    default_branch: str
    tag_list: list[str]
    topics: list[str]
    ssh_url_to_repo: str
    http_url_to_repo: str
    web_url: str
    readme_url: str | None
    forks_count: int
    avatar_url: str | None
    star_count: int
    last_activity_at: str
    visibility: NotRequired[str]
    namespace: Namespace


class Links(TypedDict):
    self: str
    issues: str
    merge_requests: str
    repo_branches: str
    labels: str
    events: str
    members: str
    cluster_agents: str


class Access(TypedDict):
    access_level: int
    notification_level: int


class Permissions(TypedDict):
    project_access: Access | None
    group_access: Access | None


class Project(ProjectSimple):
    """What a project's settings hold comes on top (`store.projects.SETTINGS`)."""

    _links: Links
    empty_repo: bool
    archived: bool
    owner: NotRequired[UserBasic]
    creator_id: int
    import_status: str
    open_issues_count: int
    description_html: str
    updated_at: str
    forked_from_project: NotRequired[ProjectSimple]
    shared_with_groups: list[Any]
    issues_access_level: str
    repository_access_level: str
    merge_requests_access_level: str
    wiki_access_level: str
    builds_access_level: str
    snippets_access_level: str
    can_create_merge_request_in: bool
    permissions: NotRequired[Permissions]


class Label(TypedDict):
    id: int
    name: str
    description: str | None
    description_html: str
    text_color: str
    color: str
    subscribed: bool
    priority: int | None
    is_project_label: bool
    open_issues_count: NotRequired[int]
    closed_issues_count: NotRequired[int]
    open_merge_requests_count: NotRequired[int]


class Milestone(TypedDict):
    id: int
    iid: int
    project_id: int
    title: str
    description: str
    state: str
    created_at: str
    updated_at: str
    due_date: str | None
    start_date: str | None
    expired: bool
    web_url: str


class AccessRule(TypedDict):
    id: int
    access_level: int
    access_level_description: str
    user_id: int | None
    group_id: int | None


class ProtectedBranch(TypedDict):
    id: int
    name: str
    push_access_levels: list[AccessRule]
    merge_access_levels: list[AccessRule]
    unprotect_access_levels: list[AccessRule]
    allow_force_push: bool
    code_owner_approval_required: bool


class _Counts:
    """Numbers about several projects, in three queries."""

    def __init__(self, tenant: Tenant, ids: list[int]) -> None:
        marks = ", ".join("?" * len(ids))
        self.issues = self._count(
            tenant,
            "SELECT project_id AS id, count(*) AS n FROM forge_issuables WHERE kind = 'issue' AND state = 'opened'"
            f" AND project_id IN ({marks}) GROUP BY 1",
            ids,
        )
        self.stars = self._count(
            tenant,
            f"SELECT project_id AS id, count(*) AS n FROM forge_stars WHERE project_id IN ({marks}) GROUP BY 1",
            ids,
        )
        self.forks = self._count(
            tenant,
            f"SELECT forked_from AS id, count(*) AS n FROM forge_projects WHERE forked_from IN ({marks}) GROUP BY 1",
            ids,
        )
        avatars = tenant.rows(
            f"SELECT project_id, filename FROM forge_avatars WHERE project_id IN ({marks})", *ids
        )
        self.avatars = {row["project_id"]: row["filename"] for row in avatars}

    @staticmethod
    def _count(tenant: Tenant, sql: str, ids: list[int]) -> dict[int, int]:
        return {row["id"]: row["n"] for row in tenant.rows(sql, *ids)}


def project(view: View, row: sqlite3.Row, level: Level | None = None) -> Project:
    """One project; `level` is the viewer's there, if anybody is signed in."""
    shape = projects(view, [row])[0]
    if level is not None:
        access = _access(view, row)
        shape["permissions"] = access
        shape["can_create_merge_request_in"] = True
    if row["forked_from"] is not None:
        shape["forked_from_project"] = simple_projects(
            view, [project_of_id(view.tenant, row["forked_from"])]
        )[0]
    return shape


def _access(view: View, row: sqlite3.Row) -> Permissions:
    username = "" if view.person is None else view.person.username
    found = {
        source: view.tenant.value(
            "SELECT access_level FROM forge_members WHERE source = ? AND source_id = ? AND username = ?",
            source,
            source_id,
            username,
        )
        for source, source_id in (("project", row["id"]), ("group", row["namespace_id"]))
    }
    if row["namespace_kind"] == "user" and known(row["namespace_path"]) == username:
        found["project"] = int(Level.OWNER)
    levels = {
        source: None if level is None else Access(access_level=level, notification_level=3)
        for source, level in found.items()
    }
    return Permissions(project_access=levels["project"], group_access=levels["group"])


def projects(view: View, rows: list[sqlite3.Row]) -> list[Project]:
    counts = _Counts(view.tenant, [row["id"] for row in rows])
    return [_project(view, row, counts) for row in rows]


def simple_projects(view: View, rows: list[sqlite3.Row]) -> list[ProjectSimple]:
    counts = _Counts(view.tenant, [row["id"] for row in rows])
    return [_simple(view, row, counts) for row in rows]


def _project(view: View, row: sqlite3.Row, counts: _Counts) -> Project:
    api = view.api_url(f"/projects/{row['id']}")
    settings = json.loads(row["settings"])

    def feature(name: str) -> str:
        return "enabled" if settings.get(name, SETTINGS[name]) else "disabled"

    shape = Project(
        **_simple(view, row, counts),  # type: ignore[typeddict-item]
        _links=Links(
            self=api,
            issues=f"{api}/issues",
            merge_requests=f"{api}/merge_requests",
            repo_branches=f"{api}/repository/branches",
            labels=f"{api}/labels",
            events=f"{api}/events",
            members=f"{api}/members",
            cluster_agents=f"{api}/cluster_agents",
        ),
        empty_repo=bool(row["is_empty"]),
        archived=bool(row["archived"]),
        creator_id=view.user(row["creator"])["id"],
        import_status="none",
        open_issues_count=counts.issues.get(row["id"], 0),
        description_html="",
        updated_at=row["updated_at"],
        shared_with_groups=[],
        issues_access_level=feature("issues_enabled"),
        repository_access_level="enabled",
        merge_requests_access_level=feature("merge_requests_enabled"),
        wiki_access_level=feature("wiki_enabled"),
        builds_access_level=feature("jobs_enabled"),
        snippets_access_level=feature("snippets_enabled"),
        can_create_merge_request_in=view.person is not None,
    )
    if row["namespace_kind"] == "user":
        shape["owner"] = view.user(known(row["namespace_path"]))
    shape.update({**SETTINGS, **settings})  # type: ignore[typeddict-item]
    return shape


def _simple(view: View, row: sqlite3.Row, counts: _Counts) -> ProjectSimple:
    url = view.project_url(row["full_path"])
    group = "groups/" if row["namespace_kind"] == "group" else ""
    topics = json.loads(row["topics"])
    avatar = counts.avatars.get(row["id"])
    host = view.base.partition("://")[2].partition(":")[0]
    return ProjectSimple(
        id=row["id"],
        description=row["description"],
        name=row["name"],
        name_with_namespace=f"{row['namespace_name']} / {row['name']}",
        path=row["path"],
        path_with_namespace=row["full_path"],
        created_at=row["created_at"],
        default_branch=row["default_branch"],
        tag_list=topics,
        topics=topics,
        ssh_url_to_repo=f"ssh://git@{host}:2424/{row['full_path']}.git",
        http_url_to_repo=f"{url}.git",
        web_url=url,
        readme_url=f"{url}/-/blob/{row['default_branch']}/{row['readme']}" if row["readme"] else None,
        forks_count=counts.forks.get(row["id"], 0),
        avatar_url=f"{view.base}/uploads/-/system/project/avatar/{row['id']}/{avatar}" if avatar else None,
        star_count=counts.stars.get(row["id"], 0),
        last_activity_at=row["last_activity_at"],
        visibility=row["visibility"],
        namespace=Namespace(
            id=row["namespace_id"],
            name=row["namespace_name"],
            path=row["namespace_path"],
            kind=row["namespace_kind"],
            full_path=row["namespace_path"],
            parent_id=None,
            avatar_url=None,
            web_url=f"{view.base}/{group}{row['namespace_path']}",
        ),
    )


def label(row: sqlite3.Row, *, counts: bool = False) -> Label:
    shape = Label(
        id=row["id"],
        name=row["name"],
        description=row["description"] or None,
        description_html=row["description"],
        text_color=_text_color(row["color"]),
        color=row["color"],
        subscribed=False,
        priority=row["priority"],
        is_project_label=True,
    )
    if counts:
        shape["open_issues_count"] = row["open_issues"]
        shape["closed_issues_count"] = row["closed_issues"]
        shape["open_merge_requests_count"] = row["open_merge_requests"]
    return shape


def _text_color(color: str) -> str:
    """Dark on light colours, white on dark ones."""
    digits = color.lstrip("#")
    wide = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    brightness = sum(int(wide[at : at + 2], 16) for at in (0, 2, 4))
    return "#1F1E24" if brightness > 400 else "#FFFFFF"


def milestone(view: View, row: sqlite3.Row, full_path: str) -> Milestone:
    today = f"{view.tenant.now():%Y-%m-%d}"
    return Milestone(
        id=row["id"],
        iid=row["iid"],
        project_id=row["project_id"],
        title=row["title"],
        description=row["description"],
        state=row["state"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        due_date=row["due_date"],
        start_date=row["start_date"],
        expired=bool(row["due_date"] and row["due_date"] < today),
        web_url=f"{view.project_url(full_path)}/-/milestones/{row['iid']}",
    )


def protected_branch(row: sqlite3.Row) -> ProtectedBranch:
    def rule(kind: str) -> AccessRule:
        level = row[f"{kind}_level"]
        return AccessRule(
            id=row["id"],
            access_level=level,
            access_level_description=LEVEL_NAMES.get(Level(level), "Maintainers"),
            user_id=None,
            group_id=None,
        )

    return ProtectedBranch(
        id=row["id"],
        name=row["name"],
        push_access_levels=[rule("push")],
        merge_access_levels=[rule("merge")],
        unprotect_access_levels=[],
        allow_force_push=bool(row["allow_force_push"]),
        code_owner_approval_required=False,
    )
