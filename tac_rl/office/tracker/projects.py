"""Projects, their members, states and labels: the operations."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.people import AGENT
from tac_rl.office.tracker.records import (
    Act,
    Problem,
    add,
    change,
    check_external,
    next_order,
    refused,
    remove,
    taken,
)

ADMIN, MEMBER, GUEST = 20, 15, 5
"""Roles of members, by Plane's numbers."""

DEFAULT_STATES = (
    ("Backlog", "backlog", "#A3A3A3"),
    ("Todo", "unstarted", "#3A3A3A"),
    ("In Progress", "started", "#F59E0B"),
    ("Done", "completed", "#16A34A"),
    ("Cancelled", "cancelled", "#EF4444"),
)
"""Name, group and colour of a new project's states; the first is its default."""
TRIAGE = "Triage"
"""The state of issues that wait in the intake."""


def create_project(
    act: Act, values: Mapping[str, Any], *, identifier: str | None = None, default_states: bool = True
) -> str:
    """A project with the actor (and its lead) as administrators; returns its UUID."""
    tenant = act.tenant
    values = {**values, "identifier": _check_names(tenant, values)}
    record = {**act.record(identifier), **values, "archived_at": None, "last_number": 0}
    with tenant.transaction():
        add(tenant, "tracker_projects", record)
        project: str = record["id"]
        for username in dict.fromkeys((act.username, values.get("project_lead"))):
            if username is not None:
                set_member(act, project, username, ADMIN)
        if default_states:
            for number, (name, group, color) in enumerate(DEFAULT_STATES):
                state = {"name": name, "group": group, "color": color, "description": ""}
                flags = {"default": number == 0, "sequence": 15000.0 + 10000 * number}
                create_state(act, project, {**state, **flags})
    return project


def update_project(act: Act, project: str, values: Mapping[str, Any]) -> None:
    tenant = act.tenant
    row = tenant.row("SELECT * FROM tracker_projects WHERE id = ?", project)
    assert row is not None
    if row["archived_at"] is not None:
        raise refused("Archived project cannot be updated")
    if "name" in values or "identifier" in values:
        merged = {"name": row["name"], "identifier": row["identifier"], **values}
        values = {**values, "identifier": _check_names(tenant, merged, but=project)}
    with tenant.transaction():
        change(act, "tracker_projects", project, values)
        if values.get("project_lead") is not None:
            set_member(act, project, values["project_lead"], ADMIN)


def _check_names(tenant: Tenant, values: Mapping[str, Any], but: str = "") -> str:
    """The identifier in capitals; a name or identifier of another project is refused."""
    identifier = str(values["identifier"]).upper()
    if tenant.value("SELECT 1 FROM tracker_projects WHERE identifier = ? AND id != ?", identifier, but):
        raise Problem(410, {"identifier": "The project identifier is already taken"})
    if tenant.value("SELECT 1 FROM tracker_projects WHERE name = ? AND id != ?", values["name"], but):
        raise Problem(410, {"name": "The project name is already taken"})
    return identifier


def archive_project(act: Act, project: str, *, archived: bool) -> None:
    change(act, "tracker_projects", project, {"archived_at": act.at if archived else None})


def delete_project(tenant: Tenant, project: str) -> None:
    """With everything that belongs to it (of its attachments, the records)."""
    remove(tenant, "tracker_projects", project)


# Members


def role_in(tenant: Tenant, project: str, username: str) -> int:
    """0 for somebody who is not a member (and in a project that isn't there)."""
    return (
        tenant.value("SELECT role FROM tracker_members WHERE project = ? AND username = ?", project, username)
        or 0
    )


def set_member(act: Act, project: str, username: str, role: int) -> None:
    """Add a member, or change the role of one."""
    act.tenant.db.execute(
        "INSERT INTO tracker_members VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (project, username) DO UPDATE SET role = excluded.role",
        (
            project,
            username,
            role,
            next_order(act.tenant, "tracker_members", -10000, "username = ?", username),
            act.at,
        ),
    )


def remove_member(tenant: Tenant, project: str, username: str) -> None:
    tenant.db.execute("DELETE FROM tracker_members WHERE project = ? AND username = ?", (project, username))


def workspace_role(tenant: Tenant, username: str) -> int:
    person = tenant.person(username)
    return ADMIN if username == AGENT or (person is not None and person.admin) else MEMBER


# States


