"""The application of this service."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from tac_rl.office.drive import cloud, forms, html, links, ocs, pages, sharing
from tac_rl.office.drive.bridge import DavMiddleware
from tac_rl.office.drive.dav import Dav
from tac_rl.office.drive.files import RefusedError


def make_app() -> FastAPI:
    """Routes over the tenant in `request.state.tenant`; WebDAV stands before them."""
    app = FastAPI(title="drive", docs_url=None, redoc_url=None, redirect_slashes=False)
    dav = Dav()
    app.add_middleware(DavMiddleware, dav=dav)
    app.include_router(cloud.make_status_router())
    for version in ocs.VERSIONS:
        app.include_router(cloud.make_router(version))
        app.include_router(sharing.make_router(version))
    app.include_router(links.make_router(dav))
    app.include_router(pages.make_router(dav))
    app.include_router(forms.make_router(dav))

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return _refuse(request, error.status, str(error))

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith("/ocs/"):
            message = "Invalid query, please check the syntax."
            answer = ocs.answer(request, None, status=998, http=error.status_code, message=message)
        else:
            answer = _refuse(request, error.status_code, error.detail)
        answer.headers.update(error.headers or {})
        if error.status_code == 405:  # the framework names the methods of one route only
            answer.headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return answer

    @app.exception_handler(pages.SignInError)
    async def stranger(request: Request, error: pages.SignInError) -> Response:
        return pages.to_login(request)

    return app


def _methods(app: FastAPI, request: Request) -> set[str]:
    """What may be done with the request's path."""
    fitting = [
        r for r in app.routes if isinstance(r, Route) and r.matches(request.scope)[0] is not Match.NONE
    ]
    return {method for route in fitting for method in route.methods or ()}


def _refuse(request: Request, status: int, message: str) -> Response:
    if request.url.path.startswith("/ocs/"):
        return ocs.answer(request, None, status=status, message=message)
    return html.page("error.html", status=status, code=status, message=message)
