"""What clients ask of the cloud itself: is it there, what can it do, who am I, who else is there."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from tac_rl.office.base import AGENT_DRIVE
from tac_rl.office.drive import files, ocs, store
from tac_rl.office.drive.dav import QUOTA_BYTES
from tac_rl.office.drive.files import RefusedError
from tac_rl.office.tenant import Tenant

VERSION = "10.0.10"
"""Of ownCloud, whose interfaces these are."""
Username = Annotated[str, Depends(ocs.signed_in)]

_STATUS = {
    "installed": True,
    "maintenance": False,
    "needsDbUpgrade": False,
    "version": f"{VERSION}.4",
    "versionstring": VERSION,
    "edition": "Community",
    "productname": "ownCloud",
}
_CAPABILITIES = {
    "version": {"major": 10, "minor": 0, "micro": 10, "string": VERSION, "edition": "Community"},
    "capabilities": {
        "core": {
            "pollinterval": 60,
            "webdav-root": "remote.php/webdav",
            "status": _STATUS,
        },
        "dav": {},
        "files_sharing": {
            "api_enabled": True,
            "public": {
                "enabled": True,
                "password": {"enforced": False},
                "expire_date": {"enabled": False},
                "send_mail": False,
                "upload": False,
                "multiple": True,
            },
            "user": {"send_mail": False},
            "resharing": True,
            "group_sharing": False,
            "federation": {"outgoing": False, "incoming": False},
        },
        "files": {"bigfilechunking": False, "undelete": False, "versioning": False},
    },
}
_OBJECT = {"type": "object"}


def make_status_router() -> APIRouter:
    router = APIRouter()

    @router.get("/status.php", responses={200: {"content": {"application/json": {"schema": _OBJECT}}}})
    async def status() -> Response:
        """Whether ownCloud is there; anybody may ask."""
        return Response(json.dumps(_STATUS), media_type="application/json")

    return router


def make_router(version: int) -> APIRouter:
    """Users and capabilities under `/ocs/v<version>.php/cloud`."""
    router = APIRouter(prefix=f"/ocs/v{version}.php/cloud", tags=["cloud"])
    openapi = {"parameters": [ocs.FORMAT_PARAMETER]}
    searched = {
        "parameters": [ocs.FORMAT_PARAMETER, {"name": "search", "in": "query", "schema": {"type": "string"}}]
    }

    @router.get("/capabilities", responses=ocs.responses(version, _OBJECT), openapi_extra=openapi)
    async def capabilities(request: Request, username: Username) -> Response:
        return ocs.answer(request, _CAPABILITIES)

    @router.get("/user", responses=ocs.responses(version, _OBJECT), openapi_extra=openapi)
    async def current_user(request: Request, username: Username) -> Response:
        """Who is asking."""
        tenant = ocs.tenant_of(request)
        shown = {"id": username, "display-name": store.display_name(tenant, username)}
        return ocs.answer(request, {**shown, "email": _email(tenant, username)})

    @router.get("/users", responses=ocs.responses(version, _OBJECT), openapi_extra=searched)
    async def list_users(request: Request, username: Username) -> Response:
        """Everybody's usernames, or those that hold `search`."""
        wanted = request.query_params.get("search", "").lower()
        names = [person.username for person in ocs.tenant_of(request).people()]
        return ocs.answer(request, {"users": [name for name in names if wanted in name.lower()]})

    @router.get("/users/{name}", responses=ocs.responses(version, _OBJECT, 404), openapi_extra=openapi)
    async def get_user(request: Request, username: Username, name: str) -> Response:
        tenant = ocs.tenant_of(request)
        found = store.account(tenant, name)
        if found is None:
            raise RefusedError(404, "The requested user could not be found")
        used = files.used_bytes(files.drive_of(tenant.folder))
        quota = {
            "free": max(0, QUOTA_BYTES - used),
            "used": used,
            "total": QUOTA_BYTES,
            "relative": round(100 * used / QUOTA_BYTES, 2),
        }
        shown: dict[str, Any] = {
            "enabled": "true",
            "quota": quota,
            "email": _email(tenant, found),
            "displayname": store.display_name(tenant, found),
            "home": f"/{found}",
            "two_factor_auth_enabled": "false",
        }
        return ocs.answer(request, shown)

    return router


def _email(tenant: Tenant, username: str) -> str:
    person = tenant.person(username)
    return f"{AGENT_DRIVE}@agentcompany.com" if person is None else person.email
