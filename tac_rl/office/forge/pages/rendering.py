"""Templates, forms, and addresses that name a branch and a path."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader
from jinja2.utils import urlize
from markupsafe import Markup, escape
from pygit2 import Commit, Repository
from starlette.responses import RedirectResponse

from tac_rl.office.forge.errors import ForgeError, not_found
from tac_rl.office.forge.reading import find_commit
from tac_rl.office.forge.store.access import Level, level_of
from tac_rl.office.forge.store.paging import Page
from tac_rl.office.forge.store.people import find_person, shown
from tac_rl.office.forge.web import Asking, read_parameters
from tac_rl.office.tenant import Tenant

PER_PAGE = 20
LONGEST_LINKED = 50_000


def _path(text: str) -> str:
    """A path for an address: slashes stay."""
    return quote(text, safe="/")


def _linked(text: str) -> Markup:
    """Escaped, with addresses as links (in a text of reasonable length)."""
    return Markup(urlize(text)) if len(text) <= LONGEST_LINKED else escape(text)


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "linked": _linked,
    "path": _path,
    "part": lambda text: quote(text, safe=""),
    "shown": shown,
}


def render(ask: Asking, template: str, *, code: int = 200, **values: Any) -> Response:
    """A page."""
    project = values.get("project")
    level = Level.NONE if project is None else level_of(ask.tenant, project, ask.person)
    text = _templates.get_template(template).render(
        me=ask.person,
        name_of=lambda username: ask.view.user(username)["name"],
        base=ask.view.base,
        may_write=level >= Level.DEVELOPER,
        may_maintain=level >= Level.MAINTAINER,
        may_own=level >= Level.OWNER,
        root=f"/{project['full_path']}" if project is not None else "",
        **values,
    )
    return Response(text, code, media_type="text/html; charset=utf-8", headers=_SAFE)


_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
}


def go(address: str) -> Response:
    """After a form was sent: elsewhere."""
    return RedirectResponse(address, 303)


async def form_of(request: Request) -> dict[str, str]:
    """A form's texts."""
    found = await read_parameters(request)
    return {key: value.replace("\r\n", "\n") for key, value in found.items() if isinstance(value, str)}


def page_of(request: Request) -> Page:
    """`?page=3`; what isn't a number is the first."""
    given = request.query_params.get("page", "1")
    return Page(max(int(given), 1) if given.isascii() and given.isdigit() and len(given) < 6 else 1, PER_PAGE)


def project_at(ask: Asking, namespace: str, project: str, level: Level | None = None) -> sqlite3.Row:
    """The project of an address."""
    return ask.project(f"{namespace}/{project}", level)


def split_ref(repo: Repository, rest: str) -> tuple[str, str, Commit]:
    """Branch (or tag, or id), path, and the commit, of an address such as `feature/x/src/a.py`; else 404."""
    parts = unquote(rest).strip("/").split("/")
    for length in range(len(parts), 0, -1):
        name = "/".join(parts[:length])
        commit = find_commit(repo, name)
        if commit is not None:
            return name, "/".join(parts[length:]), commit
    raise not_found("Revision")


def text_of(content: bytes) -> str | None:
    """A file's text; None for one that isn't text."""
    return None if b"\0" in content[:8000] else content.decode(errors="replace")


def usernames(tenant: Tenant, text: str) -> list[str]:
    """People named in a form field, with commas between; 400 for who isn't there."""
    found = []
    for name in filter(None, (part.strip().lstrip("@") for part in text.split(","))):
        person = find_person(tenant, name)
        if person is None:
            raise ForgeError(400, f"There is nobody called {name!r}")
        found.append(person.username)
    return found


def required(form: Mapping[str, str], field: str) -> str:
    value = form.get(field, "").strip()
    if not value:
        raise ForgeError(400, f"{field} can't be blank")
    return value
