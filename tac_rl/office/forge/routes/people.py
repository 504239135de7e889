"""Version, tokens, users."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from typing_extensions import TypedDict

from tac_rl.office.forge.errors import ForgeError, not_found
from tac_rl.office.forge.routes.projects import ListedProjects, list_of
from tac_rl.office.forge.shapes.people import User, user
from tac_rl.office.forge.store.namespaces import namespace_of
from tac_rl.office.forge.store.people import (
    TOKEN,
    find_person,
    list_people,
    new_token,
    person_of_id,
    shown,
    sign_in,
)
from tac_rl.office.forge.web import (
    PREFIX,
    Ask,
    GitLabRoute,
    Paged,
    Params,
    Segment,
    answer,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["people"])
tokens = APIRouter(route_class=GitLabRoute, tags=["people"])
VERSION = "17.5.1"


class Version(TypedDict):
    version: str
    revision: str
    kas: dict[str, Any]
    enterprise: bool


class Token(TypedDict):
    access_token: str
    token_type: str
    expires_in: int
    scope: str
    created_at: int


class Grant(Params):
    grant_type: Literal["password"]
    username: str
    password: str
    scope: str = "api"


@tokens.post("/oauth/token", **returns(Token))
async def make_token(request: Request, given: Grant) -> Response:
    """An access token for somebody's name and password."""
    tenant = request.state.tenant
    person = sign_in(tenant, given.username, given.password)
    if person is None:
        error = ForgeError(401, "invalid_grant", key="error")
        error.body["error_description"] = (
            "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI"
            " used in the authorization request, or was issued to another client."
        )
        raise error
    token = new_token(tenant, person.username, "oauth")
    return answer(
        Token(
            access_token=token,
            token_type="Bearer",
            expires_in=int(TOKEN.total_seconds()),
            scope=given.scope,
            created_at=int(tenant.now().timestamp()),
        )
    )


@router.get("/version", **returns(Version))
async def version(ask: Ask) -> Response:
    """The version of GitLab that this forge speaks like."""
    ask.user()
    return answer(Version(version=VERSION, revision="0000000", kas={"enabled": False}, enterprise=False))


@router.get("/user", **returns(User))
async def current_user(ask: Ask) -> Response:
    """Whoever is asking."""
    return answer(user(ask.view, ask.user()))


@router.get("/users", **returns(list[User]))
async def list_users(
    ask: Ask, page: Paged, search: str = "", username: str = "", active: bool | None = None
) -> Response:
    """People of the company; without credentials only by username."""
    if ask.person is None and not username:
        ask.user()
    rows = list_people(ask.tenant, search=search, name=username)
    if active is False:
        rows = []
    people = [ask.tenant.person(row["username"]) for row in rows]
    return sliced(ask, [user(ask.view, person) for person in people if person is not None], page)


@router.get("/users/{user_id}", **returns(User))
async def get_user(ask: Ask, user_id: int) -> Response:
    """Somebody by number."""
    person = person_of_id(ask.tenant, user_id) if 0 < user_id < 2**31 else None
    if person is None:
        raise not_found("User")
    return answer(user(ask.view, person))


@router.get("/users/{user_id}/projects", **returns(ListedProjects))
async def user_projects(ask: Ask, user_id: Segment, page: Paged, simple: bool = False) -> Response:
    """Projects in somebody's namespace, by their number or username."""
    number = int(user_id) if user_id.isascii() and user_id.isdigit() and len(user_id) < 10 else None
    person = find_person(ask.tenant, user_id) if number is None else person_of_id(ask.tenant, number)
    if person is None:
        raise not_found("User")
    namespace = namespace_of(ask.tenant, shown(person.username))
    return list_of(ask, page, simple=simple, namespace_id=namespace["id"])
