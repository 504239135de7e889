"""What the REST endpoints share: who calls, what was sent, and how the answer looks."""

import json
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive

from tac_rl.office.chat import users
from tac_rl.office.chat.models import PageQuery, RoomQuery
from tac_rl.office.chat.refusals import Failed, Refused
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant

MAX_BODY_BYTES = 4 << 20
"""Of a request that is not an upload."""
DEFAULT_COUNT, MAX_COUNT = 50, 100
"""Of a page: Rocket.Chat's `API_Default_Count` and `API_Upper_Count_Limit`."""


def answer(data: Any, status: int = 200) -> Response:
    content = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status, media_type="application/json")


def success(**data: Any) -> Response:
    return answer({**data, "success": True})


def failure(refused: Refused) -> Response:
    data: dict[str, Any] = {"success": False, "error": str(refused)}
    if refused.kind:
        data["errorType"] = refused.kind
    return answer(data, refused.status)


class NotLoggedIn(Exception):
    """No session, or none any more."""


# Who calls


@dataclass(frozen=True)
class Caller:
    """Who calls, and in which tenant."""

    tenant: Tenant
    user: User
    token: str


async def tenant_of(request: Request) -> Tenant:
    tenant: Tenant = request.state.tenant
    users.ensure_users(tenant)
    return tenant


async def caller(request: Request) -> Caller:
    tenant = await tenant_of(request)
    token = request.headers.get("x-auth-token", "")
    user = users.of_token(tenant, request.headers.get("x-user-id", ""), token)
    if user is None:
        raise NotLoggedIn
    return Caller(tenant, user, token)


TOKEN_COOKIE, USER_COOKIE = "rc_token", "rc_uid"
"""Of the pages' sessions. Only pages and files look at them: cookies alone let nobody use the API."""


def by_cookie(request: Request, tenant: Tenant) -> Caller | None:
    """Whose browser this is."""
    token = request.cookies.get(TOKEN_COOKIE, "")
    user = users.of_token(tenant, request.cookies.get(USER_COOKIE, ""), token)
    return None if user is None else Caller(tenant, user, token)


Me = Annotated[Caller, Depends(caller)]
InTenant = Annotated[Tenant, Depends(tenant_of)]


# What was sent


def body(model: type[BaseModel]) -> Any:
    """A dependency: the request's body, JSON or a form, as this model."""
    return Depends(BodyOf(model))


class BodyOf:
    """Reads a body; the OpenAPI document finds the model here."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> BaseModel:
        form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        raw = await read_body(request)
        data = _of_form(raw) if form else _of_json(raw)
        try:
            return self.model.model_validate(data)
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_context=False)) from None


def invalid(errors: Any) -> Refused:
    """Parameters that are missing or of the wrong type."""
    first = errors[0]
    name = ".".join(str(part) for part in first["loc"] if part not in ("query", "path"))
    return Refused("invalid-params", f"{name}: {first['msg']}" if name else first["msg"])


async def read_body(request: Request) -> bytes:
    whole = bytearray()
    async for chunk in limited(request, MAX_BODY_BYTES).stream():
        whole += chunk
    return bytes(whole)


def limited(request: Request, limit: int) -> Request:
    """The same request, refused as soon as its body is longer than this many bytes."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise Failed("request entity too large", 413)
    received, receive = 0, request.receive

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise Failed("request entity too large", 413)
        return message

    bounded: Receive = counting
    return Request(request.scope, bounded)


def _of_form(raw: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise Failed(f"Invalid form: {error}") from None
    data: dict[str, Any] = {}
    for name, value in pairs:
        if name.endswith("[]"):
            data.setdefault(name[:-2], []).append(value)
        else:
            data[name] = value
    return data


def _of_json(raw: bytes) -> dict[str, Any]:
    try:
        data = _loads(raw.decode("utf-8")) if raw.strip() else {}
    except (ValueError, RecursionError):
        raise Failed("Invalid JSON") from None
    if not isinstance(data, dict):
        raise Failed("Invalid JSON: an object is wanted")
    return data


def _loads(text: str) -> Any:
    data = json.loads(text, parse_constant=_no_constant)
    if "\\u" in text:  # half of a surrogate pair can't be stored, nor sent back
        data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def query(model: type[BaseModel]) -> Any:
    """A dependency: these parameters of the address; checked as one, for FastAPI checks each for itself."""
    return Depends(QueryOf(model))


class QueryOf:
    """Reads parameters; the OpenAPI document finds the model here."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> BaseModel:
        try:
            return self.model.model_validate(dict(request.query_params))
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_context=False)) from None


InRoom = Annotated[RoomQuery, query(RoomQuery)]


@dataclass(frozen=True)
class Paging:
    """Which part of a list is wanted, in which order."""

    offset: int
    count: int | None
    """None: all."""
    sort: dict[str, Any]
    query: dict[str, Any]

    def order(self, columns: dict[str, str], otherwise: str) -> str:
        """SQL for `sort`, of the keys that this list can be sorted by."""
        terms = [
            f"{columns[key]} {'DESC' if direction in (-1, '-1', 'desc') else 'ASC'}"
            for key, direction in self.sort.items()
            if key in columns
        ]
        return ", ".join(terms) or otherwise

    def where(self, columns: dict[str, str]) -> tuple[str, list[str]]:
        """SQL for the equalities of `query`, of the keys that this list can be searched by; its arguments."""
        given = {columns[key]: value for key, value in self.query.items() if key in columns}
        strings = {column: value for column, value in given.items() if isinstance(value, str)}
        return "".join(f" AND {column} = ?" for column in strings), list(strings.values())

    def answer(self, name: str, items: list[Any], total: int) -> Response:
        return success(**{name: items, "count": len(items), "offset": self.offset, "total": total})


async def paging(given: Annotated[PageQuery, query(PageQuery)]) -> Paging:
    wanted = DEFAULT_COUNT if given.count is None else min(given.count, MAX_COUNT)
    return Paging(given.offset, wanted or None, _object(given.sort, "sort"), _object(given.query, "query"))


Paged = Annotated[Paging, Depends(paging)]


def _object(text: str | None, name: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = _loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(f"error-invalid-{name}", f'Invalid {name} parameter provided: "{text[:200]}"')
    return found
