"""Routes: issues, their comments, links, activities and relations; search."""

import re
from typing import Any

from fastapi import Response

from tac_rl.office.base import TRACKER_WORKSPACE
from tac_rl.office.tracker import issues, listings, threads
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.collecting import ISSUE_PATHS, Collection, add_collection
from tac_rl.office.tracker.fields import BIGGEST, Invalid, text_of, uuid_of
from tac_rl.office.tracker.filters import SIMPLE, filtered, structured
from tac_rl.office.tracker.listings import Listing
from tac_rl.office.tracker.people import WORKSPACE_ID
from tac_rl.office.tracker.projects import ADMIN, GUEST, MEMBER, role_in
from tac_rl.office.tracker.records import Problem, forbidden, missing, refused
from tac_rl.office.tracker.resources import RELATIONS
from tac_rl.office.tracker.web import (
    API,
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

FILTERS = (
    *(parameter(name, "Only these, with commas between") for name in SIMPLE),
    parameter("filters", 'JSON: `{"and": [{"priority__in": ["high"]}, {"state_group": "started"}]}`'),
)
_MOST_FOUND = 100


def add_routes(api: Api) -> None:
    """Hot ones first: paths are tried in this order."""
    issue, paths = ref(r.ISSUE), (f"{PROJECT}/work-items", f"{PROJECT}/issues")
    query = (*PAGING, *FIELDS, *FILTERS)
    many, one = paths[1:], ISSUE_PATHS[1:]
    api.route("GET", paths[0], list_issues, "Issues", gives=paged(issue), query=query, also=many)
    api.route("GET", ISSUE_PATHS[0], get_issue, "An issue", gives=issue, query=FIELDS, also=one)
    takes, changes = r.ISSUE.body_schema(), r.ISSUE.body_schema(partial=True)
    api.route("POST", paths[0], create_issue, "New issue", gives=issue, status=201, takes=takes, also=many)
    path = ISSUE_PATHS[0]
    api.route("PATCH", path, update_issue, "Change an issue", gives=issue, takes=changes, also=one)
    api.route("DELETE", path, delete_issue, "Delete an issue", gives=None, status=204, also=one)
    for method, end, handler, summary in (
        ("POST", "archive", archive_issue, "Archive an issue"),
        ("DELETE", "unarchive", restore_issue, "Restore an issue"),
    ):
        also = [f"{ISSUE_PATHS[1]}/{end}"]
        api.route(method, f"{path}/{end}", handler, summary, gives=None, status=204, also=also)
    api.route(
        "GET",
        f"{PROJECT}/archived-work-items",
        list_archived,
        "Archived issues",
        gives=paged(issue),
        query=query,
        also=[f"{PROJECT}/archived-issues"],
    )

    for collection in (COMMENTS, LINKS):
        add_collection(api, collection)
    activities, activity = [f"{each}/activities" for each in ISSUE_PATHS], ref(r.ACTIVITY)
    api.route(
        "GET",
        activities[0],
        list_activities,
        "What happened to an issue",
        gives=paged(activity),
        query=(*PAGING, *FIELDS),
        also=activities[1:],
    )
    ones = [f"{each}/{{item_id:uuid}}" for each in activities]
    api.route("GET", ones[0], get_activity, "One change", gives=activity, query=FIELDS, also=ones[1:])
    _add_relations(api)
    _add_search(api, query)


def _add_relations(api: Api) -> None:
    paths = [f"{each}/relations" for each in ISSUE_PATHS]
    lists = {name: listed({"type": "string"}) for name in RELATIONS}
    shown = {"type": "object", "properties": lists, "required": list(RELATIONS)}
    api.route("GET", paths[0], list_relations, "Related issues", gives=shown, also=paths[1:])
    takes: dict[str, Any] = {
        "type": "object",
        "properties": {
            "relation_type": {"type": "string", "enum": list(RELATIONS)},
            "issues": listed({"type": "string", "format": "uuid"}),
        },
        "required": ["relation_type", "issues"],
    }
    api.route("POST", paths[0], add_relations, "Relate", gives=shown, status=201, takes=takes, also=paths[1:])
    other = {"related_issue": {"type": "string", "format": "uuid"}}
    takes = {"type": "object", "properties": other, "required": ["related_issue"]}
    paths = [f"{each}/remove" for each in paths]
    api.route(
        "POST", paths[0], remove_relation, "Unrelate", gives=None, status=204, takes=takes, also=paths[1:]
    )


def _add_search(api: Api, query: Any) -> None:
    found = {"type": "object", "properties": {"issues": listed({"type": "object"})}, "required": ["issues"]}
    asks = (
        parameter("search", "Part of a name, or a number"),
        parameter("limit", "How many", {"type": "integer", "minimum": 1, "maximum": _MOST_FOUND}),
        parameter("project_id", "Only in this project"),
        parameter("workspace_search", "`true` or `false`"),
    )
    path, also = f"{API}/work-items/search", [f"{API}/issues/search"]
    api.route("GET", path, search, "Find issues", gives=found, query=asks, also=also)
    takes = {"type": "object", "properties": {"query": {"type": "string"}, "filters": {"type": "object"}}}
    path = f"{API}/work-items/advanced-search"
    api.route("POST", path, advanced_search, "Find issues", gives=listed({"type": "object"}), takes=takes)
    path, gives = f"{API}/work-items", paged(ref(r.ISSUE))
    api.route("GET", path, list_workspace, "Issues of all projects", gives=gives, query=query)
    path = f"{API}/work-items/{{project_identifier}}-{{number:int}}"
    also = [path.replace("work-items", "issues")]
    api.route("GET", path, by_number, "An issue by its number", gives=ref(r.ISSUE), query=FIELDS, also=also)


# Issues


async def list_issues(call: Call) -> Response:
    project, query = call.project(), call.request.query_params
    if query.get("external_id") and query.get("external_source"):
        row = listings.any_issue_of(project).narrowed(
            "tracker_issues.external_id = ? AND tracker_issues.external_source = ?",
            *(query["external_id"], query["external_source"]),
        )
        found = row.page(call.tenant, 2, 0)[0]
        if not found:
            raise missing()
        return answer(call.shown(r.ISSUE, found[:1])[0])
    return call.page(filtered(listings.issues_of(project), query, call.names))


async def list_archived(call: Call) -> Response:
    listing = listings.archived_issues_of(call.project())
    return call.page(filtered(listing, call.request.query_params, call.names))


async def list_workspace(call: Call) -> Response:
    listing = listings.issues_of_workspace(call.workspace())
    return call.page(filtered(listing, call.request.query_params, call.names))


async def get_issue(call: Call) -> Response:
    return call.record(listings.issues_of(call.project()), call.id("issue_id"))


async def by_number(call: Call) -> Response:
    username, number = call.workspace(), call.request.path_params["number"]
    if number > BIGGEST:
        raise missing()
    identifier = call.request.path_params["project_identifier"].upper()
    project = call.tenant.value("SELECT id FROM tracker_projects WHERE identifier = ?", identifier)
    if project is None or role_in(call.tenant, project, username) < GUEST:
        raise forbidden()
    listing = listings.issues_of(project)
    row = listing.one(call.tenant, number, "sequence_id")
    if row is None:
        raise missing()
    return answer(call.shown(r.ISSUE, [row])[0])


async def create_issue(call: Call) -> Response:
    project = call.project(MEMBER)
    values = r.ISSUE.parse(await call.document(), call.scope(project))
    made = issues.create_issue(call.act, project, values)
    return call.record(listings.any_issue_of(project), made, 201)


async def update_issue(call: Call) -> Response:
    project = call.project(MEMBER)
    listing = listings.any_issue_of(project)
    issue = call.require(listing, call.id("issue_id"))
    values = r.ISSUE.parse(await call.document(), call.scope(project), partial=True)
    issues.update_issue(call.act, issue, values)
    return call.record(listing, issue)


async def delete_issue(call: Call) -> Response:
    project = call.project(MEMBER)
    row = listings.any_issue_of(project).one(call.tenant, call.id("issue_id"))
    if row is None:
        raise missing()
    if row["created_by"] != call.username and role_in(call.tenant, project, call.username) < ADMIN:
        raise Problem(403, {"error": "Only admin or creator can delete the issue"})
    issues.delete_issue(call.act, project, row["id"])
    return done()


async def archive_issue(call: Call) -> Response:
    project = call.project(MEMBER)
    issue = call.require(listings.any_issue_of(project), call.id("issue_id"))
    issues.archive_issue(call.act, issue, archived=True)
    return done()


async def restore_issue(call: Call) -> Response:
    project = call.project(MEMBER)
    issue = call.require(listings.any_issue_of(project), call.id("issue_id"))
    issues.archive_issue(call.act, issue, archived=False)
    return done()


# Comments, links, activities


COMMENTS = Collection(
    "comments",
    r.COMMENT,
    lambda call, project, issue: listings.of_issue(r.COMMENT, project, issue),
    create=threads.create_comment,
    update=lambda act, project, issue, comment, values: threads.update_comment(act, comment, values),
    delete=threads.delete_comment,
    of_issue=True,
    least=GUEST,
)
LINKS = Collection(
    "links",
    r.LINK,
    lambda call, project, issue: listings.of_issue(r.LINK, project, issue),
    create=threads.create_link,
    update=threads.update_link,
    delete=threads.delete_link,
    of_issue=True,
)


def _activities(call: Call) -> Listing:
    project = call.project()
    issue = call.require(listings.any_issue_of(project), call.id("issue_id"))
    return listings.of_issue(
        r.ACTIVITY, project, issue, "created_at", "coalesce(tracker_activities.field, '') != 'comment'"
    )


async def list_activities(call: Call) -> Response:
    return call.page(_activities(call))


async def get_activity(call: Call) -> Response:
    return call.record(_activities(call), call.id("item_id"))


# Relations


def _relations(call: Call, issue: str, status: int = 200) -> Response:
    found = threads.relations_of(call.tenant, issue)
    return answer({name: found.get(name, []) for name in RELATIONS}, status)


async def list_relations(call: Call) -> Response:
    project = call.project()
    return _relations(call, call.require(listings.any_issue_of(project), call.id("issue_id")))


async def add_relations(call: Call) -> Response:
    project = call.project(MEMBER)
    issue = call.require(listings.any_issue_of(project), call.id("issue_id"))
    document = await call.document()
    if not isinstance(document, dict) or document.get("relation_type") not in list(RELATIONS):
        raise refused("relation_type must be one of " + ", ".join(RELATIONS))
    others = document.get("issues")
    if not isinstance(others, list) or not others:
        raise refused("Issues are required")
    threads.relate(call.act, project, issue, document["relation_type"], [_uuid(item) for item in others])
    return _relations(call, issue, 201)


async def remove_relation(call: Call) -> Response:
    project = call.project(MEMBER)
    issue = call.require(listings.any_issue_of(project), call.id("issue_id"))
    document = await call.document()
    if not isinstance(document, dict) or "related_issue" not in document:
        raise refused("related_issue is required")
    threads.unrelate(call.act, project, issue, _uuid(document["related_issue"]))
    return done()


def _uuid(value: Any) -> str:
    try:
        return uuid_of(value)
    except Invalid as invalid:
        raise refused(str(invalid)) from None


# Search


def _found(call: Call, listing: Listing, text: str) -> Listing:
    """Issues whose name has the text, or that the text names by number, or whose project it names."""
    parts, arguments = ["instr(lower(tracker_issues.name), ?)", "instr(lower(p.identifier), ?)"], []
    arguments += [text.lower(), text.lower()]
    for number in re.findall(r"\b[0-9]{1,9}\b", text)[:10]:
        parts.append("tracker_issues.sequence_id = ?")
        arguments.append(number)
    return listing.narrowed(f"({' OR '.join(parts)})", *arguments)


async def search(call: Call) -> Response:
    listing, query = listings.issues_of_workspace(call.workspace()), call.request.query_params
    text = query.get("search", "")
    if not text:
        return answer({"issues": []})
    if query.get("project_id") and query.get("workspace_search", "false") == "false":
        listing = listing.narrowed("tracker_issues.project = ?", _uuid(query["project_id"]))
    limit = query.get("limit", "10")
    if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= _MOST_FOUND:
        raise refused(f"limit must be a number from 1 to {_MOST_FOUND}")
    rows, _ = _found(call, listing, text).page(call.tenant, int(limit), 0)
    return answer(
        {
            "issues": [
                {
                    "id": row["id"],
                    "name": row["name"],
                    "sequence_id": row["sequence_id"],
                    "project__identifier": _identifier(call, row["project"]),
                    "project_id": row["project"],
                    "workspace__slug": TRACKER_WORKSPACE,
                }
                for row in rows
            ]
        }
    )


async def advanced_search(call: Call) -> Response:
    listing = listings.issues_of_workspace(call.workspace())
    document = await call.document()
    if not isinstance(document, dict):
        raise refused("Expected an object")
    limit = document.get("limit", _MOST_FOUND)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST_FOUND:
        raise refused(f"limit must be a number from 1 to {_MOST_FOUND}")
    if document.get("project_id") and not document.get("workspace_search"):
        listing = listing.narrowed("tracker_issues.project = ?", _uuid(document["project_id"]))
    if document.get("query"):
        try:
            listing = _found(call, listing, text_of(document["query"]))
        except Invalid as invalid:
            raise refused(f"query: {invalid}") from None
    if document.get("filters"):
        sql, arguments = structured(document["filters"], call.names)
        listing = listing.narrowed(sql, *arguments)
    rows, _ = listing.page(call.tenant, limit, 0)
    same = ("id", "name", "sequence_id", "priority", "start_date", "target_date")
    return answer(
        [
            {
                **{name: row[name] for name in same},
                "state_id": row["state"],
                "type_id": None,
                "project_id": row["project"],
                "project_identifier": _identifier(call, row["project"]),
                "workspace_id": WORKSPACE_ID,
            }
            for row in rows
        ]
    )


def _identifier(call: Call, project: str) -> str:
    return str(call.tenant.value("SELECT identifier FROM tracker_projects WHERE id = ?", project))
