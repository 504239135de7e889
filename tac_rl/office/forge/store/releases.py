"""Releases: a tag with a name and notes."""

import sqlite3
from datetime import datetime

from tac_rl.office.base import Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import ForgeError, conflict, not_found
from tac_rl.office.forge.reading import find_commit, tag_object
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.store.branches import make_tag
from tac_rl.office.tenant import Tenant


def list_releases(
    tenant: Tenant, project_id: int, *, order_by: str = "released_at", ascending: bool = False
) -> list[sqlite3.Row]:
    """Latest first unless `ascending`."""
    column = "created_at" if order_by == "created_at" else "released_at"
    direction = "ASC" if ascending else "DESC"
    return tenant.rows(
        f"SELECT * FROM forge_releases WHERE project_id = ? ORDER BY {column} {direction}, tag {direction}",
        project_id,
    )


def find_release(tenant: Tenant, project_id: int, tag: str) -> sqlite3.Row | None:
    return tenant.row("SELECT * FROM forge_releases WHERE project_id = ? AND tag = ?", project_id, tag)


def create_release(
    tenant: Tenant,
    project: sqlite3.Row,
    person: Person,
    tag: str,
    *,
    name: str = "",
    description: str = "",
    ref: str | None = None,
    tag_message: str = "",
    released_at: datetime | None = None,
) -> sqlite3.Row:
    """For a tag, which is made at `ref` if need be. 409 where the tag has a release; 422 without tag and ref."""
    if find_release(tenant, project["id"], tag) is not None:
        raise conflict("Release already exists")
    repo = open_repository(tenant, project["id"])
    if tag_object(repo, tag) is None:
        if not ref:
            raise ForgeError(422, "Ref is not specified")
        if find_commit(repo, ref) is None:
            raise not_found("Ref")
        make_tag(tenant, project, person, tag, ref, tag_message)
    now = stamp(tenant.now())
    tenant.db.execute(
        "INSERT INTO forge_releases VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            project["id"],
            tag,
            name or tag,
            description,
            person.username,
            now,
            stamp(released_at) if released_at else now,
        ),
    )
    made = find_release(tenant, project["id"], tag)
    assert made is not None
    return made


def update_release(
    tenant: Tenant,
    release: sqlite3.Row,
    *,
    name: str | None,
    description: str | None,
    released_at: datetime | None,
) -> sqlite3.Row:
    tenant.db.execute(
        "UPDATE forge_releases SET name = coalesce(?, name), description = coalesce(?, description),"
        " released_at = coalesce(?, released_at) WHERE project_id = ? AND tag = ?",
        (
            name,
            description,
            stamp(released_at) if released_at else None,
            release["project_id"],
            release["tag"],
        ),
    )
    found = find_release(tenant, release["project_id"], release["tag"])
    assert found is not None
    return found


def delete_release(tenant: Tenant, project_id: int, tag: str) -> None:
    tenant.db.execute("DELETE FROM forge_releases WHERE project_id = ? AND tag = ?", (project_id, tag))
