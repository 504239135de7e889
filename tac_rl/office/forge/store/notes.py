"""Notes: comments on issues and merge requests."""

import sqlite3

from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import invalid
from tac_rl.office.forge.store import events
from tac_rl.office.forge.store.paging import Found, Page, select_page
from tac_rl.office.tenant import Tenant

LONGEST = 1_000_000
"""Characters of a note, as in GitLab."""


def list_notes(
    tenant: Tenant, issuable_id: int, page: Page, *, order_by: str = "created_at", ascending: bool = False
) -> Found:
    """Newest first unless `ascending`."""
    direction = "ASC" if ascending else "DESC"
    column = "updated_at" if order_by == "updated_at" else "created_at"
    body = "FROM forge_notes WHERE issuable_id = ?"
    return select_page(tenant, "*", body, [issuable_id], f"{column} {direction}, id {direction}", page)


def find_note(tenant: Tenant, issuable_id: int, note_id: int) -> sqlite3.Row | None:
    return tenant.row("SELECT * FROM forge_notes WHERE issuable_id = ? AND id = ?", issuable_id, note_id)


def add_note(
    tenant: Tenant,
    issuable: sqlite3.Row,
    author: str,
    body: str,
    *,
    internal: bool = False,
    at: str | None = None,
) -> sqlite3.Row:
    """Comment on an issue or merge request."""
    _check(body)
    now = at or stamp(tenant.now())
    with tenant.transaction() as db:
        note = tenant.row(
            "INSERT INTO forge_notes (issuable_id, author, body, internal, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
            issuable["id"],
            author,
            body,
            internal,
            now,
            now,
        )
        assert note is not None
        db.execute(
            "UPDATE forge_issuables SET updated_at = max(updated_at, ?) WHERE id = ?", (now, issuable["id"])
        )
        events.record(
            tenant,
            issuable["project_id"],
            author,
            "commented on",
            kind="note",
            target=note,
            title=issuable["title"],
            at=now,
        )
    return note


def update_note(tenant: Tenant, note: sqlite3.Row, body: str) -> sqlite3.Row:
    _check(body)
    found = tenant.row(
        "UPDATE forge_notes SET body = ?, updated_at = ? WHERE id = ? RETURNING *",
        body,
        stamp(tenant.now()),
        note["id"],
    )
    assert found is not None
    return found


def delete_note(tenant: Tenant, note_id: int) -> None:
    tenant.db.execute("DELETE FROM forge_notes WHERE id = ?", (note_id,))


def _check(body: str) -> None:
    if not body.strip():
        raise invalid("note", "can't be blank")
    if len(body) > LONGEST:
        raise invalid("note", "is too long (maximum is 1000000 characters)")
