"""users.*: the accounts, and who is there."""

from html import escape
from typing import Annotated, Any

from fastapi import Query, Response

from tac_rl.office.chat import files, rights, rooms, shapes, users
from tac_rl.office.chat.calls import InTenant, Me, Paged, body, success
from tac_rl.office.chat.models import (
    ActiveBody,
    CreateUserBody,
    Failure,
    StatusBody,
    UpdateUserBody,
    UserBody,
)
from tac_rl.office.chat.refusals import Failed, Refused, not_allowed, unauthorized
from tac_rl.office.chat.routing import Routes
from tac_rl.office.chat.users import User, user_of_row
from tac_rl.office.tenant import Tenant

GLOBAL_ROLES = ("user", "admin", "bot", "guest", "app", "anonymous")
_COLUMNS = {
    "_id": "id",
    "username": "username",
    "name": "name",
    "status": "status",
    "createdAt": "created",
    "emails.address": "email",
}

_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/svg+xml": {}}},
    400: {"model": Failure},
}

routes = Routes()


@routes.getting("users.list", gives="users")
async def users_list(me: Me, paging: Paged) -> Response:
    where, arguments = paging.where(_COLUMNS)
    if not me.user.admin:
        where += " AND active"
    total = me.tenant.value(f"SELECT count(*) FROM chat_users WHERE 1{where}", *arguments)
    rows = me.tenant.rows(
        f"SELECT * FROM chat_users WHERE 1{where} ORDER BY {paging.order(_COLUMNS, 'username')}"
        " LIMIT ? OFFSET ?",
        *arguments,
        -1 if paging.count is None else paging.count,
        paging.offset,
    )
    return paging.answer("users", [shapes.user_for(me.user, user_of_row(row)) for row in rows], total)


@routes.getting("users.info", gives="user")
async def users_info(
    me: Me, userId: str | None = None, username: str | None = None, email: str | None = None
) -> Response:
    if email and not userId and not username:
        username = me.tenant.value("SELECT username FROM chat_users WHERE lower(email) = lower(?)", email)
    if not userId and not username and not email:
        raise Refused(
            "error-user-param-not-provided", 'The required "userId" or "username" param was not provided'
        )
    found = users.by_id(me.tenant, userId) if userId else users.by_username(me.tenant, username or "")
    if found is None or not (found.active or me.user.admin):
        raise Failed("User not found.")
    return success(user=shapes.user_for(me.user, found))


@routes.posting("users.create", gives="user")
async def users_create(me: Me, given: Annotated[CreateUserBody, body(CreateUserBody)]) -> Response:
    if not me.user.admin:
        raise Refused("error-action-not-allowed", "Adding user is not allowed")
    made = users.create(
        me.tenant,
        given.username,
        given.name,
        given.email,
        given.password,
        roles=_roles(given.roles) or ("user",),
        bio=given.bio,
        active=given.active,
        join_defaults=given.joinDefaultChannels,
    )
    return success(user=shapes.user_full(made))


@routes.posting("users.update", gives="user")
async def users_update(me: Me, given: Annotated[UpdateUserBody, body(UpdateUserBody)]) -> Response:
    found = users.require(me.tenant, given.userId, None)
    if not me.user.admin and (found.id != me.user.id or given.data.roles is not None):
        raise Refused("error-action-not-allowed", "Editing user is not allowed")
    data = given.data
    changed = users.update(
        me.tenant,
        found,
        username=data.username,
        name=data.name,
        email=data.email,
        password=data.password or None,
        bio=data.bio,
        active=data.active,
        roles=_roles(data.roles),
        status_text=data.statusText,
    )
    return success(user=shapes.user_full(changed))


@routes.posting("users.delete")
async def users_delete(me: Me, given: Annotated[UserBody, body(UserBody)]) -> Response:
    rights.require_admin(me.user)
    users.delete(me.tenant, users.require(me.tenant, given.userId, given.username))
    files.sweep(me.tenant)
    return success()


@routes.posting("users.setActiveStatus", gives="user")
async def users_set_active_status(me: Me, given: Annotated[ActiveBody, body(ActiveBody)]) -> Response:
    rights.require_admin(me.user)
    found = users.require(me.tenant, given.userId, None)
    return success(user=shapes.user_full(users.update(me.tenant, found, active=given.activeStatus)))


# Presence


@routes.getting("users.getPresence", gives="presence")
async def users_get_presence(me: Me, userId: str | None = None, username: str | None = None) -> Response:
    found = me.user if not userId and not username else users.require(me.tenant, userId, username)
    if found.id == me.user.id:
        return success(presence=_presence(found), connectionStatus=_presence(found))
    return success(presence=_presence(found))


