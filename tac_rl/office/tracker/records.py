"""What all of the tracker's operations share: who acts and when, new records, changed records, refusals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import Any

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.fields import moment_text


class Problem(Exception):
    """What the API answers instead: a status and a JSON body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(json.dumps(body))
        self.status = status
        self.body = body


def refused(message: str) -> Problem:
    return Problem(400, {"error": message})


def missing() -> Problem:
    return Problem(404, {"error": "The requested resource does not exist."})


def forbidden() -> Problem:
    return Problem(403, {"detail": "You do not have permission to perform this action."})


def taken(what: str, identifier: str) -> Problem:
    return Problem(409, {"error": f"{what} already exists", "id": identifier})


@dataclass(frozen=True)
class Act:
    """Somebody does something at a moment."""

    tenant: Tenant
    username: str
    at: str
    """As `moment_text` writes it."""

    def record(self, identifier: str | None = None) -> dict[str, Any]:
        """The columns that every record has."""
        return {
            "id": identifier or self.tenant.new_uuid(),
            "created_at": self.at,
            "updated_at": self.at,
            "created_by": self.username,
            "updated_by": self.username,
        }


def act_now(tenant: Tenant, username: str) -> Act:
    return Act(tenant, username, moment_text(tenant.now()))


def add(tenant: Tenant, table: str, values: Mapping[str, Any]) -> None:
    """Insert a record; names of tables and columns are always ours, never a client's."""
    columns = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    tenant.db.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))


def change(act: Act, table: str, identifier: str, values: Mapping[str, Any]) -> None:
    """Replace fields of a record."""
    stamped = {**values, "updated_at": act.at, "updated_by": act.username}
    columns = ", ".join(f'"{name}" = ?' for name in stamped)
    act.tenant.db.execute(f"UPDATE {table} SET {columns} WHERE id = ?", (*stamped.values(), identifier))


def remove(tenant: Tenant, table: str, identifier: str) -> None:
    tenant.db.execute(f"DELETE FROM {table} WHERE id = ?", (identifier,))


def next_order(tenant: Tenant, table: str, step: float, where: str, *arguments: Any) -> float:
    """A place after the last (`step` > 0) or before the first of some records."""
    find = "max" if step > 0 else "min"
    column = "sequence" if table == "tracker_states" else "sort_order"
    found = tenant.value(f"SELECT {find}({column}) FROM {table} WHERE {where}", *arguments)
    return 65535.0 if found is None else float(found) + step


def check_external(
    tenant: Tenant, table: str, project: str, values: Mapping[str, Any], what: str, but: str = ""
) -> None:
    """An external id may be used once in a project; `but` is the record that may have it."""
    if not values.get("external_id") or not values.get("external_source"):
        return
    other = tenant.value(
        f"SELECT id FROM {table} WHERE project = ? AND external_source = ? AND external_id = ? AND id != ?",
        project,
        values["external_source"],
        values["external_id"],
        but,
    )
    if other is not None:
        raise taken(f"{what} with the same external id and external source", other)


class _Stripper(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag in ("br", "li"):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "div", "h1", "h2", "h3", "h4", "pre", "ul", "ol"):
            self.parts.append("\n")


def text_of_html(html: str) -> str:
    """The words of a description or comment."""
    stripper = _Stripper()
    stripper.feed(html)
    stripper.close()
    return "".join(stripper.parts).strip()


def html_of_text(text: str) -> str:
    """Plain text as paragraphs; what is HTML already stays as it is."""
    if text.lstrip().startswith("<"):
        return text
    blocks = [escape(block.strip(), quote=False) for block in text.split("\n\n") if block.strip()]
    return "".join("<p>" + block.replace("\n", "<br/>") + "</p>" for block in blocks) or "<p></p>"
