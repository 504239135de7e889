"""Namespaces: of people, named as they are, and of groups."""

import re
import sqlite3

from tac_rl.office.base import Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import invalid
from tac_rl.office.forge.store.access import Level
from tac_rl.office.forge.store.members import set_member
from tac_rl.office.forge.store.paging import Found, Page, select_page
from tac_rl.office.forge.store.people import contains, find_person, known
from tac_rl.office.tenant import Tenant

_PATH = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")
RESERVED = frozenset(
    ("-", "api", "admin", "assets", "dashboard", "explore", "groups", "help", "oauth", "projects", "search", "uploads",
     "users")
)  # fmt: skip
"""Words that would shadow addresses of the forge itself."""


def check_path(path: str) -> str:
    """A last part of an address; 400 for one that GitLab refuses."""
    if not _PATH.fullmatch(path) or path.endswith((".git", ".atom", ".")) or len(path) > 255:
        raise invalid(
            "path",
            "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or"
            " end in '.atom'",
        )
    return path


def find_namespace(tenant: Tenant, key: str | int) -> sqlite3.Row | None:
    """By number or path."""
    if str(key).isascii() and str(key).isdigit():
        return tenant.row("SELECT * FROM forge_namespaces WHERE id = ?", int(str(key)[:18]))
    return tenant.row("SELECT * FROM forge_namespaces WHERE path = ?", str(key))


def find_group(tenant: Tenant, key: str | int) -> sqlite3.Row | None:
    found = find_namespace(tenant, key)
    return found if found is not None and found["kind"] == "group" else None


def namespace_of(tenant: Tenant, path: str, *, at: str | None = None) -> sqlite3.Row:
    """The namespace with this path, made if need be: a person's if somebody is named so, else a group."""
    found = find_namespace(tenant, path)
    if found is not None:
        return found
    person = find_person(tenant, path) if "@" not in path else None
    if person is not None and known(path) == person.username:
        return _add(tenant, path.lower(), person.name, "user", "", "public", at)
    if path.lower() in RESERVED or path.isdigit():
        raise invalid("path", "is reserved")
    return _add(tenant, check_path(path), path, "group", "", "public", at)


def create_group(
    tenant: Tenant, person: Person, *, name: str, path: str, description: str, visibility: str
) -> sqlite3.Row:
    """A group owned by whoever makes it."""
    taken = find_namespace(tenant, check_path(path)) is not None or find_person(tenant, path) is not None
    if taken or path.lower() in RESERVED or path.isdigit():
        raise invalid("path", "has already been taken")
    made = _add(tenant, path, name, "group", description, visibility, None)
    set_member(tenant, "group", made["id"], person.username, Level.OWNER, by=person.username)
    return made


def update_group(tenant: Tenant, group_id: int, changes: dict[str, object]) -> sqlite3.Row:
    """Change `name`, `description`, `visibility`."""
    for column in ("name", "description", "visibility"):
        if changes.get(column) is not None:
            tenant.db.execute(
                f"UPDATE forge_namespaces SET {column} = ? WHERE id = ?", (changes[column], group_id)
            )
    found = find_namespace(tenant, group_id)
    assert found is not None
    return found


def list_namespaces(
    tenant: Tenant,
    viewer: Person | None,
    page: Page,
    *,
    search: str = "",
    kind: str | None = None,
    owned_by: str | None = None,
) -> Found:
    """Public ones, and those that the viewer is a member of."""
    where, arguments = ["1"], list[object]()
    if kind is not None:
        where.append("n.kind = ?")
        arguments.append(kind)
    if search:
        where.append("(n.path LIKE ? ESCAPE '\\' OR n.name LIKE ? ESCAPE '\\')")
        arguments += [contains(search)] * 2
    member = "EXISTS (SELECT 1 FROM forge_members m WHERE m.source = 'group' AND m.source_id = n.id AND m.username = ?"
    if viewer is None:
        where.append("n.visibility = 'public'")
    elif not viewer.admin:
        where.append(f"(n.visibility != 'private' OR {member}))")
        arguments.append(viewer.username)
    if owned_by is not None:
        where.append(f"{member} AND m.access_level >= {int(Level.OWNER)})")
        arguments.append(owned_by)
    body = f"FROM forge_namespaces n WHERE {' AND '.join(where)}"
    return select_page(tenant, "n.*", body, arguments, "n.name, n.id", page)


def _add(
    tenant: Tenant, path: str, name: str, kind: str, description: str, visibility: str, at: str | None
) -> sqlite3.Row:
    tenant.db.execute(
        "INSERT INTO forge_namespaces (path, name, kind, description, visibility, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (path, name, kind, description, visibility, at or stamp(tenant.now())),
    )
    made = tenant.row("SELECT * FROM forge_namespaces WHERE path = ?", path)
    assert made is not None
    return made
