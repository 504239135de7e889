"""Wiki pages of projects, kept as records."""

import re
import sqlite3

from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import ForgeError
from tac_rl.office.forge.store.people import contains
from tac_rl.office.tenant import Tenant

FORMATS = ("markdown", "rdoc", "asciidoc", "org")


def slug_of(title: str) -> str:
    """The address of a page: spaces become hyphens, slashes make folders."""
    return re.sub(r"/+", "/", re.sub(r"\s+", "-", title.strip())).strip("/")


def list_pages(tenant: Tenant, project_id: int, search: str = "") -> list[sqlite3.Row]:
    return tenant.rows(
        "SELECT * FROM forge_wiki_pages WHERE project_id = ? AND"
        " (title LIKE ? ESCAPE '\\' OR content LIKE ? ESCAPE '\\') ORDER BY slug",
        project_id,
        contains(search),
        contains(search),
    )


def find_page(tenant: Tenant, project_id: int, slug: str) -> sqlite3.Row | None:
    return tenant.row("SELECT * FROM forge_wiki_pages WHERE project_id = ? AND slug = ?", project_id, slug)


def create_page(
    tenant: Tenant,
    project_id: int,
    author: str,
    title: str,
    content: str,
    *,
    format: str = "markdown",
    at: str | None = None,
) -> sqlite3.Row:
    """400 where there is a page with this address."""
    _check(title)
    if find_page(tenant, project_id, slug_of(title)) is not None:
        raise ForgeError(
            400, "Could not create wiki page. Duplicate page: A page with that title already exists"
        )
    now = at or stamp(tenant.now())
    made = tenant.row(
        "INSERT INTO forge_wiki_pages (project_id, slug, title, format, content, author, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        project_id,
        slug_of(title),
        title.strip(),
        format,
        content,
        author,
        now,
        now,
    )
    assert made is not None
    return made


def update_page(
    tenant: Tenant,
    page: sqlite3.Row,
    author: str,
    *,
    title: str | None = None,
    content: str | None = None,
    format: str | None = None,
) -> sqlite3.Row:
    """A new title moves the page to a new address."""
    after = page["title"] if title is None else title
    _check(after)
    other = find_page(tenant, page["project_id"], slug_of(after)) if title is not None else None
    if other is not None and other["id"] != page["id"]:
        raise ForgeError(
            400, "Could not update wiki page. Duplicate page: A page with that title already exists"
        )
    found = tenant.row(
        "UPDATE forge_wiki_pages SET title = ?, slug = ?, content = ?, format = ?, author = ?, updated_at = ?"
        " WHERE id = ? RETURNING *",
        after.strip(),
        slug_of(after) if title is not None else page["slug"],
        page["content"] if content is None else content,
        page["format"] if format is None else format,
        author,
        stamp(tenant.now()),
        page["id"],
    )
    assert found is not None
    return found


def delete_page(tenant: Tenant, page_id: int) -> None:
    tenant.db.execute("DELETE FROM forge_wiki_pages WHERE id = ?", (page_id,))


def _check(title: str) -> None:
    parts = slug_of(title).split("/")
    if not all(parts) or any(part in (".", "..") for part in parts) or len(title) > 245:
        raise ForgeError(400, {"title": ["can't be blank" if not title.strip() else "is invalid"]})
