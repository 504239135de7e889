"""What all endpoints share: who asks, with which parameters, and how answers are sent.

As in GitLab, parameters of a request may come in its query, as a form, as JSON, or mixed.
"""

import asyncio
import base64
import binascii
import json
import math
import re
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from typing import Annotated, Any, TypeVar, get_origin
from urllib.parse import parse_qsl, unquote, urlencode

from fastapi import Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pygit2 import Repository
from starlette.datastructures import MutableHeaders, UploadFile

from tac_rl.office.base import HOST, PORTS, Person, ServiceName
from tac_rl.office.forge.errors import ForgeError, forbidden, not_found, unauthorized
from tac_rl.office.forge.repositories import open_folder, repository_folder
from tac_rl.office.forge.shapes.view import View
from tac_rl.office.forge.store.access import Level, level_of, may_see, need
from tac_rl.office.forge.store.paging import Page
from tac_rl.office.forge.store.people import person_of_session, person_of_token, sign_in
from tac_rl.office.forge.store.projects import find_project
from tac_rl.office.tenant import Tenant

Found = TypeVar("Found")
READ_SECONDS = 60.0
LARGEST_BODY = 64 << 20
"""Bytes of a request to the API or the pages (pushes have their own limit)."""
SESSION_COOKIE = "_gitlab_session"

Segment = Annotated[str, AfterValidator(unquote)]
"""A part of the path. Routes see paths as they were sent, so that `group%2Fname` stays one part."""
Id = Annotated[int, Field(ge=0, le=2**31 - 1)]


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL in JSON, where a backslash that is itself escaped doesn't count."""


class Params(BaseModel):
    """Parameters in a request's body, query or both. What isn't known is ignored, as in GitLab."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    def given(self) -> dict[str, Any]:
        """Only what the client sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Asking:
    """A request: its tenant, who sent it, and what they may do."""

    def __init__(self, request: Request, person: Person | None) -> None:
        self.request = request
        self.tenant: Tenant = request.state.tenant
        self.person = person
        self.view = View(self.tenant, base_url(request), person)

    def user(self) -> Person:
        """Who is signed in; else 401."""
        if self.person is None:
            raise unauthorized()
        return self.person

    def admin(self) -> Person:
        if not self.user().admin:
            raise forbidden()
        return self.user()

    def project(self, key: str, level: Level | None = None, setting: str = "") -> sqlite3.Row:
        """A project that they may see (else 404) and, where `level` is given, at which they have it (else 403).

        `setting` names a feature that the project must have switched on (else 403).
        """
        found = find_project(self.tenant, key)
        if level is not None and self.person is None:
            raise unauthorized()
        if found is None or not may_see(self.tenant, found, self.person):
            raise not_found("Project")
        if level is not None:
            need(self.tenant, found, self.person, level)
        if setting and not json.loads(found["settings"]).get(setting, True):
            raise forbidden()
        return found

    def level(self, project: sqlite3.Row) -> Level:
        return level_of(self.tenant, project, self.person)


def base_url(request: Request) -> str:
    """How this client reaches the forge: `http://host:port`."""
    host = request.headers.get("host") or f"{HOST}:{PORTS[ServiceName.FORGE]}"
    return f"{request.url.scheme}://{host}"


async def asking(request: Request) -> Asking:
    """For the API: 401 for wrong credentials, nobody for none."""
    return Asking(request, _authenticate(request))


Ask = Annotated[Asking, Depends(asking)]


def _authenticate(request: Request) -> Person | None:
    tenant: Tenant = request.state.tenant
    headers = request.headers
    token = headers.get("private-token") or headers.get("job-token")
    if not token:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return _bearer(tenant, value.strip())
        if scheme.lower() == "basic":
            return _required(basic(tenant, value))
        token = request.query_params.get("private_token") or request.query_params.get("access_token")
    if token:
        return _required(person_of_token(tenant, token))
    session = request.cookies.get(SESSION_COOKIE)
    return person_of_session(tenant, session) if session else None


def _bearer(tenant: Tenant, token: str) -> Person:
    person = person_of_token(tenant, token)
    if person is None:
        error = ForgeError(401, "invalid_token", key="error")
        error.body["error_description"] = "Token was revoked. You have to re-authorize from the user."
        raise error
    return person


def _required(person: Person | None) -> Person:
    if person is None:
        raise unauthorized()
    return person


def basic(tenant: Tenant, value: str) -> Person | None:
    """Whose HTTP basic credentials these are."""
    try:
        login, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return sign_in(tenant, login, password)


# Parameters


PREFIX = "/api/v4"


