"""The OCS share API: public links, and files given to somebody.

The drive is one tree that everybody works in, so a file given to a person is a record of that, not a right.
"""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from tac_rl.office.base import AGENT_DRIVE
from tac_rl.office.drive import files, ocs, store
from tac_rl.office.drive.files import RefusedError
from tac_rl.office.drive.store import Kind, Permission, Share
from tac_rl.office.tenant import Tenant

Username = Annotated[str, Depends(ocs.signed_in)]

_TEXT = {"type": "string"}
_SHARE = {
    "type": "object",
    "required": ["id", "share_type", "uid_owner", "permissions", "stime", "path", "item_type", "name"],
    "properties": {
        "id": _TEXT,
        "share_type": {"type": "integer", "enum": [0, 3]},
        "uid_owner": _TEXT,
        "permissions": {"type": "integer", "minimum": 1, "maximum": 31},
        "stime": {"type": "integer"},
        "path": _TEXT,
        "item_type": {"type": "string", "enum": ["file", "folder"]},
        "token": {"type": ["string", "null"]},
        "url": _TEXT,
        "name": _TEXT,
    },
}
_SHARES = {"type": "array", "items": _SHARE}
_FIELDS = {
    "path": _TEXT,
    "shareType": {"type": "integer", "enum": [0, 1, 3]},
    "shareWith": _TEXT,
    "permissions": {"type": "integer", "minimum": 1, "maximum": 31},
    "password": _TEXT,
    "expireDate": {"type": "string", "format": "date"},
    "name": _TEXT,
    "publicUpload": {"type": "boolean"},
}
_CHANGES = {key: _FIELDS[key] for key in ("permissions", "password", "expireDate", "name", "publicUpload")}


def _openapi(fields: dict[str, Any] | None = None, *query: str) -> dict[str, Any]:
    """The parts of an operation that are read by hand."""
    parameters = [{"name": name, "in": "query", "schema": _TEXT} for name in query]
    document: dict[str, Any] = {"parameters": [ocs.FORMAT_PARAMETER, *parameters]}
    if fields is not None:
        schema = {"schema": {"type": "object", "properties": fields}}
        document["requestBody"] = {
            "content": {"application/x-www-form-urlencoded": schema, "application/json": schema}
        }
    return document


def make_router(version: int) -> APIRouter:
    """The share API under `/ocs/v<version>.php`."""
    router = APIRouter(prefix=f"/ocs/v{version}.php/apps/files_sharing/api/v1", tags=["shares"])

    @router.get(
        "/shares",
        responses=ocs.responses(version, _SHARES, 400, 404),
        openapi_extra=_openapi(None, "path", "reshares", "subfiles", "shared_with_me"),
    )
    async def list_shares(request: Request, username: Username) -> Response:
        """One's own links and shares, or those of a path."""
        tenant = ocs.tenant_of(request)
        return ocs.answer(request, [_shown(request, found) for found in _listed(request, tenant, username)])

    @router.post(
        "/shares",
        responses=ocs.responses(version, _SHARE, 400, 403, 404, 413),
        openapi_extra=_openapi(_FIELDS),
    )
    async def create_share(request: Request, username: Username) -> Response:
        """Make a public link (shareType 3), or give a file to somebody (0)."""
        made = _create(ocs.tenant_of(request), username, await ocs.fields(request))
        return ocs.answer(request, _shown(request, made))

    @router.get("/shares/{number}", responses=ocs.responses(version, _SHARES, 404), openapi_extra=_openapi())
    async def get_share(request: Request, username: Username, number: str) -> Response:
        found = _find(ocs.tenant_of(request), username, number)
        return ocs.answer(request, [_shown(request, found)])

    @router.put(
        "/shares/{number}",
        responses=ocs.responses(version, _SHARE, 400, 403, 404, 413),
        openapi_extra=_openapi(_CHANGES),
    )
    async def change_share(request: Request, username: Username, number: str) -> Response:
        """Change permissions, password, last day or name; an empty field takes it away."""
        tenant = ocs.tenant_of(request)
        found = _find(tenant, username, number, change=True)
        _change(tenant, found, await ocs.fields(request))
        changed = store.share(tenant, found.id)
        assert changed is not None
        return ocs.answer(request, _shown(request, changed))

    @router.delete(
        "/shares/{number}",
        responses=ocs.responses(version, {"type": "array", "maxItems": 0}, 404),
        openapi_extra=_openapi(),
    )
    async def delete_share(request: Request, username: Username, number: str) -> Response:
        tenant = ocs.tenant_of(request)
        store.remove_share(tenant, _find(tenant, username, number, change=True).id)
        return ocs.answer(request, None)

    return router


def _listed(request: Request, tenant: Tenant, username: str) -> list[Share]:
    query = request.query_params
    if query.get("shared_with_me") == "true":
        return store.shares(tenant, recipient=username)
    owner = None if query.get("reshares") == "true" else username
    if not query.get("path"):
        return store.shares(tenant, owner=username)
    path = _existing(tenant, query["path"])
    if query.get("subfiles") != "true":
        return store.shares(tenant, owner=owner, path=path)
    if not files.locate(files.drive_of(tenant.folder), path).is_dir():
        raise RefusedError(400, "Not a directory")
    return store.shares(tenant, owner=owner, inside=path)


