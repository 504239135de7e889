"""Routes: cycles and modules, and the issues planned in them."""

from dataclasses import replace
from typing import Any

from fastapi import Response

from tac_rl.office.tracker import listings, plans
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.collecting import Collection, add_collection
from tac_rl.office.tracker.fields import Invalid, uuid_of
from tac_rl.office.tracker.filters import filtered
from tac_rl.office.tracker.listings import Listing
from tac_rl.office.tracker.projects import GUEST, MEMBER
from tac_rl.office.tracker.records import missing, refused
from tac_rl.office.tracker.web import (
    FIELDS,
    PAGING,
    PROJECT,
    Api,
    Call,
    answer,
    done,
    listed,
    paged,
    parameter,
    ref,
)

_STATUSES = ("current", "upcoming", "completed", "draft", "incomplete")
_STATUS = parameter("status", "Which cycles", {"type": "string", "enum": [*_STATUSES, "all"]})
_ISSUES = {
    "type": "object",
    "properties": {"issues": listed({"type": "string", "format": "uuid"})},
    "required": ["issues"],
}


def _cycles(call: Call, project: str) -> Listing:
    query = call.request.query_params
    status = query.get("status") or query.get("cycle_view") or "all"
    if status == "all":
        return listings.cycles_of(project)
    return listings.cycles_by_status(project, status, call.act.at[:10])


CYCLES = Collection(
    "cycles",
    r.CYCLE,
    lambda call, project: listings.cycles_of(project),
    create=plans.create_cycle,
    update=lambda act, project, cycle, values: plans.update_cycle(act, cycle, values),
    delete=plans.delete_cycle,
)
MODULES = Collection(
    "modules",
    r.MODULE,
    lambda call, project: listings.modules_of(project),
    create=plans.create_module,
    update=lambda act, project, module, values: plans.update_module(act, module, values),
    delete=plans.delete_module,
)


def add_routes(api: Api) -> None:
    many = {"type": ["object", "array"]}
    query: tuple[dict[str, Any], ...] = (*PAGING, *FIELDS, _STATUS, {**_STATUS, "name": "cycle_view"})
    # Before the collection's own: with `status=current` Plane gives a bare list.
    api.route("GET", f"{PROJECT}/cycles", list_cycles, "Every cycle", gives=many, query=query)
    path, gives = f"{PROJECT}/cycles-lite", paged(ref(r.CYCLE))
    query = (*PAGING, _STATUS)
    api.route("GET", path, list_cycles_lite, "Every cycle, in pages", gives=gives, query=query)
    add_collection(api, replace(CYCLES, listed=False))
    add_collection(api, replace(MODULES, also=["modules-lite"]))
    _add_planning(api, "cycle", r.CYCLE_ISSUE)
    _add_planning(api, "module", r.MODULE_ISSUE)
    path = f"{PROJECT}/cycles/{{plan_id:uuid}}/transfer-issues"
    takes = {
        "type": "object",
        "properties": {"new_cycle_id": {"type": "string", "format": "uuid"}},
        "required": ["new_cycle_id"],
    }
    said = {"type": "object", "properties": {"message": {"type": "string"}}}
    api.route("POST", path, transfer, "Move unfinished issues to another cycle", gives=said, takes=takes)


async def list_cycles(call: Call) -> Response:
    project, query = call.project(), call.request.query_params
    listing = _cycles(call, project)
    if (query.get("status") or query.get("cycle_view")) == "current":
        rows, _ = listing.page(call.tenant, 1000, 0)
        return answer(call.shown(r.CYCLE, rows))
    return call.page(listing)


async def list_cycles_lite(call: Call) -> Response:
    return call.page(_cycles(call, call.project()))


async def transfer(call: Call) -> Response:
    project = call.project(MEMBER)
    cycle = call.require(listings.cycles_of(project), call.id("plan_id"))
    document = await call.document()
    new = document.get("new_cycle_id") if isinstance(document, dict) else None
    if not new:
        raise refused("New Cycle Id is required")
    plans.transfer(call.act, project, cycle, _uuid(new))
    return answer({"message": "Success"})


def _uuid(value: object) -> str:
    try:
        return uuid_of(value)
    except Invalid as invalid:
        raise refused(str(invalid)) from None


def _add_planning(api: Api, kind: str, bridge: r.Resource) -> None:
    """A cycle's or module's issues, and its archive."""
    plan = r.CYCLE if kind == "cycle" else r.MODULE
    one = f"{PROJECT}/{kind}s/{{plan_id:uuid}}"
    put = plans.put_in_cycle if kind == "cycle" else plans.put_in_module
    take = plans.take_from_cycle if kind == "cycle" else plans.take_from_module
    archive = plans.archive_cycle if kind == "cycle" else plans.archive_module

    def of(project: str, *, archived: bool = False) -> Listing:
        found = listings.cycles_of if kind == "cycle" else listings.modules_of
        return found(project, archived=archived)

    def owners(call: Call, least: int = GUEST, *, archived: bool = False) -> tuple[str, str]:
        project = call.project(least)
        return project, call.require(of(project, archived=archived), call.id("plan_id"))

    async def list_issues(call: Call) -> Response:
        project, found = owners(call)
        listing = listings.issues_in(kind, found, project)
        return call.page(filtered(listing, call.request.query_params, call.names))

    async def put_issues(call: Call) -> Response:
        project, found = owners(call, MEMBER)
        wanted = plans.require_issues(await call.document())
        put(call.act, project, found, [_uuid(item) for item in wanted])
        rows, _ = listings.bridges(kind, found).page(call.tenant, 1000, 0)
        return answer(call.shown(bridge, rows))

    async def get_bridge(call: Call) -> Response:
        _, found = owners(call)
        listing = listings.bridges(kind, found)
        row = listing.one(call.tenant, call.id("issue_id"), "issue")
        if row is None:
            raise missing()
        return answer(call.shown(bridge, [row])[0])

    async def take_issue(call: Call) -> Response:
        project, found = owners(call, MEMBER)
        take(call.act, project, found, call.id("issue_id"))
        return done()

    async def archive_plan(call: Call) -> Response:
        archive(call.act, owners(call, MEMBER)[1], archived=True)
        return done()

    async def restore_plan(call: Call) -> Response:
        archive(call.act, owners(call, MEMBER, archived=True)[1], archived=False)
        return done()

    async def list_archived(call: Call) -> Response:
        return call.page(of(call.project(), archived=True))

    path = f"{one}/{kind}-issues"
    query = (*PAGING, *FIELDS)
    api.route("GET", path, list_issues, f"Issues of a {kind}", gives=paged(ref(r.ISSUE)), query=query)
    bridges = listed(ref(bridge))
    api.route("POST", path, put_issues, f"Put issues into a {kind}", gives=bridges, takes=_ISSUES)
    path = f"{path}/{{issue_id:uuid}}"
    api.route("GET", path, get_bridge, f"Whether an issue is in a {kind}", gives=ref(bridge), query=FIELDS)
    api.route("DELETE", path, take_issue, f"Take an issue out of a {kind}", gives=None, status=204)
    path = f"{one}/archive"
    api.route("POST", path, archive_plan, f"Archive a {kind}", gives=None, status=204)
    path, also = f"{PROJECT}/archived-{kind}s/{{plan_id:uuid}}/unarchive", [path]
    api.route("DELETE", path, restore_plan, f"Restore a {kind}", gives=None, status=204, also=also)
    path = f"{PROJECT}/archived-{kind}s"
    api.route(
        "GET", path, list_archived, f"Archived {kind}s", gives=paged(ref(plan)), query=(*PAGING, *FIELDS)
    )
