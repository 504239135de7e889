"""Sentences about what changed in the tracker."""

import json
from collections.abc import Iterator, Mapping

from tac_rl.office.changes.base import Changes, RowChange, Value
from tac_rl.office.changes.wording import Describer, alterations, quote, silent

_NOISE = (
    *("created_at", "updated_at", "updated_by", "created_by", "completed_at", "sort_order", "last_number"),
    *(
        "description_stripped",
        "description_text",
        "comment_stripped",
        "edited_at",
        "state",
        "assignees",
        "labels",
    ),
)
_NAMES = {"name": "title", "target_date": "due date", "description_html": "description"}


def _issue(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    name = _reference(changes, row)
    if change.kind == "added":
        yield f"{name} {quote(row.get('name'))} was created in {_state(changes, row.get('state'))}"
        return
    if change.kind == "removed":
        yield f"{name} {quote(row.get('name'))} was deleted"
        return
    if "state" in change.after:
        yield f"{name} moved to {_state(changes, change.after['state'])}"
    for column in ("assignees", "labels"):
        if column in change.after:
            now = [_label(changes, one) for one in _list(change.after[column])]
            yield f"{name}: {column} are now {', '.join(now) or 'none'}"
    if told := alterations(change, _NOISE, _NAMES):
        yield f"{name}: {told}"


def _comment(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    name, text = _of(changes, row), quote(row.get("comment_stripped"))
    if change.kind == "added":
        yield f"{row.get('actor')} commented on {name}: {text}"
    elif change.kind == "removed":
        yield f"a comment of {row.get('actor')} on {name} was deleted: {text}"
    elif "comment_html" in change.after:
        yield f"a comment of {row.get('actor')} on {name} is now {text}"


def _planned(column: str, table: str, kind: str) -> Describer:
    """An issue in a cycle or a module."""

    def describe(change: RowChange, changes: Changes) -> Iterator[str]:
        name = _of(changes, changes.whole(change))

        def plan(row: Mapping[str, Value]) -> str:
            return f"{kind} {quote(changes.look(table, row[column]).get('name'))}"

        if change.before.get(column) is not None:
            yield f"{name} was removed from {plan(change.before)}"
        if change.after.get(column) is not None:
            yield f"{name} was added to {plan(change.after)}"

    return describe


def _member(change: RowChange, changes: Changes) -> Iterator[str]:
    project = changes.look("tracker_projects", change.key["project"]).get("name", "?")
    if change.kind == "changed":
        if told := alterations(change, _NOISE):
            yield f"{change.key['username']} in the tracker's project {project}: {told}"
        return
    verb = "now" if change.kind == "added" else "no longer"
    yield f"{change.key['username']} is {verb} in the tracker's project {project}"


def _project(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    yield from _told(change, f"the tracker's project {row.get('name')}")


def _named(kind: str) -> Describer:
    """Records of a project that are known by a name."""

    def describe(change: RowChange, changes: Changes) -> Iterator[str]:
        row = changes.whole(change)
        project = changes.look("tracker_projects", row.get("project")).get("name", "?")
        yield from _told(change, f"{kind} {quote(row.get('name'))} of {project}")

    return describe


def _told(change: RowChange, name: str) -> Iterator[str]:
    if change.kind == "added":
        yield f"{name} was created"
    elif change.kind == "removed":
        yield f"{name} was deleted"
    elif told := alterations(change, _NOISE):
        yield f"{name}: {told}"


def _link(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    verb = {"added": "added to", "removed": "removed from", "changed": "changed on"}[change.kind]
    yield f"link {row.get('url')} {verb} {_of(changes, row)}"


def _attachment(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    try:
        name = json.loads(str(row.get("attributes"))).get("name")
    except (ValueError, AttributeError):
        name = None
    if row.get("is_uploaded") and change.kind != "removed":
        yield f"file {name or '?'} was attached to {_of(changes, row)}"
    elif change.kind == "removed":
        yield f"file {name or '?'} was removed from {_of(changes, row)}"


def _relation(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    other = _reference(changes, changes.look("tracker_issues", row.get("related_issue")))
    verb = {"added": "was added", "removed": "was removed", "changed": "was changed"}[change.kind]
    yield f"relation {quote(row.get('relation_type'))} of {_of(changes, row)} to {other} {verb}"


def _reference(changes: Changes, row: Mapping[str, Value]) -> str:
    """`FE-12`."""
    prefix = changes.look("tracker_projects", row.get("project")).get("identifier", "?")
    return f"{prefix}-{row.get('sequence_id', '?')}"


def _of(changes: Changes, row: Mapping[str, Value]) -> str:
    return _reference(changes, changes.look("tracker_issues", row.get("issue")))


def _state(changes: Changes, state: Value) -> str:
    return str(changes.look("tracker_states", state).get("name", state))


def _label(changes: Changes, label: str) -> str:
    return str(changes.look("tracker_labels", label).get("name", label))


def _list(value: Value) -> list[str]:
    try:
        return [str(one) for one in json.loads(str(value))]
    except ValueError:  # Cut, since it was so long.
        return [str(value)]


DESCRIBERS: dict[str, Describer] = {
    "tracker_projects": _project,
    "tracker_members": _member,
    "tracker_states": _named("state"),
    "tracker_labels": _named("label"),
    "tracker_cycles": _named("cycle"),
    "tracker_modules": _named("module"),
    "tracker_issues": _issue,
    "tracker_comments": _comment,
    "tracker_links": _link,
    "tracker_attachments": _attachment,
    "tracker_relations": _relation,
    "tracker_cycle_issues": _planned("cycle", "tracker_cycles", "cycle"),
    "tracker_module_issues": _planned("module", "tracker_modules", "module"),
    "tracker_activities": silent,
    "tracker_accounts": silent,
}
