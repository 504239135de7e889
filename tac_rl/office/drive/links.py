"""Public links: what somebody sees who has one, signed in or not."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response

from tac_rl.office.drive import access, files, html, ocs, openapi, store
from tac_rl.office.drive.dav import Dav
from tac_rl.office.drive.files import RefusedError
from tac_rl.office.drive.store import Share


def make_router(dav: Dav) -> APIRouter:
    router = APIRouter(default_response_class=Response, prefix="/index.php/s", tags=["links"])
    refused = openapi.REFUSED

    @router.get("/{token}", responses={200: openapi.PAGE, **refused}, openapi_extra=openapi.query("path"))
    async def show(request: Request, token: str) -> Response:
        """What is shared: a file with its download, or the list of a folder."""
        share, place = _open(request, token)
        if place is None:
            return _ask(share)
        url = f"{html.base_url(request)}/index.php/s/{token}"
        inside = files.normal(request.query_params.get("path", "/"))
        if place.is_file():
            size, kind = place.stat().st_size, files.mime_type(place.name)
            return html.page("link_file.html", name=place.name, url=url, size=size, kind=kind)
        entries = files.listing(place, inside)
        return html.page(
            "link_folder.html",
            name=place.name,
            url=url,
            inside=inside,
            crumbs=html.crumbs(inside),
            entries=entries,
        )

    @router.head("/{token}/download", include_in_schema=False)
    @router.get(
        "/{token}/download",
        responses={200: openapi.SAVED, 303: openapi.MOVED, **refused},
        openapi_extra=openapi.query("path", "files"),
    )
    async def download(request: Request, token: str) -> Response:
        """The file; of a folder, the file named by `path` and `files`, or all of it as a zip file."""
        share, place = _open(request, token)
        if place is None:
            return html.redirect(f"/index.php/s/{share.token}")
        query = request.query_params
        if place.is_dir():
            place = files.existing(place, f"{query.get('path', '/')}/{query.get('files', '')}")
        return html.download(dav, place)

    @router.post(
        "/{token}/authenticate",
        responses={303: openapi.MOVED, **refused},
        openapi_extra=openapi.form("password"),
        status_code=303,
    )
    async def authenticate(request: Request, token: str) -> Response:
        """Open a link that has a password."""
        share, _ = _open(request, token)
        given = (await ocs.fields(request)).get("password")
        if share.password is not None and given != share.password:
            return _ask(share, wrong=True)
        answer = html.redirect(f"/index.php/s/{share.token}")
        if share.password is not None:
            answer.set_cookie(
                _cookie(share), _proof(share), path="/index.php/s", httponly=True, samesite="lax"
            )
        return answer

    return router


def _open(request: Request, token: str) -> tuple[Share, Path | None]:
    """The link and what it shows; None in place of that where its password hasn't been given."""
    tenant = ocs.tenant_of(request)
    share = store.link(tenant, token)
    if share is None:
        raise RefusedError(404, "This link does not exist or has expired.")
    place = files.existing(files.drive_of(tenant.folder), share.path)
    if share.password is None:
        return share, place
    login = access.basic(request.headers.get("authorization", ""))
    opened = access.cookie(request.headers, _cookie(share)) == _proof(share)
    return share, place if opened or (login is not None and login[1] == share.password) else None


def _ask(share: Share, *, wrong: bool = False) -> Response:
    return html.page("link_password.html", status=403 if wrong else 200, token=share.token, wrong=wrong)


def _cookie(share: Share) -> str:
    return f"oc_link_{share.id}"


def _proof(share: Share) -> str:
    return hashlib.sha256(f"{share.token}:{share.password}".encode()).hexdigest()
