"""Files attached to issues: a record in the database, the bytes in the tenant's folder `tracker`."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.issues import record_activity
from tac_rl.office.tracker.people import WORKSPACE_ID
from tac_rl.office.tracker.records import Act, add, change, remove

FOLDER = "tracker"
MOST_BYTES = 5 * 1024 * 1024
"""Of one attachment, as in Plane."""


def create_attachment(
    act: Act, project: str, issue: str, attributes: str, size: int, values: Mapping[str, Any]
) -> str:
    """The record of a file whose bytes are still to come; returns its UUID."""
    identifier = act.tenant.new_uuid()
    record = {**act.record(identifier), **values, "project": project, "issue": issue, "size": size}
    record |= {"attributes": attributes, "asset": f"{WORKSPACE_ID}/{identifier}", "is_uploaded": False}
    with act.tenant.transaction():
        add(act.tenant, "tracker_attachments", record)
        what = {"field": "attachment", "new": record["asset"], "new_id": identifier}
        record_activity(act, project, issue, "created", comment="created an attachment", **what)
    return identifier


def keep_bytes(act: Act, attachment: str, data: bytes) -> None:
    """Store the file. It replaces one that was there: files may be shared with a snapshot."""
    folder = act.tenant.folder / FOLDER
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path_of(act.tenant, attachment))
    change(act, "tracker_attachments", attachment, {"is_uploaded": True, "size": len(data)})


def path_of(tenant: Tenant, attachment: str) -> Path:
    return tenant.folder / FOLDER / attachment


def delete_attachment(act: Act, project: str, issue: str, attachment: str) -> None:
    with act.tenant.transaction():
        remove(act.tenant, "tracker_attachments", attachment)
        what = {"field": "attachment", "old_id": attachment}
        record_activity(act, project, issue, "deleted", comment="deleted the attachment", **what)
    path_of(act.tenant, attachment).unlink(missing_ok=True)
