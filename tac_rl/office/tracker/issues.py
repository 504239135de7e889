"""Issues: the operations, with the record of every change."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.people import derived_id
from tac_rl.office.tracker.projects import default_state
from tac_rl.office.tracker.records import (
    Act,
    add,
    change,
    check_external,
    next_order,
    refused,
    remove,
    text_of_html,
)
from tac_rl.office.tracker.resources import ISSUE


def create_issue(
    act: Act,
    project: str,
    values: Mapping[str, Any],
    *,
    identifier: str | None = None,
    number: int | None = None,
) -> str:
    """A new issue with the project's next number, or a given one; returns its UUID."""
    tenant = act.tenant
    check_external(tenant, "tracker_issues", project, values, "Issue")
    ISSUE.check_order(values)
    of_project = tenant.row("SELECT * FROM tracker_projects WHERE id = ?", project)
    assert of_project is not None
    record = {**act.record(identifier), **values, "project": project, "archived_at": None}
    record["state"] = record["state"] or default_state(tenant, project)
    if record["state"] is None:
        raise refused("The project has no state that an issue could be in")
    if not json.loads(record["assignees"]) and of_project["default_assignee"] is not None:
        record["assignees"] = json.dumps([of_project["default_assignee"]])
    if record["sort_order"] is None:
        record["sort_order"] = next_order(
            tenant, "tracker_issues", 10000, "project = ? AND state = ?", project, record["state"]
        )
    record["completed_at"] = act.at if _is_done(tenant, record["state"]) else None
    record["description_stripped"] = text_of_html(record["description_html"])
    record["sequence_id"] = number or of_project["last_number"] + 1
    with tenant.transaction():
        add(tenant, "tracker_issues", record)
        tenant.db.execute(
            "UPDATE tracker_projects SET last_number = max(last_number, ?) WHERE id = ?",
            (record["sequence_id"], project),
        )
        record_activity(act, project, record["id"], "created", comment="created the issue")
    return str(record["id"])


def update_issue(act: Act, issue: str, values: Mapping[str, Any]) -> None:
    """Change fields of an issue and record each change."""
    tenant = act.tenant
    row = tenant.row("SELECT * FROM tracker_issues WHERE id = ?", issue)
    assert row is not None
    project = row["project"]
    check_external(tenant, "tracker_issues", project, values, "Issue", but=issue)
    ISSUE.check_order({**dict(row), **values})
    if values.get("parent") is not None and _is_above(tenant, issue, values["parent"]):
        raise refused("An issue can't be its own parent")
    changed = {name: value for name, value in values.items() if value != row[name]}
    if "state" in changed:
        if changed["state"] is None:
            changed["state"] = default_state(tenant, project) or row["state"]
        changed["completed_at"] = act.at if _is_done(tenant, changed["state"]) else None
    if "description_html" in changed:
        changed["description_stripped"] = text_of_html(changed["description_html"])
    if changed.get("sort_order", 0.0) is None:
        del changed["sort_order"]
    with tenant.transaction():
        change(act, "tracker_issues", issue, changed)
        _record_changes(act, project, issue, dict(row), changed)


def delete_issue(act: Act, project: str, issue: str) -> None:
    with act.tenant.transaction():
        remove(act.tenant, "tracker_issues", issue)
        record_activity(act, project, None, "deleted", field="issue", comment="deleted the issue")


def archive_issue(act: Act, issue: str, *, archived: bool) -> None:
    tenant = act.tenant
    row = tenant.row("SELECT project, state, archived_at FROM tracker_issues WHERE id = ?", issue)
    assert row is not None
    group = tenant.value('SELECT "group" FROM tracker_states WHERE id = ?', row["state"])
    if archived and group not in ("completed", "cancelled"):
        raise refused("Can only archive completed or cancelled state group issue")
    with tenant.transaction():
        change(act, "tracker_issues", issue, {"archived_at": act.at[:10] if archived else None})
        done = "has archived the issue" if archived else "has restored the issue"
        new = "archive" if archived else "restore"
        record_activity(act, row["project"], issue, "updated", field="archived_at", new=new, comment=done)


