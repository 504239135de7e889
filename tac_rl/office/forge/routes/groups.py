"""Groups, namespaces, and members of groups and projects."""

import sqlite3
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BeforeValidator

from tac_rl.office.base import Person
from tac_rl.office.forge.errors import conflict, forbidden, not_found
from tac_rl.office.forge.routes.params import Ids, Visibility, level_number
from tac_rl.office.forge.routes.projects import Accepted, ListedProjects, Query, list_of
from tac_rl.office.forge.shapes.people import (
    Group,
    Member,
    Namespace,
    group,
    implied_member,
    member,
    namespace,
)
from tac_rl.office.forge.shapes.projects import projects
from tac_rl.office.forge.store import members as store
from tac_rl.office.forge.store import namespaces
from tac_rl.office.forge.store.access import Level, level_in_group, level_of
from tac_rl.office.forge.store.members import Source
from tac_rl.office.forge.store.paging import EVERYTHING, Page
from tac_rl.office.forge.store.people import known, person_of_id
from tac_rl.office.forge.store.projects import ProjectQuery, delete_project, list_projects
from tac_rl.office.forge.web import (
    NOTHING,
    PREFIX,
    Ask,
    Asking,
    GitLabRoute,
    Id,
    Paged,
    Params,
    Segment,
    answer,
    listing,
    no_content,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["groups"])
GrantedLevel = Annotated[Literal[10, 20, 30, 40, 50], BeforeValidator(level_number)]


class GroupSettings(Params):
    name: str | None = None
    description: str | None = None
    visibility: Visibility | None = None


class NewGroup(Params):
    name: str
    path: str
    description: str | None = None
    visibility: Visibility = "private"


class NewMember(Params):
    user_id: Ids
    access_level: GrantedLevel
    expires_at: date | None = None


class ChangedMember(Params):
    access_level: GrantedLevel
    expires_at: date | None = None


@router.get("/groups", **returns(list[Group]))
async def list_groups(ask: Ask, page: Paged, search: str = "", owned: bool = False) -> Response:
    """Groups that the caller may see."""
    owner = ask.person.username if owned and ask.person is not None else None
    found = namespaces.list_namespaces(
        ask.tenant, ask.person, page, search=search, kind="group", owned_by=owner
    )
    return listing(ask, [group(ask.view, row) for row in found.rows], page, found.total)


@router.post("/groups", **returns(Group, 201))
async def create_group(ask: Ask, given: NewGroup) -> Response:
    """Owned by the caller."""
    made = namespaces.create_group(
        ask.tenant,
        ask.user(),
        name=given.name,
        path=given.path,
        description=given.description or "",
        visibility=given.visibility,
    )
    return answer(group(ask.view, made), 201)


@router.get("/groups/{id}", **returns(Group))
async def get_group(ask: Ask, id: Segment, with_projects: bool = True) -> Response:
    """With its projects."""
    row = find_group(ask, id)
    shape = group(ask.view, row)
    if with_projects:
        page = Page(1, 100)
        found = list_projects(ask.tenant, ask.person, ProjectQuery(), page, namespace_id=row["id"])
        shape["projects"] = [dict(project) for project in projects(ask.view, found.rows)]
        shape["shared_projects"] = []
    return answer(shape)


@router.put("/groups/{id}", **returns(Group))
async def edit_group(ask: Ask, id: Segment, given: GroupSettings) -> Response:
    """Name, description, visibility."""
    row = find_group(ask, id, Level.OWNER)
    return answer(group(ask.view, namespaces.update_group(ask.tenant, row["id"], given.given())))


@router.delete("/groups/{id}", **returns(Accepted, 202))
async def delete_group(ask: Ask, id: Segment) -> Response:
    """With its projects."""
    row = find_group(ask, id, Level.OWNER)
    found = list_projects(ask.tenant, ask.person, ProjectQuery(), EVERYTHING, namespace_id=row["id"])
    for project in found.rows:
        delete_project(ask.tenant, project)
    store.remove_all_members(ask.tenant, "group", row["id"])
    ask.tenant.db.execute("DELETE FROM forge_namespaces WHERE id = ?", (row["id"],))
    return answer({"message": "202 Accepted"}, 202)


@router.get("/groups/{id}/projects", **returns(ListedProjects))
async def group_projects(ask: Ask, id: Segment, page: Paged, query: Query, simple: bool = False) -> Response:
    """That the caller may see."""
    return list_of(ask, page, query, simple=simple, namespace_id=find_group(ask, id)["id"])


@router.get("/namespaces", **returns(list[Namespace]))
async def list_namespaces(ask: Ask, page: Paged, search: str = "") -> Response:
    """People's and groups'."""
    ask.user()
    found = namespaces.list_namespaces(ask.tenant, ask.person, page, search=search)
    return listing(ask, [namespace(ask.view, row) for row in found.rows], page, found.total)


@router.get("/namespaces/{id}", **returns(Namespace))
async def get_namespace(ask: Ask, id: Segment) -> Response:
    """By number or path."""
    ask.user()
    row = namespaces.find_namespace(ask.tenant, id)
    if row is None:
        raise not_found("Namespace")
    return answer(namespace(ask.view, row))


def find_group(ask: Asking, key: str, level: Level | None = None) -> sqlite3.Row:
    """A group that the caller may see (else 404), and have this level in (else 403)."""
    row = namespaces.find_group(ask.tenant, key)
    if level is not None:
        ask.user()
    mine = Level.NONE if row is None else level_in_group(ask.tenant, row, ask.person)
    hidden = row is not None and (
        (row["visibility"] == "private" and mine == Level.NONE)
        or (row["visibility"] == "internal" and ask.person is None)
    )
    if row is None or hidden:
        raise not_found("Group")
    if level is not None and mine < level:
        raise forbidden()
    return row


