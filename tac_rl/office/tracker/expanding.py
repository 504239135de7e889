"""`?expand=`: records shown in place of the UUIDs that lead to them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tac_rl.office.base import TRACKER_WORKSPACE
from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.people import WORKSPACE_ID, Names, user_record
from tac_rl.office.tracker.resources import columns

_PEOPLE = (
    "assignees",
    "members",
    "created_by",
    "updated_by",
    "project_lead",
    "default_assignee",
    "owned_by",
    "lead",
    "actor",
)
_LITE = {
    "state": (r.STATE, ("id", "name", "color", "group")),
    "project": (
        r.PROJECT,
        ("id", "identifier", "name", "cover_image", "icon_prop", "emoji", "description"),
    ),
    "labels": (r.LABEL, ()),
    "parent": (r.ISSUE, ("id", "sequence_id", "name", "project", "state", "priority")),
    "issue": (r.ISSUE, ()),
    "cycle": (r.CYCLE, ("id", "name", "start_date", "end_date", "project", "owned_by")),
    "module": (r.MODULE, ("id", "name", "status", "start_date", "target_date", "project")),
}
"""Field -> the records it leads to, and which of their fields are shown (none named: all)."""


class Expander:
    """Looks each record up once."""

    def __init__(self, tenant: Tenant, names: Names) -> None:
        self._tenant = tenant
        self._names = names
        self._found: dict[tuple[str, str], Any] = {}

    def expand(self, records: Iterable[dict[str, Any]], fields: Sequence[str]) -> None:
        """Replace what the fields hold, in place; fields that lead nowhere stay as they are."""
        known: list[tuple[str, Callable[[str, str], Any]]] = []
        for name in dict.fromkeys(fields):
            if name in _PEOPLE:
                known.append((name, self._person))
            elif name in _LITE:
                known.append((name, self._record))
            elif name == "workspace":
                known.append((name, self._workspace))
        for record in records:
            for name, find in known:
                value = record.get(name)
                if isinstance(value, list):
                    record[name] = [self._once(name, item, find) for item in value]
                elif isinstance(value, str):
                    record[name] = self._once(name, value, find)

    def _once(self, name: str, identifier: str, find: Callable[[str, str], Any]) -> Any:
        key = (name, identifier)
        if key not in self._found:
            self._found[key] = find(name, identifier)
        return self._found[key]

    def _person(self, name: str, identifier: str) -> Any:
        username = self._names.username(identifier)
        person = None if username is None else self._tenant.person(username)
        return identifier if person is None else user_record(person, self._names)

    def _workspace(self, name: str, identifier: str) -> Any:
        return {"name": TRACKER_WORKSPACE, "slug": TRACKER_WORKSPACE, "id": WORKSPACE_ID}

    def _record(self, name: str, identifier: str) -> Any:
        resource, wanted = _LITE[name]
        row = self._tenant.row(
            f"SELECT {columns(resource)} FROM {resource.table} WHERE {resource.table}.id = ?", identifier
        )
        if row is None:
            return identifier
        shown = resource.show(row, self._names, counted=False)
        return {field: shown[field] for field in wanted} if wanted else shown
