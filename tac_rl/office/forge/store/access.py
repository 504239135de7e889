"""Who may do what: access levels, visibility, protected branches."""

import sqlite3
from enum import IntEnum

from tac_rl.office.base import Person
from tac_rl.office.forge.errors import conflict, forbidden, not_found, unauthorized
from tac_rl.office.forge.store.people import known
from tac_rl.office.tenant import Tenant


class Level(IntEnum):
    """GitLab's access levels."""

    NONE = 0
    GUEST = 10
    REPORTER = 20
    DEVELOPER = 30
    MAINTAINER = 40
    OWNER = 50
    ADMIN = 60


LEVEL_NAMES = {
    Level.NONE: "No one",
    Level.DEVELOPER: "Developers + Maintainers",
    Level.MAINTAINER: "Maintainers",
    Level.ADMIN: "Administrator",
}
"""Of the levels that protect a branch, as GitLab writes them."""


def level_of(tenant: Tenant, project: sqlite3.Row, person: Person | None) -> Level:
    """Somebody's highest level in a project: their own, their group's, their namespace's."""
    if person is None:
        return Level.NONE
    if person.admin:
        return Level.ADMIN
    if project["namespace_kind"] == "user" and known(project["namespace_path"]) == person.username:
        return Level.OWNER
    highest = tenant.value(
        "SELECT max(access_level) FROM forge_members WHERE username = ? AND"
        " ((source = 'project' AND source_id = ?) OR (source = 'group' AND source_id = ?))",
        person.username,
        project["id"],
        project["namespace_id"],
    )
    return Level(highest or 0)


def level_in_group(tenant: Tenant, group: sqlite3.Row, person: Person | None) -> Level:
    if person is None:
        return Level.NONE
    if person.admin:
        return Level.ADMIN
    if group["kind"] == "user" and known(group["path"]) == person.username:
        return Level.OWNER
    level = tenant.value(
        "SELECT access_level FROM forge_members WHERE source = 'group' AND source_id = ? AND username = ?",
        group["id"],
        person.username,
    )
    return Level(level or 0)


def may_see(tenant: Tenant, project: sqlite3.Row, person: Person | None) -> bool:
    if project["visibility"] == "public":
        return True
    if project["visibility"] == "internal" and person is not None:
        return True
    return level_of(tenant, project, person) > Level.NONE


def visible_condition(person: Person | None) -> tuple[str, list[object]]:
    """SQL over `p` (forge_projects) and `n` (its namespace) for the projects that somebody may see."""
    if person is None:
        return "p.visibility = 'public'", []
    if person.admin:
        return "1", []
    mine, arguments = membership_condition(person)
    return f"(p.visibility != 'private' OR {mine})", arguments


def membership_condition(person: Person) -> tuple[str, list[object]]:
    """SQL over `p` and `n` for the projects that somebody is a member of."""
    return (
        "((n.kind = 'user' AND n.path = ?) OR EXISTS (SELECT 1 FROM forge_members m WHERE m.username = ? AND"
        " ((m.source = 'project' AND m.source_id = p.id) OR (m.source = 'group' AND m.source_id = n.id))))",
        ["root" if person.username == "theagentcompany" else person.username, person.username],
    )


def need(tenant: Tenant, project: sqlite3.Row, person: Person | None, level: Level) -> Person:
    """The person, if they have this level; else 401 (nobody signed in), 404 (may not see it) or 403."""
    if person is None:
        raise unauthorized()
    if not may_see(tenant, project, person):
        raise not_found("Project")
    if level_of(tenant, project, person) < level:
        raise forbidden()
    return person


def need_writable(project: sqlite3.Row) -> None:
    """403 for an archived project."""
    if project["archived"]:
        raise forbidden("the project is archived")


# Protected branches


def protections(tenant: Tenant, project_id: int, search: str = "") -> list[sqlite3.Row]:
    found = tenant.rows(
        "SELECT * FROM forge_protected_branches WHERE project_id = ? ORDER BY name", project_id
    )
    return [row for row in found if search.lower() in row["name"].lower()]


def protections_of(tenant: Tenant, project_id: int, branch: str) -> list[sqlite3.Row]:
    """The rules that a branch falls under; the most permissive of them counts."""
    return [rule for rule in protections(tenant, project_id) if matches(rule["name"], branch)]


def matches(pattern: str, branch: str) -> bool:
    """Whether a rule's name, in which * stands for anything, fits a branch."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == branch
    if not branch.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        at = branch.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return len(branch) - len(rest[-1]) >= at and branch.endswith(rest[-1])


def allows(level: Level, needed: int) -> bool:
    """Whether somebody of `level` meets what a rule asks for; 0 means that nobody does."""
    return needed != Level.NONE and level >= needed


def may_push(tenant: Tenant, project: sqlite3.Row, person: Person, branch: str) -> bool:
    level = level_of(tenant, project, person)
    rules = protections_of(tenant, project["id"], branch)
    if not rules:
        return level >= Level.DEVELOPER
    return any(allows(level, rule["push_level"]) for rule in rules)


def may_merge(tenant: Tenant, project: sqlite3.Row, person: Person, branch: str) -> bool:
    level = level_of(tenant, project, person)
    rules = protections_of(tenant, project["id"], branch)
    if not rules:
        return level >= Level.DEVELOPER
    return any(allows(level, rule["merge_level"]) or allows(level, rule["push_level"]) for rule in rules)


def protect(
    tenant: Tenant,
    project_id: int,
    name: str,
    *,
    push_level: int = Level.MAINTAINER,
    merge_level: int = Level.MAINTAINER,
    allow_force_push: bool = False,
) -> sqlite3.Row:
    """Protect a branch, or those that a pattern with * fits; 409 where it is protected already."""
    if protection(tenant, project_id, name) is not None:
        raise conflict(f"Protected branch '{name}' already exists")
    tenant.db.execute(
        "INSERT INTO forge_protected_branches (project_id, name, push_level, merge_level, allow_force_push)"
        " VALUES (?, ?, ?, ?, ?)",
        (project_id, name, push_level, merge_level, allow_force_push),
    )
    made = protection(tenant, project_id, name)
    assert made is not None
    return made


def protection(tenant: Tenant, project_id: int, name: str) -> sqlite3.Row | None:
    return tenant.row(
        "SELECT * FROM forge_protected_branches WHERE project_id = ? AND name = ?", project_id, name
    )


def unprotect(tenant: Tenant, project_id: int, name: str) -> None:
    tenant.db.execute(
        "DELETE FROM forge_protected_branches WHERE project_id = ? AND name = ?", (project_id, name)
    )
