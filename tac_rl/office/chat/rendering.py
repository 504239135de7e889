"""What the pages share: templates, the viewer's session, and going on after a form was sent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader

from tac_rl.office.chat import rooms
from tac_rl.office.chat.calls import Caller, by_cookie, read_body, tenant_of
from tac_rl.office.chat.refusals import Failed
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.unread import Unread, unread_of
from tac_rl.office.chat.users import User

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def _when(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "?"


_templates = Environment(
    loader=PackageLoader("tac_rl.office.chat"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_templates.filters["when"] = _when
_templates.filters["segment"] = lambda text: quote(str(text), safe="")


class AskToLogIn(Exception):
    """A page for somebody without a session."""


async def viewer(request: Request) -> Caller:
    """Who looks at a page."""
    found = by_cookie(request, await tenant_of(request))
    if found is None:
        raise AskToLogIn
    return found


Viewer = Annotated[Caller, Depends(viewer)]


def check_origin(request: Request) -> None:
    """Refuse a form that stands on somebody else's page."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise Failed("This form was sent from another site.", 403)


async def fields(request: Request) -> dict[str, str]:
    """What was sent by a form of ours."""
    check_origin(request)
    raw = await read_body(request)
    try:
        pairs = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise Failed(f"Invalid form: {error}") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


Fields = Annotated[dict[str, str], Depends(fields)]


def page(name: str, me: Caller | None = None, status: int = 200, **values: Any) -> Response:
    """A template; with a viewer the list of their rooms stands beside it."""
    if me is not None:
        values |= {"me": me.user, "mine": mine(me)}
    return HTMLResponse(_templates.get_template(name).render(values), status, _HEADERS)


def login_page(next_: str, status: int, error: str = "") -> Response:
    return page("login.html", status=status, next=local(next_), error=error)


def go(url: str) -> Response:
    return RedirectResponse(local(url), 303)


def local(url: str) -> str:
    """A path of ours; anything that would lead elsewhere becomes the first page."""
    parts = urlsplit(url) if url.startswith("/") and not url.startswith(("//", "/\\")) else None
    if parts is None or parts.scheme or parts.netloc or any(ord(sign) < 32 for sign in url):
        return "/home"
    return url


def mine(me: Caller) -> list[Mapping[str, Any]]:
    """The viewer's rooms: title, address, and how much is unread."""
    found, _ = rooms.page(
        me.tenant,
        "EXISTS (SELECT 1 FROM chat_members m WHERE m.room = r.id AND m.username = ? AND m.open)",
        [me.user.username],
        order="r.kind, r.name",
    )
    people = rooms.people_of(me.tenant, [room.id for room in found if room.kind == "direct"])
    unread = unread_of(me.tenant, me.user)
    return [
        {
            "kind": room.kind,
            "title": title(room, me.user, people.get(room.id, ())),
            "url": url(room, me.user, people.get(room.id, ())),
            "unread": unread.get(room.id, Unread()).messages,
        }
        for room in found
    ]


def title(room: Room, me: User, people: Any) -> str:
    if room.kind != "direct":
        return room.name
    return ", ".join(user.name for user in people if user.id != me.id) or me.name


def url(room: Room, me: User, people: Any) -> str:
    """Where a room's page is: `/channel/NAME`, `/group/NAME`, `/direct/USERNAME` or, of several, its id."""
    if room.kind != "direct":
        return f"/{room.kind}/{quote(room.name, safe='')}"
    others = [user.username for user in people if user.id != me.id] or [me.username]
    return f"/direct/{quote(others[0] if len(others) == 1 else room.id, safe='')}"
