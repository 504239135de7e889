"""The application of this service: Rocket.Chat's REST API and plain pages, over the tenant of each request."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tac_rl.office.chat import (
    api_account,
    api_chat,
    api_direct,
    api_files,
    api_messages,
    api_overview,
    api_users,
    pages,
    pages_room,
)
from tac_rl.office.chat.api_rooms_change import changing
from tac_rl.office.chat.api_rooms_read import reading
from tac_rl.office.chat.calls import NotLoggedIn, answer, failure, invalid
from tac_rl.office.chat.families import CHANNELS, GROUPS
from tac_rl.office.chat.refusals import Refused
from tac_rl.office.chat.rendering import AskToLogIn, page
from tac_rl.office.chat.routing import describe


def make_app() -> FastAPI:
    """Routes over the tenant in `request.state.tenant`."""
    app = FastAPI(
        title="chat", version=api_account.VERSION, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    routers = [each.routes for each in (api_chat, api_messages, api_direct, api_account, api_users)]
    for family in (CHANNELS, GROUPS):
        routers += [reading(family), changing(family)]
    for router in (*routers, api_overview.routes, api_files.routes, pages_room.routes, pages.routes):
        app.router.routes.extend(router.routes)  # `include_router` would make each of them once more
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(NotLoggedIn, _not_logged_in)
    app.add_exception_handler(AskToLogIn, pages.ask_to_log_in)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    describe(app)
    return app


def _for_a_person(request: Request) -> bool:
    return not request.url.path.startswith(("/api/", "/file-upload/"))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if _for_a_person(request):
        return page("refused.html", status=error.status, error=str(error))
    return failure(error)


async def _not_logged_in(request: Request, error: Exception) -> Response:
    message = "You must be logged in to do this."
    return answer({"status": "error", "message": message, "success": False}, 401)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return failure(invalid(error.errors()))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    found: Response
    if _for_a_person(request):
        found = page("refused.html", status=error.status_code, error=error.detail)
    elif error.status_code in (404, 405):
        data = {"status": "error", "message": "API endpoint does not exist.", "success": False}
        found = answer(data, error.status_code)
    else:
        found = answer({"success": False, "error": error.detail}, error.status_code)
    found.headers.update(error.headers or {})
    return found
