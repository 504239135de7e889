"""The application of this service."""

from fastapi import FastAPI


def make_app() -> FastAPI:
    """Routes over the tenant in `request.state.tenant`."""
    return FastAPI(title="drive", docs_url=None, redoc_url=None)