class GitLabRoute(APIRoute):
    """Hands a request's parameters to the endpoint as one JSON object, however they were sent."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def merged(request: Request) -> Response:
            body = json.dumps(await read_parameters(request)).encode()
            headers = MutableHeaders(scope=request.scope)
            headers["content-type"] = "application/json"

            async def receive() -> MutableMapping[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            return await handle(Request(request.scope, receive))

        return merged


async def read_parameters(request: Request) -> dict[str, Any]:
    """From the query and the body. Uploaded files go to `request.state.uploads` by field name."""
    found = _lists(request.query_params.multi_items())
    for key in ("private_token", "access_token"):
        found.pop(key, None)
    request.state.uploads = {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        _check_length(request)
        async with request.form(max_files=20, max_fields=1000, max_part_size=LARGEST_BODY) as form:
            fields = []
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    request.state.uploads[name] = (value.filename or "", await value.read())
                else:
                    fields.append((name, value))
        found |= _lists(fields)
    else:
        body = await read_body(request)
        if kind == "application/x-www-form-urlencoded":
            found |= _lists(_form(body))
        elif body.strip():
            found |= _json_object(body)
    _check_text(found)
    return found


async def read_body(request: Request) -> bytes:
    """All of it; 413 for one that is too large."""
    _check_length(request)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _check_length(request: Request) -> None:
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length[:18]) > LARGEST_BODY:
        raise _too_large()


def _too_large() -> ForgeError:
    return ForgeError(413, f"Request Entity Too Large: at most {LARGEST_BODY >> 20} MiB")


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10_000, errors="strict")
    except ValueError as error:
        raise ForgeError(400, "The form could not be parsed", key="error") from error


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ForgeError(400, "The JSON could not be parsed", key="error") from error
    if not isinstance(document, dict):
        raise ForgeError(400, "The JSON must be an object", key="error")
    return document


def _check_text(found: Mapping[str, Any]) -> None:
    """400 for texts that a database can't hold: NUL, or halves of surrogate pairs."""
    try:
        text = json.dumps(found, ensure_ascii=False)
        text.encode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise ForgeError(400, "A text isn't valid Unicode", key="error") from error
    if _NUL.search(text):
        raise ForgeError(400, "string contains null byte", key="error")


def _lists(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`key[]` collects a list; of a key that is repeated the last counts."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key.endswith("[]"):
            found.setdefault(key[:-2], [])
            found[key[:-2]] = [*found[key[:-2]], value] if isinstance(found[key[:-2]], list) else [value]
        else:
            found[key] = value
    return found


class Filters:
    """A dependency that fills a model from the query.

    In one step, where FastAPI would take as many as there are fields, and these lists are asked for most.
    `parameters` is what the OpenAPI document says of them.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model
        self._keys = [
            (field.alias or name, get_origin(field.annotation) is list)
            for name, field in model.model_fields.items()
        ]
        schema = model.model_json_schema(by_alias=True)
        self.parameters = [
            {"name": key, "in": "query", "required": False, "schema": schema["properties"][key]}
            for key, _ in self._keys
        ]

    async def __call__(self, request: Request) -> Any:
        query = request.query_params
        given = {key: query.getlist(key) if many else query[key] for key, many in self._keys if key in query}
        try:
            return self._model.model_validate(given)
        except ValidationError as error:
            problems = [{**problem, "loc": ("query", *problem["loc"])} for problem in error.errors()]
            raise RequestValidationError(problems) from error


# Answers


async def paging(
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    per_page: Annotated[int, Query(ge=1, le=1_000_000, description="At most 100 count")] = 20,
) -> Page:
    return Page(page, min(per_page, 100))


Paged = Annotated[Page, Depends(paging)]


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers, "application/json")


def listing(ask: Asking, items: list[Any], page: Page, total: int | None, *, more: bool = False) -> Response:
    """A page of a list with GitLab's headers; where `total` is too dear to count, `more` says whether to go on."""
    last = max(math.ceil(total / page.size), 1) if total is not None else None
    following = page.number + 1 if (more if last is None else page.number < last) else None
    previous = page.number - 1 if page.number > 1 else None
    headers = {
        "X-Page": str(page.number),
        "X-Per-Page": str(page.size),
        "X-Next-Page": "" if following is None else str(following),
        "X-Prev-Page": "" if previous is None else str(previous),
        "Link": _links(ask.request, page, {"prev": previous, "next": following, "first": 1, "last": last}),
    }
    if total is not None:
        headers |= {"X-Total": str(total), "X-Total-Pages": str(last)}
    return answer(items, headers=headers)


def sliced(ask: Asking, items: list[Any], page: Page) -> Response:
    """A page of a list that is at hand as a whole."""
    return listing(ask, items[page.offset : page.offset + page.size], page, len(items))


def _links(request: Request, page: Page, targets: Mapping[str, int | None]) -> str:
    kept = [
        (key, value)
        for key, value in request.query_params.multi_items()
        if key not in ("page", "per_page", "private_token", "access_token")
    ]
    address = f"{base_url(request)}{request.url.path}"
    parts = []
    for relation, number in targets.items():
        if number is not None:
            query = urlencode([*kept, ("page", number), ("per_page", page.size)])
            parts.append(f'<{address}?{query}>; rel="{relation}"')
    return ", ".join(parts)


def returns(model: Any, status: int = 200) -> dict[str, Any]:
    """For a route: what its answer holds (for the OpenAPI document), and its status."""
    return {"status_code": status, "responses": {status: {"model": model}}}


NOTHING: dict[str, Any] = {"status_code": 204, "response_class": Response}
"""For a route whose answer is empty."""


async def reading(ask: Asking, project: sqlite3.Row, function: Callable[[Repository], Found]) -> Found:
    """What a function finds in a project's repository: in a thread, since history and differences take time.

    The function must give plain data, nothing of pygit2's.
    """
    folder = repository_folder(ask.tenant, project["id"])
    try:
        return await asyncio.wait_for(asyncio.to_thread(lambda: function(open_folder(folder))), READ_SECONDS)
    except TimeoutError as error:
        raise ForgeError(503, "The repository takes too long to read") from error


def no_content() -> Response:
    return Response(status_code=204)


def usernames_of(tenant: Tenant, ids: list[int] | None) -> list[str] | None:
    """Usernames behind numbers of people; 0 and unknown ones are left out, as GitLab does."""
    if ids is None:
        return None
    found = [tenant.value("SELECT username FROM forge_users WHERE id = ?", number) for number in ids]
    return [name for name in found if name is not None]
