"""The tracker's application: Plane's API v1, and pages for people."""

import re
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from tac_rl.office.tracker import pages, routes_extras, routes_issues, routes_plans, routes_projects
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.records import Problem
from tac_rl.office.tracker.visits import error_page
from tac_rl.office.tracker.web import Api, answer

_SHOWN = (
    r.PROJECT,
    r.STATE,
    r.LABEL,
    r.ISSUE,
    r.COMMENT,
    r.LINK,
    r.ATTACHMENT,
    r.ACTIVITY,
    r.CYCLE,
    r.MODULE,
    r.CYCLE_ISSUE,
    r.MODULE_ISSUE,
    r.INTAKE,
)


def make_app() -> FastAPI:
    """Routes over the tenant in `request.state.tenant`."""
    app = FastAPI(title="tracker", docs_url=None, redoc_url=None)
    api = Api(app)
    for routes in (routes_issues, routes_projects, routes_plans, routes_extras):
        routes.add_routes(api)
    pages.add_pages(app)
    app.add_middleware(TidyPaths)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_problem)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """The document, with the records' schemas and the key."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title="Plane API v1", version="1", routes=app.routes)
            components = document.setdefault("components", {})
            components["schemas"] = {resource.name: resource.schema() for resource in _SHOWN}
            components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}}
            document["security"] = [{"key": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _told(request, error.status, error.body)


def _told(request: Request, status: int, body: Any) -> Response:
    """Clients of the API get JSON, people get a page."""
    if request.url.path.startswith(("/api", "/uploads")):
        return answer(body, status)
    return error_page(status, body)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _told(request, 404, {"error": "Page not found."})
    found = _told(request, error.status_code, {"detail": error.detail})
    found.headers.update(error.headers or {})
    return found


class TidyPaths:
    """Paths with and without a slash at the end, or with doubled ones (TAC's evaluators), are the same.

    HEAD is answered as GET, without the body (the server leaves it out).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if "//" in path or path.endswith("/"):
                path = re.sub("/+", "/", path).rstrip("/") or "/"
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            scope = {**scope, "path": path, "method": method}
        await self._app(scope, receive, send)