def _create(tenant: Tenant, username: str, fields: dict[str, str]) -> Share:
    if not fields.get("path"):
        raise RefusedError(404, "Please specify a file or folder path")
    path = _existing(tenant, fields["path"])
    if path == "/":
        raise RefusedError(403, "You can't share your root folder")
    kind, recipient = fields.get("shareType", ""), None
    if kind == str(Kind.USER):
        recipient = store.account(tenant, fields.get("shareWith", ""))
        if recipient is None:
            raise RefusedError(404, "Please specify a valid user")
        if recipient == username:
            raise RefusedError(403, "You can't share with yourself")
    elif kind == str(Kind.GROUP):
        raise RefusedError(404, "Please specify a valid group")
    elif kind != str(Kind.LINK):
        raise RefusedError(400, "Unknown share type")
    a_file = files.locate(files.drive_of(tenant.folder), path).is_file()
    default = Permission.READ if recipient is None else Permission.ALL
    permissions = _permissions(fields, Kind(int(kind)), default)
    return store.add_share(
        tenant,
        kind=Kind(int(kind)),
        path=path,
        owner=username,
        recipient=recipient,
        permissions=permissions & ~(Permission.CREATE | Permission.DELETE) if a_file else permissions,
        password=fields.get("password") or None,
        expires=_expires(tenant, fields.get("expireDate", "")),
        name=fields.get("name", ""),
        created=tenant.now(),
    )


def _change(tenant: Tenant, found: Share, fields: dict[str, str]) -> None:
    allowed = ("permissions",) if found.kind is Kind.USER else tuple(_CHANGES)
    if not any(name in fields for name in allowed):
        raise RefusedError(400, "Wrong or no update parameter given")
    link = found.kind is Kind.LINK
    store.change_share(
        tenant,
        found.id,
        permissions=_permissions(fields, found.kind, found.permissions),
        password=(fields["password"] or None) if link and "password" in fields else found.password,
        expires=_expires(tenant, fields["expireDate"]) if link and "expireDate" in fields else found.expires,
        name=fields.get("name", found.name) if link else found.name,
    )


def _permissions(fields: dict[str, str], kind: Kind, default: int) -> int:
    if kind is Kind.LINK and fields.get("publicUpload") == "true":
        raise RefusedError(403, "Public upload disabled by the administrator")
    if "permissions" not in fields:
        return default
    wanted = fields["permissions"]
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 3 and 1 <= int(wanted) <= Permission.ALL):
        raise RefusedError(404, "invalid permissions")
    if not int(wanted) & Permission.READ:
        raise RefusedError(404, "invalid permissions")
    if kind is Kind.LINK and int(wanted) & (Permission.UPDATE | Permission.CREATE | Permission.DELETE):
        raise RefusedError(403, "Public upload disabled by the administrator")
    return int(wanted)


def _expires(tenant: Tenant, wanted: str) -> str | None:
    if not wanted:
        return None
    try:
        last = date.fromisoformat(wanted[:10])
    except ValueError as error:
        raise RefusedError(404, "Invalid date, date format must be YYYY-MM-DD") from error
    if last < tenant.now().date():
        raise RefusedError(404, "Expiration date is in the past")
    return last.isoformat()


def _existing(tenant: Tenant, path: str) -> str:
    try:
        files.existing(files.drive_of(tenant.folder), path)
    except RefusedError as error:
        raise RefusedError(404, "Wrong path, file/folder doesn't exist") from error
    return files.normal(path)


def _find(tenant: Tenant, username: str, number: str, *, change: bool = False) -> Share:
    """A share that this person may see, or change."""
    valid = number.isascii() and number.isdigit() and len(number) < 19
    found = store.share(tenant, int(number)) if valid else None
    if found is not None:
        known = {found.owner, AGENT_DRIVE} if change else {found.owner, AGENT_DRIVE, found.recipient}
        if username in known:
            return found
    raise RefusedError(404, "Wrong share ID, share doesn't exist")


def _shown(request: Request, share: Share) -> dict[str, Any]:
    tenant = ocs.tenant_of(request)
    parent = share.path.rpartition("/")[0] or "/"
    folder = files.locate(files.drive_of(tenant.folder), share.path).is_dir()
    shown: dict[str, Any] = {
        "id": str(share.id),
        "share_type": int(share.kind),
        "uid_owner": share.owner,
        "displayname_owner": store.display_name(tenant, share.owner),
        "permissions": share.permissions,
        "stime": share.created,
        "parent": None,
        "expiration": f"{share.expires} 00:00:00" if share.expires else None,
        "token": share.token,
        "uid_file_owner": share.owner,
        "displayname_file_owner": store.display_name(tenant, share.owner),
        "path": share.path,
        "item_type": "folder" if folder else "file",
        "mimetype": "httpd/unix-directory" if folder else files.mime_type(share.path),
        "storage_id": f"home::{share.owner}",
        "storage": 1,
        "item_source": files.file_id(share.path),
        "file_source": files.file_id(share.path),
        "file_parent": files.file_id(parent),
        "file_target": "/" + share.path.rpartition("/")[2],
        "mail_send": 0,
        "name": share.name,
    }
    if share.kind is Kind.LINK:
        shown["share_with"] = shown["share_with_displayname"] = "***redacted***" if share.password else None
        shown["url"] = f"{request.base_url}index.php/s/{share.token}"
    else:
        assert share.recipient is not None
        shown["share_with"] = share.recipient
        shown["share_with_displayname"] = store.display_name(tenant, share.recipient)
    return shown
