"""Filters of lists of issues: Plane's simple ones (`?state=...,...`) and its structured ones (`?filters={...}`)."""

import json
from collections.abc import Mapping
from typing import Any

from tac_rl.office.tracker.fields import Invalid, text_of
from tac_rl.office.tracker.listings import Listing
from tac_rl.office.tracker.people import Names
from tac_rl.office.tracker.records import Problem, refused

_COLUMN = {
    "id": "tracker_issues.id",
    "name": "tracker_issues.name",
    "priority": "tracker_issues.priority",
    "state": "tracker_issues.state",
    "state_group": 's."group"',
    "project": "tracker_issues.project",
    "parent": "tracker_issues.parent",
    "created_by": "tracker_issues.created_by",
    "sequence_id": "tracker_issues.sequence_id",
    "start_date": "tracker_issues.start_date",
    "target_date": "tracker_issues.target_date",
    "created_at": "tracker_issues.created_at",
    "updated_at": "tracker_issues.updated_at",
    "completed_at": "tracker_issues.completed_at",
    "external_id": "tracker_issues.external_id",
    "external_source": "tracker_issues.external_source",
}
_AMONG = {
    "assignees": "SELECT value AS v FROM json_each(tracker_issues.assignees)",
    "labels": "SELECT value AS v FROM json_each(tracker_issues.labels)",
    "cycle": "SELECT cycle AS v FROM tracker_cycle_issues x WHERE x.issue = tracker_issues.id",
    "module": "SELECT module AS v FROM tracker_module_issues x WHERE x.issue = tracker_issues.id",
}
"""What an issue has several of (or one in another table): SELECTs of values."""
_SAME = {
    "assignee": "assignees",
    "assignee_id": "assignees",
    "assignees__id": "assignees",
    "label": "labels",
    "label_id": "labels",
    "labels__id": "labels",
    "cycle_id": "cycle",
    "module_id": "module",
    "issue_module__module_id": "module",
    "state_id": "state",
    "state__group": "state_group",
    "project_id": "project",
    "parent_id": "parent",
    "created_by_id": "created_by",
}
_PEOPLE = ("assignees", "created_by")
_COMPARE = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<"}
SIMPLE = (
    "state",
    "state_group",
    "priority",
    "assignees",
    "labels",
    "created_by",
    "cycle",
    "module",
    "parent",
)
"""Query parameters that take a value, or several with commas between."""
_DEEPEST, _MOST = 8, 100

Condition = tuple[str, list[Any]]


def filtered(listing: Listing, query: Mapping[str, str], names: Names) -> Listing:
    """Only the issues that the query parameters ask for."""
    if query.get("pql"):
        raise refused("pql is not supported here: use filters")
    conditions: list[Condition] = []
    for key, value in query.items():
        name = _SAME.get(key, key)
        if name in SIMPLE:
            conditions.append(_condition(f"{name}__in", value.split(","), names))
        elif name in ("name", "external_id", "external_source"):
            operator = "__icontains" if name == "name" else ""
            conditions.append(_condition(name + operator, value, names))
    if query.get("filters"):
        try:
            document = json.loads(query["filters"])
        except (ValueError, RecursionError):
            raise refused("filters must be a JSON object") from None
        conditions.append(structured(document, names))
    return narrowed(listing, conditions)


def narrowed(listing: Listing, conditions: list[Condition]) -> Listing:
    for sql, arguments in conditions:
        listing = listing.narrowed(sql, *arguments)
    return listing


def structured(document: Any, names: Names, depth: int = 0) -> Condition:
    """`{"and": [...]}`, `{"or": [...]}`, `{"not": {...}}` and `{"field__operator": value}` as SQL."""
    if not isinstance(document, dict) or depth > _DEEPEST or len(document) > _MOST:
        raise refused("filters must be a JSON object with and, or, not and field conditions")
    parts: list[Condition] = []
    for key, value in document.items():
        if key in ("and", "or"):
            if not isinstance(value, list) or len(value) > _MOST:
                raise refused(f"'{key}' takes a list of conditions")
            inner = [structured(item, names, depth + 1) for item in value]
            if inner:
                joined = f" {key.upper()} ".join(sql for sql, _ in inner)
                parts.append((f"({joined})", [argument for _, found in inner for argument in found]))
        elif key == "not":
            sql, arguments = structured(value, names, depth + 1)
            parts.append((f"NOT ({sql})", arguments))
        else:
            parts.append(_condition(key, value, names))
    sql = " AND ".join(sql for sql, _ in parts) or "1"
    return f"({sql})", [argument for _, found in parts for argument in found]


def _condition(key: str, value: Any, names: Names) -> Condition:
    name, operator = _SAME.get(key, key), "exact"
    if name not in _COLUMN and name not in _AMONG:
        before, _, after = key.rpartition("__")
        name, operator = _SAME.get(before, before), after
    if name not in _COLUMN and name not in _AMONG:
        raise refused(f"Cannot filter by '{key[:100]}'")
    try:
        return _comparison(name, operator, value, names)
    except Invalid as invalid:
        raise Problem(400, {"error": f"{key[:100]}: {invalid}"}) from None


def _comparison(name: str, operator: str, value: Any, names: Names) -> Condition:
    column = "v" if name in _AMONG else _COLUMN[name]

    def of(comparison: str) -> str:
        return f"EXISTS (SELECT 1 FROM ({_AMONG[name]}) WHERE {comparison})" if name in _AMONG else comparison

    def stored(item: Any) -> str:
        text = text_of(item)
        return names.username(text) or text if name in _PEOPLE else text

    if operator == "isnull":
        if not isinstance(value, bool):
            raise Invalid("Must be true or false.")
        there = f"EXISTS ({_AMONG[name]})" if name in _AMONG else f"{column} IS NOT NULL"
        return (f"NOT {there}" if value else there), []
    if operator in ("in", "range"):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or len(items) > _MOST or (operator == "range" and len(items) != 2):
            raise Invalid("Must be a list of two values." if operator == "range" else "Must be a list.")
        found = [stored(item) for item in items]
        if operator == "range":
            return of(f"{column} BETWEEN ? AND ?"), list(found)
        return of(f"{column} IN ({', '.join('?' * len(found))})"), list(found)
    if operator == "exact":
        return of(f"{column} = ?"), [stored(value)]
    if operator in _COMPARE:
        return of(f"{column} {_COMPARE[operator]} ?"), [stored(value)]
    if operator in ("icontains", "contains"):
        return of(f"instr(lower({column}), ?)"), [text_of(value).lower()]
    raise Invalid(f"'{operator[:50]}' is not an operator.")
