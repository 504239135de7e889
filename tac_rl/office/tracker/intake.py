"""The intake: issues that wait for somebody to accept, reject or snooze them."""

from collections.abc import Mapping
from typing import Any

from tac_rl.office.tracker import issues
from tac_rl.office.tracker.projects import default_state, triage_state
from tac_rl.office.tracker.records import Act, add, change, refused

ACCEPTED, REJECTED, DUPLICATE = 1, -1, 2


def create_intake(act: Act, project: str, values: Mapping[str, Any], issue: Mapping[str, Any]) -> str:
    """A new issue in the intake; returns the issue's UUID."""
    tenant = act.tenant
    if not tenant.value("SELECT intake_view FROM tracker_projects WHERE id = ?", project):
        raise refused("Intake is not enabled for this project enable it through the project's api")
    with tenant.transaction():
        made = issues.create_issue(act, project, {**issue, "state": triage_state(act, project)})
        add(tenant, "tracker_intake", {**act.record(), **values, "project": project, "issue": made})
    return made


def update_intake(act: Act, intake: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Change what is noted of an issue in the intake; accepting or rejecting it moves the issue on."""
    tenant = act.tenant
    with tenant.transaction():
        change(act, "tracker_intake", intake["id"], values)
        if values.get("status") in (REJECTED, DUPLICATE):
            state = tenant.value(
                "SELECT id FROM tracker_states WHERE project = ? AND \"group\" = 'cancelled' ORDER BY sequence",
                intake["project"],
            )
        elif values.get("status") == ACCEPTED:
            state = default_state(tenant, intake["project"])
        else:
            state = None
        if state is not None and _waits(act, intake["issue"]):
            issues.update_issue(act, intake["issue"], {"state": state})


def _waits(act: Act, issue: str) -> bool:
    return bool(
        act.tenant.value(
            "SELECT is_triage FROM tracker_states WHERE id = (SELECT state FROM tracker_issues WHERE id = ?)",
            issue,
        )
    )
