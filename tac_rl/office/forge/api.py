"""The application of this service: GitLab's REST API v4, git over HTTP, and pages, at one address."""

import logging
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict

from tac_rl.office.forge.errors import ForgeError
from tac_rl.office.forge.git_http import GitHttp
from tac_rl.office.forge.pages import (
    browsing,
    changing,
    history,
    issue_pages,
    request_pages,
    sessions,
    wiki_pages,
)
from tac_rl.office.forge.routes import (
    branches,
    commits,
    files,
    groups,
    issues,
    labels,
    merge_requests,
    people,
    pipelines,
    projects,
    search,
    tags,
    wikis,
)
from tac_rl.office.forge.web import PREFIX, Filters, answer

_log = logging.getLogger(__name__)
_PARTS = (
    people, projects, groups, labels, issues, merge_requests, branches, tags, commits, wikis, pipelines, search, files,
)  # fmt: skip


class Problem(TypedDict, total=False):
    """A refusal: `message` or `error`, as GitLab's various parts have it."""

    message: Any
    error: str
    error_description: str


_REFUSALS = {
    400: "A parameter is missing or wrong",
    401: "No credentials, or wrong ones",
    403: "Not allowed",
    404: "Not there, or not visible to the caller",
    405: "Not possible in this state",
    409: "It exists already, or changed meanwhile",
    413: "Too large",
    422: "It can't be done",
}


def make_app() -> FastAPI:
    """Routes over the tenant in `request.state.tenant`."""
    app = FastAPI(
        title="forge",
        version=people.VERSION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    # `include_router` would make each route once more, which takes seconds.
    for router in (*(part.router for part in _PARTS), people.tokens):
        app.router.routes.extend(router.routes)
    git = GitHttp()
    for action in ("info/refs", "git-upload-pack", "git-receive-pack"):
        app.router.routes.append(Route(f"/{{namespace}}/{{project}}/{action}", git))
    for page in (sessions, browsing, history, issue_pages, request_pages, wiki_pages, changing):
        app.router.routes.extend(page.router.routes)
    app.router.routes.extend(browsing.last.routes)
    app.add_exception_handler(ForgeError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(_AsSent)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class _AsSent:
    """Routes see paths as they were sent (`%2F` isn't a slash), HEAD as GET, and `key[]` of queries as `key`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["raw_path"].decode("latin-1")
        query: bytes = scope["query_string"]
        if "%00" in path or b"%00" in query:
            refusal = answer({"error": "string contains null byte"}, 400)
            await refusal(scope, receive, send)
            return
        if path.startswith(PREFIX) and b"]=" in query.replace(b"%5D", b"]").replace(b"%5d", b"]"):
            query = re.sub(rb"(?:\[|%5[Bb])(?:\]|%5[Dd])=", b"=", query)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        seen = {**scope, "path": path.rstrip("/") or "/", "query_string": query, "method": method}
        await self._app(seen, receive, send)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ForgeError)
    return _refusal(request, error.status, error.body, error.text)


async def _invalid(request: Request, error: Exception) -> Response:
    """400 as GitLab has it: `title is missing, page is invalid`."""
    assert isinstance(error, RequestValidationError)
    problems: Sequence[Any] = error.errors()
    said: dict[str, str] = {}
    for problem in problems[:10]:
        where = [str(part) for part in problem["loc"][1:]] or ["body"]
        # Other parts than numbers name the alternatives of a type: the first that failed tells enough.
        name = where[0] + "".join(f"[{part}]" for part in where[1:] if part.isdigit())
        if problem["type"] == "missing":
            fault = "is missing"
        elif problem["type"] in ("literal_error", "enum"):
            fault = "does not have a valid value"
        else:
            fault = "is invalid"
        said.setdefault(name, f"{name} {fault}")
    text = ", ".join(said.values())
    return _refusal(request, 400, {"error": text}, text)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    names = {404: "404 Not Found", 405: "405 Not Allowed", 400: "400 Bad Request"}
    text = names.get(error.status_code, f"{error.status_code} {error.detail}")
    return _refusal(request, error.status_code, {"error": text}, text)


def _refusal(request: Request, status: int, body: dict[str, Any], text: str) -> Response:
    if request.url.path.startswith(("/api/", "/oauth/")):
        return answer(body, status)
    if status == 401:
        return RedirectResponse("/users/sign_in", 302)
    page = f"<!DOCTYPE html><title>{status}</title><h1>{status}</h1><p>{escape(text)}</p>"
    return Response(page, status, media_type="text/html; charset=utf-8")


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title="forge", version=app.version, routes=app.routes)
        document.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "apiKey", "in": "header", "name": "PRIVATE-TOKEN"}
        }
        document["security"] = [{"token": []}]
        schema = TypeAdapter(Problem).json_schema()
        document["components"].setdefault("schemas", {})["Problem"] = schema
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for operation in (o for path in document["paths"].values() for o in path.values()):
            for status, why in _REFUSALS.items():
                operation["responses"][str(status)] = {"description": why, "content": content}
        for route in app.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                for dependency in route.dependant.dependencies:
                    if isinstance(dependency.call, Filters):
                        for method in route.methods:
                            operation = document["paths"][route.path_format][method.lower()]
                            operation.setdefault("parameters", []).extend(dependency.call.parameters)
        app.openapi_schema = document
    return app.openapi_schema
