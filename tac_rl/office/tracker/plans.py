"""Cycles (sprints) and modules, and which issues are planned in them."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.issues import record_activity
from tac_rl.office.tracker.records import (
    Act,
    Problem,
    add,
    change,
    check_external,
    missing,
    next_order,
    refused,
    remove,
)
from tac_rl.office.tracker.resources import CYCLE, MODULE


def create_cycle(act: Act, project: str, values: Mapping[str, Any], *, identifier: str | None = None) -> str:
    tenant = act.tenant
    if (values["start_date"] is None) != (values["end_date"] is None):
        raise refused("Both start date and end date are either required or are to be null")
    CYCLE.check_order(values)
    check_external(tenant, "tracker_cycles", project, values, "Cycle")
    record = {**act.record(identifier), **values, "project": project, "archived_at": None}
    record["owned_by"] = act.username
    if record["sort_order"] is None:
        record["sort_order"] = next_order(tenant, "tracker_cycles", -10000, "project = ?", project)
    add(tenant, "tracker_cycles", record)
    return str(record["id"])


def update_cycle(act: Act, cycle: str, values: Mapping[str, Any]) -> None:
    row = act.tenant.row("SELECT * FROM tracker_cycles WHERE id = ?", cycle)
    assert row is not None
    if row["archived_at"] is not None:
        raise refused("Archived cycle cannot be edited")
    if is_over(row, act) and set(values) - {"sort_order"}:
        raise refused("The Cycle has already been completed so it cannot be edited")
    CYCLE.check_order({**dict(row), **values})
    check_external(act.tenant, "tracker_cycles", row["project"], values, "Cycle", but=cycle)
    change(act, "tracker_cycles", cycle, values)


def is_over(cycle: sqlite3.Row, act: Act) -> bool:
    return cycle["end_date"] is not None and str(cycle["end_date"]) < act.at[:10]


def archive_cycle(act: Act, cycle: str, *, archived: bool) -> None:
    row = act.tenant.row("SELECT * FROM tracker_cycles WHERE id = ?", cycle)
    assert row is not None
    if archived and not is_over(row, act):
        raise refused("Only completed cycles can be archived")
    change(act, "tracker_cycles", cycle, {"archived_at": act.at if archived else None})


def delete_cycle(act: Act, project: str, cycle: str) -> None:
    _delete_plan(act, project, "tracker_cycle", "cycle", cycle)


def create_module(act: Act, project: str, values: Mapping[str, Any], *, identifier: str | None = None) -> str:
    tenant = act.tenant
    MODULE.check_order(values)
    _check_module_name(tenant, project, values, "")
    check_external(tenant, "tracker_modules", project, values, "Module")
    record = {**act.record(identifier), **values, "project": project, "archived_at": None}
    if record["sort_order"] is None:
        record["sort_order"] = next_order(tenant, "tracker_modules", -10000, "project = ?", project)
    add(tenant, "tracker_modules", record)
    return str(record["id"])


def update_module(act: Act, module: str, values: Mapping[str, Any]) -> None:
    row = act.tenant.row("SELECT * FROM tracker_modules WHERE id = ?", module)
    assert row is not None
    if row["archived_at"] is not None:
        raise refused("Archived module cannot be edited")
    MODULE.check_order({**dict(row), **values})
    _check_module_name(act.tenant, row["project"], values, module)
    check_external(act.tenant, "tracker_modules", row["project"], values, "Module", but=module)
    change(act, "tracker_modules", module, values)


def _check_module_name(tenant: Tenant, project: str, values: Mapping[str, Any], but: str) -> None:
    other = tenant.value(
        "SELECT 1 FROM tracker_modules WHERE project = ? AND name = ? AND id != ?",
        *(project, values.get("name"), but),
    )
    if other is not None:
        raise refused("Module with this name already exists")


def archive_module(act: Act, module: str, *, archived: bool) -> None:
    status = act.tenant.value("SELECT status FROM tracker_modules WHERE id = ?", module)
    if archived and status not in ("completed", "cancelled"):
        raise refused("Only completed or cancelled modules can be archived")
    change(act, "tracker_modules", module, {"archived_at": act.at if archived else None})


def delete_module(act: Act, project: str, module: str) -> None:
    _delete_plan(act, project, "tracker_module", "module", module)


def _delete_plan(act: Act, project: str, prefix: str, kind: str, plan: str) -> None:
    tenant = act.tenant
    name = tenant.value(f"SELECT name FROM {prefix}s WHERE id = ?", plan)
    with tenant.transaction():
        for row in tenant.rows(f"SELECT issue FROM {prefix}_issues WHERE {kind} = ?", plan):
            _record(act, project, row["issue"], kind, "deleted", old=name, old_id=plan)
        remove(tenant, f"{prefix}s", plan)


def _record(act: Act, project: str, issue: str, kind: str, verb: str, **what: Any) -> None:
    said = {"created": "added", "updated": "updated", "deleted": "removed"}[verb]
    record_activity(act, project, issue, verb, field=f"{kind}s", comment=f"{said} {kind}", **what)


# Planning issues


def _of_project(tenant: Tenant, project: str, issues: Sequence[str]) -> list[str]:
    """The issues, each once; one of another project is refused."""
    wanted = list(dict.fromkeys(issues))
    for issue in wanted:
        if tenant.value("SELECT project FROM tracker_issues WHERE id = ?", issue) != project:
            raise missing()
    return wanted


def put_in_cycle(act: Act, project: str, cycle: str, issues: Sequence[str]) -> None:
    """Plan issues in a cycle; one that was in another cycle moves."""
    tenant = act.tenant
    row = tenant.row("SELECT * FROM tracker_cycles WHERE id = ?", cycle)
    assert row is not None
    with tenant.transaction():
        for issue in _of_project(tenant, project, issues):
            old = tenant.row("SELECT * FROM tracker_cycle_issues WHERE issue = ?", issue)
            if old is None:
                ends = {"project": project, "issue": issue, "cycle": cycle}
                add(tenant, "tracker_cycle_issues", {**act.record(), **ends})
                _record(act, project, issue, "cycle", "created", new=row["name"], new_id=cycle)
            elif old["cycle"] != cycle:
                name = tenant.value("SELECT name FROM tracker_cycles WHERE id = ?", old["cycle"])
                change(act, "tracker_cycle_issues", old["id"], {"cycle": cycle})
                what = {"old": name, "old_id": old["cycle"], "new": row["name"], "new_id": cycle}
                _record(act, project, issue, "cycle", "updated", **what)


def take_from_cycle(act: Act, project: str, cycle: str, issue: str) -> None:
    _take(act, project, "tracker_cycle", "cycle", cycle, issue)


def transfer(act: Act, project: str, cycle: str, new_cycle: str) -> None:
    """Move the issues of a cycle that are neither completed nor cancelled to another one."""
    tenant = act.tenant
    target = tenant.row("SELECT * FROM tracker_cycles WHERE id = ? AND project = ?", new_cycle, project)
    if target is None:
        raise missing()
    if is_over(target, act):
        raise refused("The cycle where the issues are transferred is already completed")
    unfinished = tenant.rows(
        "SELECT c.issue FROM tracker_cycle_issues c JOIN tracker_issues i ON i.id = c.issue"
        " JOIN tracker_states s ON s.id = i.state"
        " WHERE c.cycle = ? AND s.\"group\" NOT IN ('completed', 'cancelled') ORDER BY c.created_at",
        cycle,
    )
    put_in_cycle(act, project, new_cycle, [row["issue"] for row in unfinished])


def put_in_module(act: Act, project: str, module: str, issues: Sequence[str]) -> None:
    """Plan issues in a module; an issue may be in several."""
    tenant = act.tenant
    name = tenant.value("SELECT name FROM tracker_modules WHERE id = ?", module)
    find = "SELECT 1 FROM tracker_module_issues WHERE module = ? AND issue = ?"
    with tenant.transaction():
        for issue in _of_project(tenant, project, issues):
            if tenant.value(find, module, issue) is None:
                ends = {"project": project, "issue": issue, "module": module}
                add(tenant, "tracker_module_issues", {**act.record(), **ends})
                _record(act, project, issue, "module", "created", new=name, new_id=module)


def take_from_module(act: Act, project: str, module: str, issue: str) -> None:
    _take(act, project, "tracker_module", "module", module, issue)


def _take(act: Act, project: str, prefix: str, kind: str, plan: str, issue: str) -> None:
    tenant = act.tenant
    found = tenant.value(f"SELECT id FROM {prefix}_issues WHERE {kind} = ? AND issue = ?", plan, issue)
    if found is None:
        raise missing()
    name = tenant.value(f"SELECT name FROM {prefix}s WHERE id = ?", plan)
    with tenant.transaction():
        remove(tenant, f"{prefix}_issues", found)
        _record(act, project, issue, kind, "deleted", old=name, old_id=plan)


def require_issues(document: Any) -> list[Any]:
    """The `issues` of a body that names some."""
    issues = document.get("issues") if isinstance(document, dict) else None
    if not isinstance(issues, list) or not issues:
        raise Problem(400, {"error": "Issues are required"})
    return issues
