"""The API's ground: who calls, what came in, what goes out, and what the OpenAPI document says of it."""

import json
import math
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from tac_rl.office.base import TRACKER_WORKSPACE
from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.expanding import Expander
from tac_rl.office.tracker.fields import BIGGEST, Scope
from tac_rl.office.tracker.listings import Listing
from tac_rl.office.tracker.people import Names, names_of, username_of_key
from tac_rl.office.tracker.projects import GUEST, role_in
from tac_rl.office.tracker.records import Act, Problem, act_now, forbidden, missing
from tac_rl.office.tracker.resources import Resource

MOST_BYTES = 2_621_440
"""Of a body."""
PAGE_LIMIT = 1000
API = "/api/v1/workspaces/{slug}"
PROJECT = API + "/projects/{project_id:uuid}"
Handler = Callable[["Call"], Awaitable[Response]]


@dataclass
class Call:
    """One request."""

    request: Request

    @cached_property
    def tenant(self) -> Tenant:
        tenant: Tenant = self.request.state.tenant
        return tenant

    @cached_property
    def username(self) -> str:
        """Whose API key it carries; refused without a valid one."""
        key = self.request.headers.get("x-api-key")
        if not key:
            raise Problem(401, {"detail": "Authentication credentials were not provided."})
        username = username_of_key(self.tenant, key)
        if username is None:
            raise Problem(403, {"detail": "Given API token is not valid"})
        return username

    @cached_property
    def names(self) -> Names:
        return names_of(self.tenant)

    @cached_property
    def act(self) -> Act:
        return act_now(self.tenant, self.username)

    def id(self, name: str) -> str:
        """A UUID of the path."""
        return str(self.request.path_params[name])

    def workspace(self) -> str:
        """The caller's username; refused for another workspace than ours."""
        username = self.username
        if self.request.path_params["slug"] != TRACKER_WORKSPACE:
            raise forbidden()
        return username

    def project(self, least: int = GUEST) -> str:
        """The project of the path, in which the caller must have at least this role."""
        username, project = self.workspace(), self.id("project_id")
        if role_in(self.tenant, project, username) < least:
            raise forbidden()
        return project

    def scope(self, project: str | None = None) -> Scope:
        return Scope(self.tenant, self.names, project)

    async def document(self) -> Any:
        """The body: JSON, or the fields of a form."""
        kind = self.request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        body = await read_body(self.request, MOST_BYTES)
        if kind == "application/x-www-form-urlencoded":
            return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        if kind != "application/json":
            raise Problem(415, {"detail": f'Unsupported media type "{kind}" in request.'})
        if not body.strip():
            return {}
        try:
            return json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise Problem(400, {"detail": f"JSON parse error - {error}"}) from None

    # Answers

    def shown(
        self, resource: Resource, rows: Iterable[sqlite3.Row | Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Records as JSON, with what `?fields=` and `?expand=` ask for."""
        records = [resource.show(row, self.names) for row in rows]
        query = self.request.query_params
        if wanted := {name for name in query.get("fields", "").split(",") if name}:
            records = [{name: record[name] for name in record if name in wanted} for record in records]
        if expanded := [name for name in query.get("expand", "").split(",") if name]:
            Expander(self.tenant, self.names).expand(records, expanded)
        return records

    def record(self, listing: Listing, identifier: str, status: int = 200) -> Response:
        """One record of a listing, as an answer."""
        row = listing.one(self.tenant, identifier)
        if row is None:
            raise missing()
        return answer(self.shown(listing.resource, [row])[0], status)

    def require(self, listing: Listing, identifier: str) -> str:
        if listing.one(self.tenant, identifier) is None:
            raise missing()
        return identifier

    def page(self, listing: Listing) -> Response:
        """One page of a listing, in the order the client asks for."""
        listing = listing.ordered(self.request.query_params.get("order_by"))
        limit, page, offset = self._place()
        rows, total = listing.page(self.tenant, limit, offset)
        return answer(envelope(self.shown(listing.resource, rows), total, limit, page))

    def page_of(self, records: Sequence[dict[str, Any]]) -> Response:
        """One page of records that are all at hand."""
        limit, page, offset = self._place()
        return answer(envelope(list(records[offset : offset + limit]), len(records), limit, page))

    def _place(self) -> tuple[int, int, int]:
        """How many records a page has, which page is asked for, and where it begins."""
        query = self.request.query_params
        limit = _number(query.get("per_page", str(PAGE_LIMIT)), "Invalid per_page parameter.")
        if limit > PAGE_LIMIT:
            problem = f"Invalid per_page value. Cannot exceed {PAGE_LIMIT}."
            raise Problem(400, {"detail": problem})
        if limit < 1:
            raise Problem(400, {"detail": "Invalid per_page parameter."})
        bits = query.get("cursor", f"{limit}:0:0").split(":")
        if len(bits) != 3:
            raise Problem(400, {"detail": "Invalid cursor parameter."})
        value, page, _ = (_number(bit, "Invalid cursor parameter.") for bit in bits)
        if page < 0 or value < 0 or page * value > BIGGEST:
            raise Problem(400, {"detail": "Error in parsing"})
        return limit, page, page * value


def envelope(results: list[dict[str, Any]], total: int, limit: int, page: int) -> dict[str, Any]:
    return {
        "grouped_by": None,
        "sub_grouped_by": None,
        "total_count": total,
        "next_cursor": f"{limit}:{page + 1}:0",
        "prev_cursor": f"{limit}:{page - 1}:1",
        "next_page_results": (page + 1) * limit < total,
        "prev_page_results": page > 0,
        "count": len(results),
        "total_pages": math.ceil(total / limit),
        "total_results": total,
        "extra_stats": None,
        "results": results,
    }


def answer(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")


def done() -> Response:
    return Response(status_code=204)


async def read_body(request: Request, most: int) -> bytes:
    """All of a body; refused where it is longer than `most` bytes."""
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise Problem(413, {"error": f"The body is longer than {most} bytes"})
            parts.append(part)
    except ClientDisconnect:
        raise Problem(400, {"error": "The body ended early"}) from None
    return b"".join(parts)


def _number(text: str, problem: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,10}", text):
        raise Problem(400, {"detail": problem})
    return int(text)


def _no_constant(name: str) -> float:
    raise ValueError(f"Out of range float values are not JSON compliant: {name}")


# The document


def parameter(
    name: str, description: str, schema: Mapping[str, Any] | None = None, *, required: bool = False
) -> dict[str, Any]:
    shape = {"type": "string"} if schema is None else dict(schema)
    return {"name": name, "in": "query", "description": description, "schema": shape, "required": required}


FIELDS = (
    parameter("fields", "Only these fields, with commas between"),
    parameter("expand", "Fields whose record is shown in place of its UUID, with commas between"),
)
PAGING = (
    parameter("per_page", "How many records", {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT}),
    parameter("cursor", "`per_page:page:0`; the answer's `next_cursor`"),
    parameter("order_by", "A field, with `-` in front for descending"),
)
ANYTHING: dict[str, Any] = {}
PROBLEM = {"description": "Refused", "content": {"application/json": {"schema": ANYTHING}}}


def paged(schema: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of a page of records."""
    numbers = {name: {"type": "integer"} for name in ("total_count", "count", "total_pages", "total_results")}
    texts = {name: {"type": "string"} for name in ("next_cursor", "prev_cursor")}
    flags = {name: {"type": "boolean"} for name in ("next_page_results", "prev_page_results")}
    results = {"results": {"type": "array", "items": dict(schema)}}
    properties: dict[str, Any] = {**numbers, **texts, **flags, **results}
    return {"type": "object", "properties": properties, "required": list(properties)}


def listed(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(schema)}


def ref(resource: Resource) -> dict[str, Any]:
    """The resource's schema, which stands in the document's components."""
    return {"$ref": f"#/components/schemas/{resource.name}"}


@dataclass(frozen=True)
class Api:
    """Puts handlers at their paths, and says in the document what they take and give."""

    app: FastAPI

    def route(
        self,
        method: str,
        path: str,
        handler: Handler,
        summary: str,
        *,
        gives: Mapping[str, Any] | None,
        status: int = 200,
        takes: Mapping[str, Any] | None = None,
        query: Sequence[Mapping[str, Any]] = (),
        also: Sequence[str] = (),
    ) -> None:
        """`gives` is None for an answer without a body; `also` are further paths of the same thing."""

        async def endpoint(request: Request) -> Response:
            return await handler(Call(request))

        found = re.findall(r"{(\w+)(?::(\w+))?}", path)
        parameters = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": _PATH_SHAPES[name if name == "slug" else kind],
            }
            for name, kind in found
        ]
        extra: dict[str, Any] = {"parameters": [*parameters, *query]}
        if takes is not None:
            extra["requestBody"] = {"content": {"application/json": {"schema": dict(takes)}}}
        content = {} if gives is None else {"content": {"application/json": {"schema": dict(gives)}}}
        responses: dict[int | str, dict[str, Any]] = {status: {"description": "Done", **content}}
        for number, each in enumerate((path, *also)):
            self.app.add_api_route(
                each,
                endpoint,
                methods=[method],
                status_code=status,
                summary=summary,
                response_model=None,
                responses={**responses, "4XX": PROBLEM},
                openapi_extra=extra,
                include_in_schema=number == 0,
                name=f"{method.lower()} {path}",
            )


_PATH_SHAPES = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 1, "maximum": BIGGEST},
    "": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
    "slug": {"type": "string", "enum": [TRACKER_WORKSPACE]},
}
