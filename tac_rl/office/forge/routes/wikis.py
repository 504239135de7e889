"""Wiki pages of projects."""

import sqlite3
from typing import Literal

from fastapi import APIRouter, Response

from tac_rl.office.forge.errors import not_found
from tac_rl.office.forge.shapes.records import WikiPage, wiki_page
from tac_rl.office.forge.store import wikis as store
from tac_rl.office.forge.store.access import Level, need_writable
from tac_rl.office.forge.web import (
    NOTHING,
    PREFIX,
    Ask,
    Asking,
    GitLabRoute,
    Params,
    Segment,
    answer,
    no_content,
    returns,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["wikis"])
Format = Literal["markdown", "rdoc", "asciidoc", "org"]


class NewPage(Params):
    title: str
    content: str
    format: Format = "markdown"


class ChangedPage(Params):
    title: str | None = None
    content: str | None = None
    format: Format | None = None


@router.get("/projects/{id}/wikis", **returns(list[WikiPage]))
async def list_pages(ask: Ask, id: Segment, with_content: bool = False) -> Response:
    """All of them, by address."""
    project = ask.project(id, setting="wiki_enabled")
    return answer(
        [wiki_page(row, content=with_content) for row in store.list_pages(ask.tenant, project["id"])]
    )


@router.post("/projects/{id}/wikis", **returns(WikiPage, 201))
async def create_page(ask: Ask, id: Segment, given: NewPage) -> Response:
    """Its address follows from the title."""
    project = _writable(ask, id)
    row = store.create_page(
        ask.tenant, project["id"], ask.user().username, given.title, given.content, format=given.format
    )
    return answer(wiki_page(row, content=True), 201)


@router.get("/projects/{id}/wikis/{slug}", **returns(WikiPage))
async def get_page(ask: Ask, id: Segment, slug: Segment) -> Response:
    """By address (slashes encoded)."""
    return answer(wiki_page(_page(ask, ask.project(id, setting="wiki_enabled"), slug), content=True))


@router.put("/projects/{id}/wikis/{slug}", **returns(WikiPage))
async def edit_page(ask: Ask, id: Segment, slug: Segment, given: ChangedPage) -> Response:
    """Another title moves the page."""
    project = _writable(ask, id)
    row = store.update_page(
        ask.tenant,
        _page(ask, project, slug),
        ask.user().username,
        title=given.title,
        content=given.content,
        format=given.format,
    )
    return answer(wiki_page(row, content=True))


@router.delete("/projects/{id}/wikis/{slug}", **NOTHING)
async def delete_page(ask: Ask, id: Segment, slug: Segment) -> Response:
    """For good: pages have no history here."""
    project = _writable(ask, id)
    store.delete_page(ask.tenant, _page(ask, project, slug)["id"])
    return no_content()


def _writable(ask: Asking, key: str) -> sqlite3.Row:
    project = ask.project(key, Level.DEVELOPER, setting="wiki_enabled")
    need_writable(project)
    return project


def _page(ask: Asking, project: sqlite3.Row, slug: str) -> sqlite3.Row:
    row = store.find_page(ask.tenant, project["id"], slug)
    if row is None:
        raise not_found("Wiki Page")
    return row
