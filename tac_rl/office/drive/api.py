"""The application of this service."""

from fastapi import FastAPI

from tac_rl.office.drive.bridge import DavMiddleware
from tac_rl.office.drive.dav import Dav


def make_app() -> FastAPI:
    """Routes over the tenant in `request.state.tenant`; WebDAV stands before them."""
    app = FastAPI(title="drive", docs_url=None, redoc_url=None)
    dav = Dav()
    app.add_middleware(DavMiddleware, dav=dav)
    return app
