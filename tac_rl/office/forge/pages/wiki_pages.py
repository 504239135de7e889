"""Pages of wikis."""

import sqlite3
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request, Response

from tac_rl.office.forge.errors import not_found
from tac_rl.office.forge.pages.rendering import form_of, go, project_at, render, required
from tac_rl.office.forge.store import wikis as store
from tac_rl.office.forge.store.access import Level, level_of, need_writable
from tac_rl.office.forge.web import Ask, Asking, Segment

router = APIRouter(include_in_schema=False)
_ROOT = "/{namespace}/{project}/-/wikis"


@router.get(_ROOT)
@router.get(f"{_ROOT}/pages")
async def list_pages(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project)
    return render(ask, "wiki_pages.html", project=row, pages=store.list_pages(ask.tenant, row["id"]))


@router.get(f"{_ROOT}/new")
async def new_page(ask: Ask, namespace: Segment, project: Segment, title: str = "") -> Response:
    return render(ask, "edit_wiki.html", project=_writable(ask, namespace, project), page=None, title=title)


@router.post(_ROOT)
async def create_page(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row, form = _writable(ask, namespace, project), await form_of(request)
    made = store.create_page(
        ask.tenant, row["id"], ask.user().username, required(form, "title"), form.get("content", "")
    )
    return _shown(row, made["slug"])


@router.get(f"{_ROOT}/{{slug:path}}")
async def show_page(ask: Ask, namespace: Segment, project: Segment, slug: Segment) -> Response:
    row = project_at(ask, namespace, project)
    found = store.find_page(ask.tenant, row["id"], slug)
    if found is not None:
        return render(ask, "wiki.html", project=row, page=found)
    page = (
        store.find_page(ask.tenant, row["id"], slug.removesuffix("/edit")) if slug.endswith("/edit") else None
    )
    if page is not None:
        _writable(ask, namespace, project)
        return render(ask, "edit_wiki.html", project=row, page=page, title=page["title"])
    if ask.person is not None and level_of(ask.tenant, row, ask.person) >= Level.DEVELOPER:
        title = unquote(slug).replace("-", " ")
        return render(ask, "edit_wiki.html", project=row, page=None, title=title, code=404)
    raise not_found("Wiki Page")


@router.post(f"{_ROOT}/{{slug:path}}")
async def change_page(
    ask: Ask, namespace: Segment, project: Segment, slug: Segment, request: Request
) -> Response:
    row, form = _writable(ask, namespace, project), await form_of(request)
    page = store.find_page(ask.tenant, row["id"], slug)
    if page is None:
        raise not_found("Wiki Page")
    if form.get("action") == "delete":
        store.delete_page(ask.tenant, page["id"])
        return go(f"/{row['full_path']}/-/wikis/pages")
    title = form.get("title", "").strip()
    changed = store.update_page(
        ask.tenant,
        page,
        ask.user().username,
        title=title if title and title != page["title"] else None,
        content=form.get("content"),
    )
    return _shown(row, changed["slug"])


def _shown(project: sqlite3.Row, slug: str) -> Response:
    return go(f"/{project['full_path']}/-/wikis/{quote(slug, safe='/')}")


def _writable(ask: Asking, namespace: str, project: str) -> sqlite3.Row:
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    need_writable(row)
    return row
