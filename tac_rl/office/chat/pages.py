"""The pages around the rooms: logging in, the first page, the directory, new rooms, accounts."""

from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from tac_rl.office.chat import files, messages, rendering, rights, rooms, users
from tac_rl.office.chat.calls import TOKEN_COOKIE, USER_COOKIE, Caller, InTenant
from tac_rl.office.chat.refusals import Failed, Refused
from tac_rl.office.chat.rendering import Fields, Viewer, go, page

FOUND_AT_MOST = 50

routes = APIRouter(include_in_schema=False)


@routes.get("/")
@routes.get("/home")
async def home(me: Viewer) -> Response:
    return page("home.html", me)


@routes.get("/login")
async def login_form() -> Response:
    return rendering.login_page("/home", 200)


@routes.post("/login")
async def login(tenant: InTenant, given: Fields) -> Response:
    account, secret = given.get("user", "").strip(), given.get("password", "")
    found = users.log_in(tenant, account, users.digest(secret)) if account else None
    if found is None:
        return rendering.login_page(given.get("next", "/home"), 401, "User not found or incorrect password")
    user, token = found
    response = go(given.get("next", "/home"))
    for name, value in ((TOKEN_COOKIE, token), (USER_COOKIE, user.id)):
        response.set_cookie(name, value, httponly=True, samesite="lax", path="/")
    return response


@routes.post("/logout")
async def logout(me: Viewer, given: Fields) -> Response:
    users.log_out(me.tenant, me.token)
    response = go("/home")
    for name in (TOKEN_COOKIE, USER_COOKIE):
        response.delete_cookie(name, path="/")
    return response


@routes.get("/directory")
async def directory(me: Viewer, q: str = "") -> Response:
    """Channels and people."""
    channels, _ = rooms.page(
        me.tenant, "r.kind = 'channel' AND instr(lower(r.name || ' ' || r.topic), lower(?))", [q]
    )
    sums = rooms.summaries(me.tenant, [room.id for room in channels])
    rows = me.tenant.rows(
        "SELECT * FROM chat_users WHERE active AND instr(lower(username || ' ' || name), lower(?)) ORDER BY name",
        q,
    )
    people = [users.user_of_row(row) for row in rows]
    return page("directory.html", me, q=q, channels=channels, sums=sums, people=people)


@routes.get("/search")
async def search(me: Viewer, q: str = "") -> Response:
    """Messages in every room that the viewer may read."""
    found = []
    if q:
        found = messages.select(
            me.tenant,
            f"m.kind = '' AND {messages.CONTAINING} AND m.room IN"
            " (SELECT id FROM chat_rooms WHERE kind = 'channel'"
            " UNION SELECT room FROM chat_members WHERE username = ?)",
            [q, me.user.username],
            count=FOUND_AT_MOST,
        )
    places = {}
    for room_id in {message.room for message in found}:
        room = rooms.by_id(me.tenant, room_id)
        if room is not None:
            people = rooms.people_of(me.tenant, [room_id])[room_id]
            places[room_id] = (
                rendering.title(room, me.user, people),
                rendering.url(room, me.user, people),
            )
    return page("search.html", me, q=q, found=found, places=places)


@routes.get("/create")
async def create_form(me: Viewer) -> Response:
    return page("create.html", me, given={}, error="")


@routes.post("/create")
async def create(me: Viewer, given: Fields) -> Response:
    name = given.get("name", "").strip().lstrip("#")
    members = given.get("members", "").replace(",", " ").split()
    try:
        unknown = [each for each in members if users.by_username(me.tenant, each.lstrip("@")) is None]
        if unknown:
            raise Failed(f"There is no {unknown[0]}.")
        kind = "group" if given.get("private") else "channel"
        names = [each.lstrip("@") for each in members]
        room = rooms.create(me.tenant, "group" if kind == "group" else "channel", name, me.user, names)
        if given.get("topic"):
            rooms.change(me.tenant, room.id, topic=given["topic"][:10_000])
    except Refused as refused:
        return page("create.html", me, refused.status, given=given, error=str(refused))
    return go(f"/{room.kind}/{quote(room.name, safe='')}")


# Accounts, for administrators


@routes.get("/admin/users")
async def accounts(me: Viewer) -> Response:
    return _accounts(me, {}, "", 200)


@routes.post("/admin/users")
async def change_accounts(me: Viewer, given: Fields) -> Response:
    try:
        rights.require_admin(me.user)
        if given.get("action") == "delete":
            users.delete(me.tenant, users.require(me.tenant, None, given.get("username")))
            files.sweep(me.tenant)
        else:
            wanted = [given.get(name, "").strip() for name in ("username", "name", "email", "password")]
            if not all(wanted):
                raise Failed("A new account needs a username, a name, an e-mail address and a password.")
            username, name, email, password = wanted
            users.create(me.tenant, username, name, email, password)
    except Refused as refused:
        return _accounts(me, given, str(refused), refused.status)
    return go("/admin/users")


def _accounts(me: Caller, given: dict[str, str], error: str, status: int) -> Response:
    rights.require_admin(me.user)
    rows = me.tenant.rows("SELECT * FROM chat_users ORDER BY username")
    people = [users.user_of_row(row) for row in rows]
    return page("accounts.html", me, status, people=people, given=given, error=error)


async def ask_to_log_in(request: Request, error: Exception) -> Response:
    """The form stands at the address that was asked for, as Rocket.Chat's does."""
    if request.method == "POST":
        return rendering.login_page("/home", 401, "Log in first.")
    query = f"?{request.url.query}" if request.url.query else ""
    return rendering.login_page(request.url.path + query, 200)
