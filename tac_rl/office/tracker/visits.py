"""The pages' ground: who is signed in, what a form says, and how a page is made. No page has a script."""

import json
from collections.abc import Awaitable, Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.records import Problem
from tac_rl.office.tracker.web import MOST_BYTES, Call, read_body

COOKIE = "session-id"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_MOST_FIELDS = 500
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["zip_same"] = lambda names: [(name, name) for name in names]


class SignInFirst(Exception):
    """The page is for people who have signed in."""


class Visit(Call):
    """One request of a browser."""

    @cached_property
    def username(self) -> str:
        token = self.request.cookies.get(COOKIE, "")
        username = self.tenant.value("SELECT username FROM tracker_sessions WHERE token = ?", token)
        if username is None:
            raise SignInFirst
        return str(username)

    def workspace(self) -> str:
        return self.username

    async def form(self) -> dict[str, list[str]]:
        """Field -> its values."""
        body = await read_body(self.request, MOST_BYTES)
        try:
            return parse_qs(
                body.decode(errors="replace").replace("%00", ""),
                keep_blank_values=True,
                max_num_fields=_MOST_FIELDS,
            )
        except ValueError:
            raise Problem(400, {"error": "The form has too many fields"}) from None

    def html(self, template: str, title: str, **what: Any) -> Response:
        """A page of somebody who has signed in."""
        person = self.tenant.person(self.username)
        shown = {"title": title, "me": person.name if person is not None else self.username, **what}
        return render(template, **shown)


Handler = Callable[[Visit], Awaitable[Response]]


def render(template: str, status: int = 200, **what: Any) -> Response:
    html = _templates.get_template(template).render(**what)
    return HTMLResponse(html, status, headers=HEADERS)


def go(path: str) -> Response:
    """On to another page, after a form."""
    return RedirectResponse(quote(path, safe="/?=&-_"), 303)


def only(form: dict[str, list[str]], name: str) -> str:
    """The value of a field, empty where there is none."""
    return form.get(name, [""])[-1].strip()


def add_page(app: FastAPI, method: str, path: str, handler: Handler) -> None:
    async def endpoint(request: Request) -> Response:
        return await handler(Visit(request))

    app.add_api_route(path, endpoint, methods=[method], include_in_schema=False, name=f"{method} page {path}")


async def sign_in_first(request: Request, error: Exception) -> Response:
    return RedirectResponse(f"/?next_path={quote(request.url.path)}", 303)


def error_page(status: int, body: Any) -> Response:
    """What the API would answer, in words."""
    return render("problem.html", status, title="That did not work", words=_words(body), me=None)


def _words(body: Any) -> str:
    if isinstance(body, dict):
        return "; ".join(
            _words(value) if key in ("error", "detail", "non_field_errors") else f"{key}: {_words(value)}"
            for key, value in body.items()
            if key != "id"
        )
    if isinstance(body, list):
        return " ".join(_words(item) for item in body)
    return body if isinstance(body, str) else json.dumps(body)


def start_session(tenant: Tenant, username: str, to: str) -> Response:
    token = tenant.new_id(43)
    tenant.db.execute("INSERT INTO tracker_sessions VALUES (?, ?)", (token, username))
    response = go(to)
    response.set_cookie(COOKIE, token, httponly=True, samesite="lax")
    return response