def _is_done(tenant: Tenant, state: str) -> bool:
    return bool(tenant.value("SELECT \"group\" = 'completed' FROM tracker_states WHERE id = ?", state))


def _is_above(tenant: Tenant, issue: str, candidate: str) -> bool:
    """Whether `candidate` is the issue or one of its descendants, and so can't be its parent."""
    at: str | None = candidate
    seen: set[str] = set()
    while at is not None and at not in seen:
        if at == issue:
            return True
        seen.add(at)
        at = tenant.value("SELECT parent FROM tracker_issues WHERE id = ?", at)
    return False


# Activities


def record_activity(
    act: Act,
    project: str,
    issue: str | None,
    verb: str,
    *,
    field: str | None = None,
    old: str | None = None,
    new: str | None = None,
    old_id: str | None = None,
    new_id: str | None = None,
    comment: str = "",
    issue_comment: str | None = None,
) -> None:
    tenant = act.tenant
    record: dict[str, Any] = {
        "id": tenant.new_uuid(),
        "created_at": act.at,
        "updated_at": act.at,
        "actor": act.username,
    }
    record |= {"actor": act.username, "project": project, "issue": issue, "issue_comment": issue_comment}
    record |= {"verb": verb, "field": field, "old_value": old, "new_value": new, "comment": comment}
    record |= {"old_identifier": old_id, "new_identifier": new_id, "epoch": _epoch(act.at)}
    add(tenant, "tracker_activities", record)


def _epoch(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())


_PLAIN = ("name", "priority", "start_date", "target_date")


def _record_changes(
    act: Act, project: str, issue: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    tenant = act.tenant

    def tell(field: str, **what: Any) -> None:
        said = field.replace("_", " ")
        record_activity(act, project, issue, "updated", field=field, comment=f"updated the {said} to", **what)

    for field in _PLAIN:
        if field in new:
            tell(field, old=old[field], new=new[field])
    if "description_html" in new:
        tell("description", old=old["description_html"], new=new["description_html"])
    if "state" in new:
        name = "SELECT name FROM tracker_states WHERE id = ?"
        before, after = old["state"], new["state"]
        tell(
            "state",
            old=tenant.value(name, before),
            new=tenant.value(name, after),
            old_id=before,
            new_id=after,
        )
    if "parent" in new:
        before, after = old["parent"], new["parent"]
        tell("parent", old=shown_number(tenant, before), new=shown_number(tenant, after), new_id=after)
    if "assignees" in new:
        _record_list(act, project, issue, "assignees", old, new, lambda username: username.replace("_", ""))
    if "labels" in new:
        label = "SELECT name FROM tracker_labels WHERE id = ?"
        _record_list(act, project, issue, "labels", old, new, lambda found: tenant.value(label, found))


def _record_list(
    act: Act,
    project: str,
    issue: str,
    field: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    name: Callable[[str], Any],
) -> None:
    before, after = json.loads(old[field]), json.loads(new[field])
    singular = field.removesuffix("s")

    def identifier(item: str) -> str:
        if field == "labels":
            return item
        given = act.tenant.value("SELECT id FROM tracker_accounts WHERE username = ?", item)
        return str(given or derived_id(f"user {item}"))

    for item in (item for item in after if item not in before):
        said, found = f"added {singular} ", identifier(item)
        record_activity(
            act, project, issue, "updated", field=field, new=name(item), new_id=found, comment=said
        )
    for item in (item for item in before if item not in after):
        said, found = f"removed {singular} ", identifier(item)
        record_activity(
            act, project, issue, "updated", field=field, old=name(item), old_id=found, comment=said
        )


def shown_number(tenant: Tenant, issue: str | None) -> str | None:
    """`PROJ-12`."""
    found: str | None = tenant.value(
        "SELECT p.identifier || '-' || i.sequence_id FROM tracker_issues i"
        " JOIN tracker_projects p ON p.id = i.project WHERE i.id = ?",
        issue,
    )
    return found
