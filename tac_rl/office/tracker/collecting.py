"""Routes of a collection: list, create, read, change and delete records of one kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from tac_rl.office.tracker.listings import Listing, any_issue_of
from tac_rl.office.tracker.projects import GUEST, MEMBER
from tac_rl.office.tracker.resources import Resource
from tac_rl.office.tracker.web import FIELDS, PAGING, PROJECT, Api, Call, done, paged, ref

ISSUE_PATHS = (f"{PROJECT}/work-items/{{issue_id:uuid}}", f"{PROJECT}/issues/{{issue_id:uuid}}")
"""What newer and older clients call the same."""


@dataclass(frozen=True)
class Collection:
    """A collection of a project (or of an issue)."""

    name: str
    """The end of its path."""
    resource: Resource
    listing: Callable[..., Listing]
    """(call, project[, issue]) -> its records."""
    create: Callable[..., str]
    """(act, project[, issue], values) -> UUID"""
    update: Callable[..., None]
    """(act, project[, issue], UUID, values)"""
    delete: Callable[..., None]
    """(act, project[, issue], UUID)"""
    of_issue: bool = False
    created: int = 201
    query: Sequence[Mapping[str, Any]] = ()
    least: int = MEMBER
    """The role that may change something."""
    also: Sequence[str] = ()
    """Other ends of the path."""
    listed: bool = True
    """Whether the list is read here, or whoever adds the collection has a way of its own."""


def add_collection(api: Api, collection: Collection) -> None:
    paths = [
        f"{owner}/{name}"
        for owner in (ISSUE_PATHS if collection.of_issue else (PROJECT,))
        for name in (collection.name, *collection.also)
    ]
    ones = [f"{path}/{{item_id:uuid}}" for path in paths]
    resource, shown = collection.resource, ref(collection.resource)
    noun = resource.name.lower()

    def owner(call: Call, least: int = GUEST) -> tuple[str, ...]:
        """The project, and the issue if the collection is one's."""
        project = call.project(least)
        if not collection.of_issue:
            return (project,)
        return project, call.require(any_issue_of(project), call.id("issue_id"))

    async def read_all(call: Call) -> Response:
        return call.page(collection.listing(call, *owner(call)))

    async def create(call: Call) -> Response:
        owners = owner(call, collection.least)
        values = resource.parse(await call.document(), call.scope(owners[0]))
        made = collection.create(call.act, *owners, values)
        return call.record(collection.listing(call, *owners), made, collection.created)

    async def read(call: Call) -> Response:
        return call.record(collection.listing(call, *owner(call)), call.id("item_id"))

    async def update(call: Call) -> Response:
        owners = owner(call, collection.least)
        listing = collection.listing(call, *owners)
        item = call.require(listing, call.id("item_id"))
        values = resource.parse(await call.document(), call.scope(owners[0]), partial=True)
        collection.update(call.act, *owners, item, values)
        return call.record(listing, item)

    async def delete(call: Call) -> Response:
        owners = owner(call, collection.least)
        item = call.require(collection.listing(call, *owners), call.id("item_id"))
        collection.delete(call.act, *owners, item)
        return done()

    query = (*PAGING, *FIELDS, *collection.query)
    many, each = paths[1:], ones[1:]
    if collection.listed:
        api.route("GET", paths[0], read_all, f"Every {noun}", gives=paged(shown), query=query, also=many)
    takes, status = resource.body_schema(), collection.created
    api.route("POST", paths[0], create, f"New {noun}", gives=shown, status=status, takes=takes, also=many)
    api.route("GET", ones[0], read, f"One {noun}", gives=shown, query=FIELDS, also=each)
    takes = resource.body_schema(partial=True)
    api.route("PATCH", ones[0], update, f"Change a {noun}", gives=shown, takes=takes, also=each)
    api.route("DELETE", ones[0], delete, f"Delete a {noun}", gives=None, status=204, also=each)
