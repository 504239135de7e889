"""Members of projects and groups."""

import sqlite3
from typing import Literal

from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.store.people import contains
from tac_rl.office.tenant import Tenant

Source = Literal["project", "group"]


def set_member(
    tenant: Tenant,
    source: Source,
    source_id: int,
    username: str,
    level: int,
    *,
    by: str,
    at: str | None = None,
    expires_at: str | None = None,
) -> None:
    """Add somebody, or change their level."""
    tenant.db.execute(
        "INSERT INTO forge_members VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " access_level = excluded.access_level, expires_at = excluded.expires_at",
        (source, source_id, username, level, at or stamp(tenant.now()), by, expires_at),
    )


def find_member(tenant: Tenant, source: Source, source_id: int, username: str) -> sqlite3.Row | None:
    return tenant.row(
        "SELECT * FROM forge_members WHERE source = ? AND source_id = ? AND username = ?",
        source,
        source_id,
        username,
    )


def remove_member(tenant: Tenant, source: Source, source_id: int, username: str) -> None:
    tenant.db.execute(
        "DELETE FROM forge_members WHERE source = ? AND source_id = ? AND username = ?",
        (source, source_id, username),
    )


def remove_all_members(tenant: Tenant, source: Source, source_id: int) -> None:
    tenant.db.execute("DELETE FROM forge_members WHERE source = ? AND source_id = ?", (source, source_id))


def list_members(tenant: Tenant, sources: list[tuple[Source, int]], *, search: str = "") -> list[sqlite3.Row]:
    """Of the sources together, each person once, with their highest level; by number."""
    either = " OR ".join("(m.source = ? AND m.source_id = ?)" for _ in sources)
    arguments: list[object] = [value for source in sources for value in source]
    where = f"({either})"
    if search:
        where += " AND (p.name LIKE ? ESCAPE '\\' OR p.username LIKE ? ESCAPE '\\')"
        arguments += [contains(search)] * 2
    return tenant.rows(
        "SELECT m.source, m.source_id, m.username, max(m.access_level) AS access_level, m.created_at,"
        " m.created_by, m.expires_at FROM forge_members m JOIN people p USING (username)"
        f" LEFT JOIN forge_users u USING (username) WHERE {where} GROUP BY m.username ORDER BY u.id",
        *arguments,
    )
