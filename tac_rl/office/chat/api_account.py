"""Logging in and out, who I am, and which version this is."""

from typing import Annotated

from fastapi import Request, Response

from tac_rl.office.chat import shapes, users
from tac_rl.office.chat.calls import InTenant, Me, answer, body, success
from tac_rl.office.chat.models import LoginBody, PasswordDigest
from tac_rl.office.chat.routing import Routes
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant

VERSION = "5.3.0"
"""Of Rocket.Chat, whose API this is."""

routes = Routes()


@routes.get("/api/info", operation_id="info")
@routes.get("/api/v1/info", operation_id="v1.info")
async def info() -> Response:
    return success(version=VERSION, info={"version": VERSION})


@routes.posting("login")
async def login(tenant: InTenant, given: Annotated[LoginBody, body(LoginBody)]) -> Response:
    found = _log_in(tenant, given)
    if found is None:
        return answer({"status": "error", "error": "Unauthorized", "message": "Unauthorized"}, 401)
    user, token = found
    data = {"userId": user.id, "authToken": token, "me": shapes.user_full(user)}
    # Besides Rocket.Chat's `status`, so that clients which look for `success` find it everywhere.
    return answer({"status": "success", "data": data, "success": True})


def _log_in(tenant: Tenant, given: LoginBody) -> tuple[User, str] | None:
    if given.resume:
        row = tenant.row(
            "SELECT u.id FROM chat_tokens t JOIN chat_users u ON u.username = t.username WHERE t.token = ?",
            given.resume,
        )
        user = None if row is None else users.of_token(tenant, row["id"], given.resume)
        return None if user is None else (user, given.resume)
    account = given.user or given.username or given.email
    if isinstance(account, dict):
        account = account.get("username") or account.get("email")
    if not account or given.password is None:
        return None
    secret = given.password
    digest = secret.digest if isinstance(secret, PasswordDigest) else users.digest(secret)
    return users.log_in(tenant, account, digest)


@routes.posting("logout")
async def logout(me: Me) -> Response:
    users.log_out(me.tenant, me.token)
    data = {"message": "You've been logged out!"}
    return answer({"status": "success", "data": data, "success": True})


@routes.getting("me")
async def me_(me: Me, request: Request) -> Response:
    avatar = f"{request.url.scheme}://{request.url.netloc}/avatar/{me.user.username}"
    return success(
        **shapes.user_full(me.user), email=me.user.email, avatarUrl=avatar, settings={"preferences": {}}
    )
