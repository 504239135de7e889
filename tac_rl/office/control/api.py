"""Resets and health checks, with the paths and answers of TAC's api-server.

A reset puts a service back to what it was when the attempt's tenant was made; it is done when the answer
is sent, so that the health checks which TAC's init polls are true at once. The chat's health includes
TAC's redis and sotopia; in this office colleagues play that part, so both are well whenever it is.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tac_rl.office.base import AGENT_CHAT, ServiceName
from tac_rl.office.tenant import Tenant

_RESETS = {
    "rocketchat": (ServiceName.CHAT, "RocketChat"),
    "gitlab": (ServiceName.FORGE, "GitLab"),
    "plane": (ServiceName.TRACKER, "Plane"),
    "owncloud": (ServiceName.DRIVE, "ownCloud"),
}
"""TAC's name -> our service and how TAC writes it."""

Health = tuple[int, dict[str, Any]]
_MESSAGE = {
    "type": "object",
    "properties": {"message": {"type": "string"}},
    "required": ["message"],
}


def make_app() -> FastAPI:
    """Routes over the tenant in `request.state.tenant`."""
    app = FastAPI(title="control", docs_url=None, redoc_url=None)
    for name, (service, spelling) in _RESETS.items():
        app.post(
            f"/api/reset-{name}",
            status_code=202,
            summary=f"Put {spelling} back to how the attempt began",
            responses={202: _body(_MESSAGE, "Done"), 501: _body(_MESSAGE, "This tenant keeps no such state")},
        )(_resetter(name, service, spelling))
    for name, check in _CHECKS.items():
        answer = _checker(name, check)
        schema = _ROCKETCHAT if name == "rocketchat" else _MESSAGE
        responses: Any = {200: _body(schema, "Well"), 400: _body(schema, "Not ready")}
        path = f"/api/healthcheck/{name}"
        app.get(path, summary=f"Whether {name} answers", responses=responses)(answer)
        app.head(path, include_in_schema=False)(answer)
    return app


def _resetter(name: str, service: ServiceName, spelling: str) -> Callable[..., Any]:
    async def reset(request: Request) -> JSONResponse:
        tenant: Tenant = request.state.tenant
        if tenant.reset is None:
            return JSONResponse(
                {"message": f"{spelling} can't be reset: nobody kept how this office began"}, 501
            )
        tenant.reset(frozenset({service}))
        return JSONResponse({"message": f"Reset {spelling} command initiated"}, 202)

    reset.__name__ = f"reset_{name}"
    return reset


def _checker(name: str, check: Callable[[Tenant], Health]) -> Callable[..., Any]:
    async def healthcheck(request: Request) -> JSONResponse:
        status, body = check(request.state.tenant)
        return JSONResponse(body, status)

    healthcheck.__name__ = f"healthcheck_{name}"
    return healthcheck


def _up(tenant: Tenant) -> Health:
    return 200, {"message": "Web service is up!"}


def _rocketchat(tenant: Tenant) -> Health:
    code = 200 if tenant.person(AGENT_CHAT) is not None else 400
    return code, {"redis": 200, "rocketchat": code, "sotopia": 200}


def _plane(tenant: Tenant) -> Health:
    if tenant.value("SELECT 1 FROM tracker_projects LIMIT 1") is None:
        return 400, {"message": "failed to login"}
    return 200, {"message": "login success"}


def _redis(tenant: Tenant) -> Health:
    return 200, {"message": "success connect to redis"}


def _sotopia(tenant: Tenant) -> Health:
    return 200, {"message": "sotopia npc profiles loaded successfully"}


_CHECKS: dict[str, Callable[[Tenant], Health]] = {
    "rocketchat": _rocketchat,
    "gitlab": _up,
    "plane": _plane,
    "owncloud": _up,
    "redis": _redis,
    "sotopia": _sotopia,
}
_CODES = ("redis", "rocketchat", "sotopia")
_ROCKETCHAT = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in _CODES},
    "required": list(_CODES),
}


def _body(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