def create_state(act: Act, project: str, values: Mapping[str, Any], *, identifier: str | None = None) -> str:
    """A state of issues; returns its UUID. With `default` the project's other states cease to be it."""
    tenant = act.tenant
    _check_name(tenant, "tracker_states", project, values, "State")
    check_external(tenant, "tracker_states", project, values, "State")
    record = {**act.record(identifier), "is_triage": False, **values, "project": project}
    record["slug"] = _slug(values["name"])
    if record["sequence"] is None:
        record["sequence"] = next_order(tenant, "tracker_states", 15000, "project = ?", project)
    with tenant.transaction():
        _one_default(tenant, project, values)
        add(tenant, "tracker_states", record)
    return str(record["id"])


def update_state(act: Act, project: str, state: str, values: Mapping[str, Any]) -> None:
    tenant = act.tenant
    _check_name(tenant, "tracker_states", project, values, "State", but=state)
    check_external(tenant, "tracker_states", project, values, "State", but=state)
    slug = {"slug": _slug(values["name"])} if "name" in values else {}
    with tenant.transaction():
        _one_default(tenant, project, values)
        change(act, "tracker_states", state, {**values, **slug})


def delete_state(tenant: Tenant, state: str) -> None:
    row = tenant.row("SELECT * FROM tracker_states WHERE id = ?", state)
    assert row is not None
    if row["default"]:
        raise refused("Default state cannot be deleted")
    if tenant.value("SELECT 1 FROM tracker_issues WHERE state = ?", state) is not None:
        raise refused("The state is not empty, only empty states can be deleted")
    with tenant.transaction():
        tenant.db.execute(
            "UPDATE tracker_projects SET default_state = NULL WHERE default_state = ?", (state,)
        )
        remove(tenant, "tracker_states", state)


def default_state(tenant: Tenant, project: str) -> str | None:
    """Of a new issue: the default, else the first; None where a project has no states."""
    found: str | None = tenant.value(
        'SELECT id FROM tracker_states WHERE project = ? AND NOT is_triage ORDER BY "default" DESC, sequence',
        project,
    )
    return found


def triage_state(act: Act, project: str) -> str:
    """The state of issues in the intake, made when it is first needed."""
    found = act.tenant.value("SELECT id FROM tracker_states WHERE project = ? AND is_triage", project)
    if found is not None:
        return str(found)
    name, number = TRIAGE, 1
    while act.tenant.value("SELECT 1 FROM tracker_states WHERE project = ? AND name = ?", project, name):
        number += 1
        name = f"{TRIAGE} {number}"
    values = {"name": name, "group": "triage", "color": "#FF7700", "description": "Issues in the intake"}
    return create_state(act, project, {**values, "default": False, "is_triage": True, "sequence": 65535.0})


def _one_default(tenant: Tenant, project: str, values: Mapping[str, Any]) -> None:
    if values.get("default"):
        tenant.db.execute('UPDATE tracker_states SET "default" = 0 WHERE project = ?', (project,))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:100]


# Labels


def create_label(act: Act, project: str, values: Mapping[str, Any]) -> str:
    tenant = act.tenant
    _check_name(tenant, "tracker_labels", project, values, "Label")
    check_external(tenant, "tracker_labels", project, values, "Label")
    record = {**act.record(), **values, "project": project}
    if record["sort_order"] is None:
        record["sort_order"] = next_order(tenant, "tracker_labels", 10000, "project = ?", project)
    add(tenant, "tracker_labels", record)
    return str(record["id"])


def update_label(act: Act, project: str, label: str, values: Mapping[str, Any]) -> None:
    _check_name(act.tenant, "tracker_labels", project, values, "Label", but=label)
    check_external(act.tenant, "tracker_labels", project, values, "Label", but=label)
    change(act, "tracker_labels", label, values)


def delete_label(tenant: Tenant, project: str, label: str) -> None:
    """Also from the issues that have it."""
    with tenant.transaction():
        for row in tenant.rows(
            "SELECT id, labels FROM tracker_issues WHERE project = ? AND instr(labels, ?)", project, label
        ):
            left = [other for other in json.loads(row["labels"]) if other != label]
            tenant.db.execute(
                "UPDATE tracker_issues SET labels = ? WHERE id = ?", (json.dumps(left), row["id"])
            )
        remove(tenant, "tracker_labels", label)


def _check_name(
    tenant: Tenant, table: str, project: str, values: Mapping[str, Any], what: str, but: str = ""
) -> None:
    if "name" not in values:
        return
    other = tenant.value(
        f"SELECT id FROM {table} WHERE project = ? AND name = ? AND id != ?", project, values["name"], but
    )
    if other is not None:
        raise taken(f"{what} with the same name", other)
