"""Labels of projects."""

import re
import sqlite3

from tac_rl.office.forge.errors import conflict, invalid
from tac_rl.office.forge.store.people import contains
from tac_rl.office.tenant import Tenant

DEFAULT_COLOR = "#6699cc"
_COLOR = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_NAMED = {"red": "#FF0000", "green": "#008000", "blue": "#0000FF", "orange": "#FFA500", "yellow": "#FFFF00"}


def list_labels(tenant: Tenant, project_id: int, search: str = "") -> list[sqlite3.Row]:
    """By name, each with how many issues and merge requests bear it."""
    return tenant.rows(
        "SELECT l.*, count(i.id) FILTER (WHERE i.kind = 'issue' AND i.state = 'opened') AS open_issues,"
        " count(i.id) FILTER (WHERE i.kind = 'issue' AND i.state = 'closed') AS closed_issues,"
        " count(i.id) FILTER (WHERE i.kind = 'merge_request' AND i.state = 'opened') AS open_merge_requests"
        " FROM forge_labels l LEFT JOIN forge_labelled d ON d.label_id = l.id"
        " LEFT JOIN forge_issuables i ON i.id = d.issuable_id"
        " WHERE l.project_id = ? AND (l.name LIKE ? ESCAPE '\\' OR l.description LIKE ? ESCAPE '\\')"
        " GROUP BY l.id ORDER BY l.name COLLATE NOCASE, l.name",
        project_id,
        contains(search),
        contains(search),
    )


def find_label(tenant: Tenant, project_id: int, key: str | int) -> sqlite3.Row | None:
    """By name or number, with its counts."""
    row = _find(tenant, project_id, key)
    if row is None:
        return None
    return next(label for label in list_labels(tenant, project_id) if label["id"] == row["id"])


def _find(tenant: Tenant, project_id: int, key: str | int) -> sqlite3.Row | None:
    named = tenant.row("SELECT * FROM forge_labels WHERE project_id = ? AND name = ?", project_id, str(key))
    if named is None and str(key).isascii() and str(key).isdigit():
        return tenant.row(
            "SELECT * FROM forge_labels WHERE project_id = ? AND id = ?", project_id, int(str(key)[:18])
        )
    return named


def create_label(
    tenant: Tenant, project_id: int, name: str, color: str, description: str = "", priority: int | None = None
) -> None:
    """409 where the name is taken."""
    checked = check_name(name)
    if tenant.value("SELECT 1 FROM forge_labels WHERE project_id = ? AND name = ?", project_id, checked):
        raise conflict("Label already exists")
    tenant.db.execute(
        "INSERT INTO forge_labels (project_id, name, color, description, priority) VALUES (?, ?, ?, ?, ?)",
        (project_id, checked, check_color(color), description, priority),
    )


def update_label(tenant: Tenant, label: sqlite3.Row, changes: dict[str, object]) -> None:
    """Change `name`, `color`, `description`, `priority`."""
    if changes.get("name") is not None:
        name = check_name(str(changes["name"]))
        other = tenant.value(
            "SELECT 1 FROM forge_labels WHERE project_id = ? AND name = ? AND id != ?",
            label["project_id"],
            name,
            label["id"],
        )
        if other:
            raise conflict("Label already exists")
        changes = {**changes, "name": name}
    if changes.get("color") is not None:
        changes = {**changes, "color": check_color(str(changes["color"]))}
    for column in ("name", "color", "description", "priority"):
        if column in changes and (changes[column] is not None or column == "priority"):
            tenant.db.execute(
                f"UPDATE forge_labels SET {column} = ? WHERE id = ?", (changes[column], label["id"])
            )


def delete_label(tenant: Tenant, label_id: int) -> None:
    tenant.db.execute("DELETE FROM forge_labels WHERE id = ?", (label_id,))


def label_ids(tenant: Tenant, project_id: int, names: list[str]) -> list[int]:
    """The numbers of labels; those that aren't there are made, as GitLab does when an issue names them."""
    found = []
    for name in dict.fromkeys(stripped for name in names if (stripped := name.strip())):
        row = _find(tenant, project_id, name)
        if row is None:
            create_label(tenant, project_id, name, DEFAULT_COLOR)
            row = _find(tenant, project_id, name)
        assert row is not None
        found.append(int(row["id"]))
    return found


def check_name(name: str) -> str:
    stripped = name.strip()
    if not stripped or "," in stripped or len(stripped) > 255:
        raise invalid("title", "can't be blank" if not stripped else "is invalid")
    return stripped


def check_color(color: str) -> str:
    named = _NAMED.get(color.strip().lower(), color.strip())
    if not _COLOR.fullmatch(named):
        raise invalid("color", "must be a valid color code")
    return named
