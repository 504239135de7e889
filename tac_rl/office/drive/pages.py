"""Pages for people with a browser: sign in, look at folders and files. What changes files is in `forms`."""

import csv
import io
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from tac_rl.office.drive import access, files, html, ocs, openapi, store
from tac_rl.office.drive.dav import Dav
from tac_rl.office.drive.files import RefusedError

PREVIEW_BYTES = 256 * 1024
PREVIEW_ROWS = 500
_TEXTS = (
    "application/json",
    "application/yaml",
    "application/xml",
    "application/javascript",
    "application/sql",
)


class SignInError(Exception):
    """This page is for those who have signed in."""


def signed_in(request: Request) -> str:
    """The username of who asks; `SignInError` for a stranger."""
    username = access.username_of(ocs.tenant_of(request), request.headers)
    if username is None:
        raise SignInError
    return username


def to_login(request: Request) -> Response:
    """The answer to a stranger: sign in, then come back (to a page that only shows something)."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?redirect_url={quote(wanted)}" if request.method == "GET" else ""
    return html.redirect(f"/index.php/login{back}")


def make_router(dav: Dav) -> APIRouter:
    router = APIRouter(default_response_class=Response, tags=["pages"])

    @router.get("/", responses={303: openapi.MOVED}, openapi_extra=openapi.query("dir"), status_code=303)
    @router.get("/index.php", include_in_schema=False)
    @router.get("/index.php/", include_in_schema=False)
    async def root(request: Request) -> Response:
        return html.redirect(html.folder_url(request.query_params.get("dir", "/")))

    @router.get(
        "/index.php/login", responses={200: openapi.PAGE}, openapi_extra=openapi.query("redirect_url")
    )
    async def login_form(request: Request) -> Response:
        return html.page("login.html", back=request.query_params.get("redirect_url", ""), wrong=False)

    @router.post(
        "/index.php/login",
        responses={303: openapi.MOVED, 400: openapi.PAGE, 401: openapi.PAGE},
        openapi_extra=openapi.form("user", "password", "redirect_url"),
        status_code=303,
    )
    async def login(request: Request) -> Response:
        tenant = ocs.tenant_of(request)
        fields = await ocs.fields(request)
        back = fields.get("redirect_url", "")
        username = store.authenticate(tenant, fields.get("user", ""), fields.get("password", ""))
        if username is None:
            return html.page("login.html", status=401, back=back, wrong=True)
        here = back.startswith("/") and not back.startswith(("//", "/\\"))  # never to another server
        answer = html.redirect(quote(back, safe="/?&=%+:,;@!$'()*~.-_") if here else html.folder_url("/"))
        token = store.open_session(tenant, username)
        answer.set_cookie(access.SESSION_COOKIE, token, httponly=True, samesite="lax")
        return answer

    @router.post("/index.php/logout", responses={303: openapi.MOVED}, status_code=303)
    async def logout(request: Request) -> Response:
        token = access.session_token(request.headers)
        if token is not None:
            store.close_session(ocs.tenant_of(request), token)
        answer = html.redirect("/index.php/login")
        answer.delete_cookie(access.SESSION_COOKIE)
        return answer

    @router.get(
        "/index.php/apps/files/",
        responses={200: openapi.PAGE, 303: openapi.MOVED, **openapi.REFUSED},
        openapi_extra=openapi.query("dir"),
    )
    @router.get("/index.php/apps/files", include_in_schema=False)
    async def folder(request: Request) -> Response:
        """A folder's files, with what can be done to them."""
        return show_folder(request, request.query_params.get("dir", "/"))

    @router.get(
        "/index.php/apps/files/view",
        responses={200: openapi.PAGE, 303: openapi.MOVED, **openapi.REFUSED},
        openapi_extra=openapi.query("path"),
    )
    async def view(request: Request) -> Response:
        """One file: its links, and its content where that is text."""
        username = signed_in(request)
        tenant = ocs.tenant_of(request)
        path = files.normal(request.query_params.get("path", "/"))
        place = files.existing(files.drive_of(tenant.folder), path)
        if place.is_dir():
            return html.redirect(html.folder_url(path))
        text, rows, cut = await dav.on_thread(_preview, place)
        return html.page(
            "file.html",
            user=store.display_name(tenant, username),
            path=path,
            parent=path.rpartition("/")[0] or "/",
            name=place.name,
            crumbs=html.crumbs(path)[:-1],
            size=place.stat().st_size,
            modified=place.stat().st_mtime,
            links=store.shares(tenant, path=path),
            base=html.base_url(request),
            text=text,
            rows=rows,
            cut=cut,
        )

    @router.get(
        "/index.php/apps/files/ajax/download.php",
        responses={200: openapi.SAVED, 303: openapi.MOVED, **openapi.REFUSED},
        openapi_extra=openapi.query("dir", "files"),
    )
    async def download(request: Request) -> Response:
        """A file, or a folder as a zip file."""
        signed_in(request)
        query = request.query_params
        path = f"{query.get('dir', '/')}/{query.get('files', '')}"
        return html.download(dav, files.existing(files.drive_of(ocs.tenant_of(request).folder), path))

    return router


def show_folder(request: Request, wanted: str, *, status: int = 200, problem: str = "") -> Response:
    """The page of a folder; with what went wrong, after a form that was refused."""
    username = signed_in(request)
    tenant = ocs.tenant_of(request)
    path = files.normal(wanted)
    place = files.existing(files.drive_of(tenant.folder), path)
    if place.is_file():
        return html.redirect(f"/index.php/apps/files/view?path={quote(path)}")
    return html.page(
        "folder.html",
        status=status,
        user=store.display_name(tenant, username),
        path=path,
        crumbs=html.crumbs(path),
        entries=files.listing(files.drive_of(tenant.folder), path),
        shared={share.path for share in store.shares(tenant, inside=path)},
        problem=problem,
    )


def _preview(place: Path) -> tuple[str | None, list[list[str]] | None, bool]:
    """The file's text or its rows (CSV), where it has them, and whether something was left out."""
    kind = files.mime_type(place.name)
    if not kind.startswith("text/") and kind not in _TEXTS:
        return None, None, False
    try:
        with place.open("rb") as source:
            data = source.read(PREVIEW_BYTES + 1)
    except FileNotFoundError as error:
        raise RefusedError(404, "there is no such file or folder") from error
    text = data[:PREVIEW_BYTES].decode(errors="replace")
    cut = len(data) > PREVIEW_BYTES
    if kind != "text/csv":
        return text, None, cut
    try:
        rows = list(islice(csv.reader(io.StringIO(text)), PREVIEW_ROWS + 1))
    except csv.Error:
        return text, None, cut
    return None, rows[:PREVIEW_ROWS], cut or len(rows) > PREVIEW_ROWS