# Members


class _Of:
    """What somebody is a member of."""

    def __init__(self, ask: Asking, kind: str, key: str, level: Level | None = None) -> None:
        self.ask = ask
        self.source: Source = "group" if kind == "groups" else "project"
        self.row = find_group(ask, key, level) if kind == "groups" else ask.project(key, level)
        self.id: int = self.row["id"]

    def level(self) -> Level:
        if self.source == "group":
            return level_in_group(self.ask.tenant, self.row, self.ask.person)
        return level_of(self.ask.tenant, self.row, self.ask.person)

    def direct(self, search: str = "") -> list[Member]:
        found = store.list_members(self.ask.tenant, [(self.source, self.id)], search=search)
        return [member(self.ask.view, row) for row in found]

    def everyone(self, search: str = "") -> list[Member]:
        """With those of the group, and whose namespace it is."""
        if self.source == "group":
            return self.direct(search)
        sources: list[tuple[Source, int]] = [("project", self.id), ("group", self.row["namespace_id"])]
        rows = store.list_members(self.ask.tenant, sources, search=search)
        found = [member(self.ask.view, row) for row in rows]
        owner = known(self.row["namespace_path"]) if self.row["namespace_kind"] == "user" else None
        if owner is not None and all(row["username"] != owner for row in rows):
            implied = implied_member(self.ask.view, owner, Level.OWNER, self.row["created_at"])
            if search.lower() in f"{implied['name']} {implied['username']}".lower():
                found.insert(0, implied)
        return found


Kind = Literal["projects", "groups"]


@router.get("/{kind}/{id}/members", **returns(list[Member]))
async def list_members(ask: Ask, kind: Kind, id: Segment, page: Paged, query: str = "") -> Response:
    """Those added to it directly."""
    return sliced(ask, _Of(ask, kind, id).direct(query), page)


@router.get("/{kind}/{id}/members/all", **returns(list[Member]))
async def list_all_members(ask: Ask, kind: Kind, id: Segment, page: Paged, query: str = "") -> Response:
    """Those of its group too."""
    return sliced(ask, _Of(ask, kind, id).everyone(query), page)


@router.get("/{kind}/{id}/members/all/{user_id}", **returns(Member))
async def get_any_member(ask: Ask, kind: Kind, id: Segment, user_id: Id) -> Response:
    """One of those of `members/all`."""
    return _one(_Of(ask, kind, id).everyone(), user_id)


@router.get("/{kind}/{id}/members/{user_id}", **returns(Member))
async def get_member(ask: Ask, kind: Kind, id: Segment, user_id: Id) -> Response:
    """One of those added directly."""
    return _one(_Of(ask, kind, id).direct(), user_id)


@router.post("/{kind}/{id}/members", **returns(Member, 201))
async def add_member(ask: Ask, kind: Kind, id: Segment, given: NewMember) -> Response:
    """409 for somebody who is one already; several people at once may be given, the last is shown."""
    of = _Of(ask, kind, id, Level.MAINTAINER)
    people = [_person(ask, user_id) for user_id in given.user_id]
    if not people:
        raise not_found("User")
    _check_level(of, given.access_level)
    for person in people:
        if store.find_member(ask.tenant, of.source, of.id, person.username) is not None:
            raise conflict("Member already exists")
    for person in people:
        _set(of, person, given.access_level, given.expires_at)
    return _one(of.direct(), given.user_id[-1], 201)


@router.put("/{kind}/{id}/members/{user_id}", **returns(Member))
async def edit_member(ask: Ask, kind: Kind, id: Segment, user_id: Id, given: ChangedMember) -> Response:
    """Another level."""
    of = _Of(ask, kind, id, Level.MAINTAINER)
    person = _person(ask, user_id)
    if store.find_member(ask.tenant, of.source, of.id, person.username) is None:
        raise not_found()
    _check_level(of, given.access_level)
    _set(of, person, given.access_level, given.expires_at)
    return _one(of.direct(), user_id)


@router.delete("/{kind}/{id}/members/{user_id}", **NOTHING)
async def remove_member(ask: Ask, kind: Kind, id: Segment, user_id: Id) -> Response:
    """Maintainers may, and everybody may leave."""
    person = _person(ask, user_id)
    leaving = ask.person is not None and ask.person.username == person.username
    of = _Of(ask, kind, id, None if leaving else Level.MAINTAINER)
    if store.find_member(ask.tenant, of.source, of.id, person.username) is None:
        raise not_found()
    store.remove_member(ask.tenant, of.source, of.id, person.username)
    return no_content()


def _person(ask: Asking, user_id: int) -> Person:
    person = person_of_id(ask.tenant, user_id)
    if person is None:
        raise not_found("User")
    return person


def _check_level(of: _Of, level: int) -> None:
    """Nobody gives more than they have."""
    if level > of.level():
        raise forbidden()


def _set(of: _Of, person: Person, level: int, expires_at: date | None) -> None:
    store.set_member(
        of.ask.tenant,
        of.source,
        of.id,
        person.username,
        level,
        by=of.ask.user().username,
        expires_at=None if expires_at is None else expires_at.isoformat(),
    )


def _one(found: list[Member], user_id: int, status: int = 200) -> Response:
    for shape in found:
        if shape["id"] == user_id:
            return answer(shape, status)
    raise not_found()
