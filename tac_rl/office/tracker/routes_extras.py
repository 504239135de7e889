"""Routes: attachments and the intake."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker import attachments, intake, issues, listings
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.collecting import ISSUE_PATHS
from tac_rl.office.tracker.fields import Invalid, text_of
from tac_rl.office.tracker.listings import Listing
from tac_rl.office.tracker.projects import MEMBER
from tac_rl.office.tracker.records import Problem, missing, refused
from tac_rl.office.tracker.web import (
    FIELDS,
    PAGING,
    PROJECT,
    Api,
    Call,
    Handler,
    answer,
    done,
    listed,
    paged,
    ref,
)

_OVERHEAD = 65_536
"""What a multipart body may have beside the file."""


def add_routes(api: Api) -> None:
    paths = [f"{ISSUE_PATHS[0]}/attachments", f"{ISSUE_PATHS[1]}/issue-attachments"]
    paths.append(f"{ISSUE_PATHS[1]}/attachments")
    shown, also = ref(r.ATTACHMENT), paths[1:]
    api.route("GET", paths[0], list_attachments, "Files of an issue", gives=listed(shown), also=also)
    takes = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 255},
            "type": {"type": "string"},
            "size": {"type": "integer", "minimum": 1},
        },
        "required": ["name", "size"],
    }
    api.route(
        "POST",
        paths[0],
        create_attachment,
        "Announce a file, to be sent to the answer's `upload_data.url`; or send it (multipart, `asset`)",
        gives={"type": "object"},
        status=200,
        takes=takes,
        also=also,
    )
    ones = [f"{path}/{{item_id:uuid}}" for path in paths]
    also = ones[1:]
    path = ones[0]
    api.route("GET", path, get_attachment, "Where a file is", gives=None, status=302, also=also)
    takes = {"type": "object", "properties": {"is_uploaded": {"type": "boolean"}}}
    api.route("PATCH", path, mark_uploaded, "A file is there", gives=None, status=204, takes=takes, also=also)
    api.route("DELETE", path, delete_attachment, "Delete a file", gives=None, status=204, also=also)
    # Like Plane's object storage, these need no key: who knows the UUID may send and get the file.
    path = "/uploads/{item_id:uuid}"
    api.app.add_api_route(path, _bare(upload), methods=["POST"], include_in_schema=False)
    api.app.add_api_route(path, _bare(download), methods=["GET"], include_in_schema=False)
    _add_intake(api)


def _bare(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(Call(request))

    return endpoint


# Attachments


def _attachments(call: Call, least: int = 5) -> tuple[str, str, Listing]:
    project = call.project(least)
    issue = call.require(listings.any_issue_of(project), call.id("issue_id"))
    return project, issue, listings.of_issue(r.ATTACHMENT, project, issue)


async def list_attachments(call: Call) -> Response:
    _, _, listing = _attachments(call)
    rows, _ = listing.page(call.tenant, 1000, 0)
    return answer(call.shown(r.ATTACHMENT, rows))


async def create_attachment(call: Call) -> Response:
    project, issue, listing = _attachments(call, MEMBER)
    if call.request.headers.get("content-type", "").startswith("multipart/form-data"):
        file, name = await _sent_file(call, "asset")
        attributes = json.dumps({"name": name, "size": len(file)})
        made = attachments.create_attachment(call.act, project, issue, attributes, len(file), {})
        attachments.keep_bytes(call.act, made, file)
        return call.record(listing, made)
    document = await call.document()
    if not isinstance(document, dict):
        raise refused("Expected an object")
    size = document.get("size")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1 or not document.get("name"):
        raise Problem(400, {"error": "Invalid request.", "status": False})
    values = r.ATTACHMENT.parse(document, call.scope(project))
    try:
        name, kind = text_of(document["name"])[:255], text_of(document.get("type") or "")[:255]
    except Invalid as invalid:
        raise refused(str(invalid)) from None
    size = min(size, attachments.MOST_BYTES)
    attributes = json.dumps({"name": name, "type": kind, "size": size})
    made = attachments.create_attachment(call.act, project, issue, attributes, size, values)
    row = listing.one(call.tenant, made)
    assert row is not None
    shown = call.shown(r.ATTACHMENT, [row])[0]
    url = f"{call.request.base_url}uploads/{made}"
    upload = {"url": url, "fields": {"key": shown.get("asset", ""), "Content-Type": kind}}
    return answer({**shown, "upload_data": upload, "asset_id": made, "attachment": shown, "asset_url": url})


async def get_attachment(call: Call) -> Response:
    _, _, listing = _attachments(call)
    made = call.require(listing, call.id("item_id"))
    if not _is_there(call.tenant, _attachment(call)):
        raise missing()
    return RedirectResponse(f"{call.request.base_url}uploads/{made}", 302)


async def mark_uploaded(call: Call) -> Response:
    _, _, listing = _attachments(call, MEMBER)
    call.require(listing, call.id("item_id"))
    await call.document()
    return done()


async def delete_attachment(call: Call) -> Response:
    project, issue, listing = _attachments(call, MEMBER)
    made = call.require(listing, call.id("item_id"))
    attachments.delete_attachment(call.act, project, issue, made)
    return done()


def _attachment(call: Call) -> Any:
    row = call.tenant.row("SELECT * FROM tracker_attachments WHERE id = ?", call.id("item_id"))
    if row is None:
        raise missing()
    return row


def _is_there(tenant: Tenant, row: Any) -> bool:
    return bool(row["is_uploaded"]) and attachments.path_of(tenant, row["id"]).is_file()


async def upload(call: Call) -> Response:
    row = _attachment(call)
    if row["is_uploaded"]:
        raise refused("The file is already there")
    file, _ = await _sent_file(call, "file")
    call.username = row["created_by"]
    attachments.keep_bytes(call.act, row["id"], file)
    return done()


async def download(call: Call) -> Response:
    row = _attachment(call)
    if not _is_there(call.tenant, row):
        raise missing()
    path = attachments.path_of(call.tenant, row["id"])
    attributes = json.loads(row["attributes"])
    name = str(attributes.get("name", "file"))
    # Always as a download of bytes: what somebody attached is never shown as a page of ours.
    return FileResponse(path, media_type="application/octet-stream", filename=name)


async def _sent_file(call: Call, field: str) -> tuple[bytes, str]:
    """The file of a multipart form, and its name."""
    length = call.request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > attachments.MOST_BYTES + _OVERHEAD:
        raise Problem(413, {"error": "File too large. Size should not exceed 5 MB."})
    try:
        async with call.request.form(max_files=1, max_fields=20) as form:
            file = form.get(field)
            if not isinstance(file, UploadFile):
                raise refused(f"A file is expected in the field '{field}'")
            data, name = await file.read(), (file.filename or "file")[:255]
    except MultiPartException as error:
        raise refused(error.message) from None
    if len(data) > attachments.MOST_BYTES:
        raise Problem(413, {"error": "File too large. Size should not exceed 5 MB."})
    return data, name


# The intake


def _add_intake(api: Api) -> None:
    paths = [f"{PROJECT}/intake-issues", f"{PROJECT}/inbox-issues"]
    ones = [f"{path}/{{issue_id:uuid}}" for path in paths]
    shown = ref(r.INTAKE)
    also = paths[1:]
    query = (*PAGING, *FIELDS)
    api.route(
        "GET", paths[0], list_intake, "Issues in the intake", gives=paged(shown), query=query, also=also
    )
    issue = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("name", "description_html", "priority")},
    }
    changes = r.INTAKE.body_schema(partial=True)
    changes["properties"]["issue"] = issue
    takes = {**changes, "required": ["issue"]}
    api.route("POST", paths[0], create_intake, "New in the intake", gives=shown, takes=takes, also=also)
    api.route("GET", ones[0], get_intake, "One in the intake", gives=shown, query=FIELDS, also=ones[1:])
    path = ones[0]
    api.route("PATCH", path, update_intake, "Change it", gives=shown, takes=changes, also=ones[1:])
    also = [f"{ones[1]}/status"]
    api.route("PATCH", f"{path}/status", update_intake, "Decide on it", gives=shown, takes=changes, also=also)
    api.route("DELETE", path, delete_intake, "Delete it", gives=None, status=204, also=ones[1:])


def _intake_shown(call: Call, rows: Any) -> list[dict[str, Any]]:
    shown = call.shown(r.INTAKE, rows)
    for record, row in zip(shown, rows, strict=True):
        issue = call.tenant.row("SELECT * FROM tracker_issues WHERE id = ?", row["issue"])
        if issue is not None:
            detail = r.ISSUE.show(issue, call.names)
            state = call.tenant.row(
                'SELECT id, name, color, "group" FROM tracker_states WHERE id = ?', issue["state"]
            )
            record["issue_detail"] = {**detail, "state": None if state is None else dict(state)}
    return shown


def _one_intake(call: Call, least: int = 5) -> Any:
    project = call.project(least)
    row = listings.of_project(r.INTAKE, project).one(call.tenant, call.id("issue_id"), "issue")
    if row is None:
        raise missing()
    return row


async def list_intake(call: Call) -> Response:
    listing = listings.of_project(r.INTAKE, call.project())
    rows, _ = listing.page(call.tenant, 1000, 0)
    return call.page_of(_intake_shown(call, rows))


async def get_intake(call: Call) -> Response:
    return answer(_intake_shown(call, [_one_intake(call)])[0])


async def create_intake(call: Call) -> Response:
    project = call.project()
    document = await call.document()
    issue = document.get("issue") if isinstance(document, dict) else None
    if not isinstance(issue, dict) or not issue.get("name"):
        raise refused("Name is required")
    scope = call.scope(project)
    values = r.INTAKE.parse(document, scope)
    made = intake.create_intake(call.act, project, values, r.ISSUE.parse(issue, scope))
    row = listings.of_project(r.INTAKE, project).one(call.tenant, made, "issue")
    return answer(_intake_shown(call, [row])[0])


async def update_intake(call: Call) -> Response:
    row = _one_intake(call, MEMBER)
    document = await call.document()
    scope = call.scope(row["project"])
    values = r.INTAKE.parse(document, scope, partial=True)
    if isinstance(document.get("issue"), dict):
        changes = r.ISSUE.parse(document["issue"], scope, partial=True)
        changes.pop("state", None)
        issues.update_issue(call.act, row["issue"], changes)
    intake.update_intake(call.act, row, values)
    return answer(_intake_shown(call, [_one_intake(call)])[0])


async def delete_intake(call: Call) -> Response:
    row = _one_intake(call, MEMBER)
    issues.delete_issue(call.act, row["project"], row["issue"])
    return done()