@routes.getting("users.getStatus")
async def users_get_status(me: Me, userId: str | None = None, username: str | None = None) -> Response:
    found = me.user if not userId and not username else users.require(me.tenant, userId, username)
    return success(_id=found.id, status=_presence(found), message=found.status_text)


@routes.getting("users.presence")
async def users_presence(
    me: Me, ids: Annotated[list[str] | None, Query()] = None, from_: Annotated[str, Query(alias="from")] = ""
) -> Response:
    wanted = {part for each in ids or () for part in each.split(",")}
    found = [user_of_row(row) for row in me.tenant.rows("SELECT * FROM chat_users ORDER BY username")]
    listed = [
        {**shapes.user_ref(user), "status": _presence(user), "statusText": user.status_text, "utcOffset": 0}
        for user in found
        if (user.id in wanted if wanted else _presence(user) != "offline")
    ]
    return success(users=listed, full=not from_)


@routes.posting("users.setStatus")
async def users_set_status(me: Me, given: Annotated[StatusBody, body(StatusBody)]) -> Response:
    found = me.user
    if given.userId or given.username:
        found = users.require(me.tenant, given.userId, given.username)
    if found.id != me.user.id and not me.user.admin:
        raise unauthorized()
    if given.message is None and given.status is None:
        raise Refused("error-invalid-params", 'The "message" or "status" parameter must be provided.')
    users.update(me.tenant, found, status=given.status, status_text=given.message)
    return success()


# Faces


@routes.get("/api/v1/users.getAvatar", operation_id="users.getAvatar", responses=_PICTURE, tags=["users"])
async def users_get_avatar(
    tenant: InTenant, userId: str | None = None, username: str | None = None
) -> Response:
    return _picture(users.require(tenant, userId, username).username)


@routes.get("/avatar/{name}", include_in_schema=False)
async def avatar(name: str) -> Response:
    """Rooms' names and people who are gone have one too."""
    return _picture(name)


def _picture(name: str) -> Response:
    """A square with an initial."""
    initial = (name.lstrip("@#") or "?")[0].upper()
    hue = sum(map(ord, name)) * 37 % 360
    image = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">'
        f'<rect width="64" height="64" fill="hsl({hue},45%,45%)"/>'
        '<text x="32" y="44" font-family="sans-serif" font-size="34" fill="#fff" text-anchor="middle">'
        f"{escape(initial)}</text></svg>"
    )
    return Response(image.encode("utf-8", "replace"), media_type="image/svg+xml")


# Who is in a role


@routes.getting("roles.list", gives="roles")
async def roles_list(me: Me) -> Response:
    listed = [{"_id": role, "name": role, "scope": "Users", "protected": True} for role in GLOBAL_ROLES]
    listed += [
        {"_id": role, "name": role, "scope": "Subscriptions", "protected": True} for role in rooms.ROLES
    ]
    return success(roles=listed)


@routes.getting("roles.getUsersInRole", gives="users in role")
async def roles_get_users_in_role(
    me: Me, paging: Paged, role: str | None = None, roomId: str | None = None
) -> Response:
    """Room roles (owner, moderator, leader) are looked for in every room where none is named."""
    if not role:
        raise Refused("error-param-not-provided", 'Query param "role" is required')
    rights.require_admin(me.user)
    people = in_role(me.tenant, role, roomId)
    part = people[paging.offset : None if paging.count is None else paging.offset + paging.count]
    return paging.answer("users", [shapes.user_full(user) for user in part], len(people))


def in_role(tenant: Tenant, role: str, room_id: str | None) -> list[User]:
    if role in rooms.ROLES:
        rows = tenant.rows(
            "SELECT u.* FROM chat_users u WHERE u.username IN (SELECT username FROM chat_members"
            f" WHERE {role} AND (?1 IS NULL OR room = ?1)) ORDER BY u.username",
            room_id,
        )
        return [user_of_row(row) for row in rows]
    if role not in GLOBAL_ROLES:
        raise Refused("error-invalid-roleId")
    found = [user_of_row(row) for row in tenant.rows("SELECT * FROM chat_users ORDER BY username")]
    return [user for user in found if role in user.roles]


def _presence(user: User) -> str:
    return user.status if user.active else "offline"


def _roles(given: list[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not given or any(role not in GLOBAL_ROLES for role in given):
        raise not_allowed(f"Only these roles can be given: {', '.join(GLOBAL_ROLES)}")
    return tuple(dict.fromkeys(given))
