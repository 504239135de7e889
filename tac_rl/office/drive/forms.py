"""The forms on the pages: upload, new folder, rename, delete, share.

What they do to files goes through WebDAV, so there is one way in which the drive changes.
"""

from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from tac_rl.office.drive import dav as webdav
from tac_rl.office.drive import files, html, ocs, openapi, pages, store
from tac_rl.office.drive.dav import CHUNK_BYTES, Dav
from tac_rl.office.drive.files import Incoming, RefusedError
from tac_rl.office.drive.store import Kind
from tac_rl.office.tenant import Tenant

_DONE: openapi.Responses = {
    303: {"description": "Done: see the folder; or sign in first"},
    **dict.fromkeys((400, 403, 404, 405, 409, 411, 412, 413, 423, 507), openapi.PAGE),
}
_REASONS = {
    405: "There is a file or folder of that name already.",
    409: "The folder is gone.",
    412: "There is a file or folder of that name already.",
    423: "Somebody has locked this.",
}


def make_router(dav: Dav) -> APIRouter:
    router = APIRouter(default_response_class=Response, prefix="/index.php/apps/files", tags=["pages"])

    @router.post("/folder", responses=_DONE, openapi_extra=openapi.form("dir", "name"), status_code=303)
    async def make_folder(request: Request) -> Response:
        """A new folder in `dir`."""
        username, fields = pages.signed_in(request), await ocs.fields(request)
        folder = files.normal(fields.get("dir", "/"))
        path = _child(folder, fields.get("name", ""))
        answer = await dav.request(ocs.tenant_of(request), username, "MKCOL", path)
        return _then(request, folder, answer.status)

    @router.post("/rename", responses=_DONE, openapi_extra=openapi.form("path", "name"), status_code=303)
    async def rename(request: Request) -> Response:
        """Another name for a file or folder; a path starting with a slash moves it."""
        username, fields = pages.signed_in(request), await ocs.fields(request)
        path, name = files.normal(fields.get("path", "/")), fields.get("name", "")
        folder = path.rpartition("/")[0] or "/"
        target = files.normal(name) if name.startswith("/") else _child(folder, name)
        headers = {"HTTP_DESTINATION": webdav.destination(webdav.WEBDAV, target), "HTTP_OVERWRITE": "F"}
        answer = await dav.request(ocs.tenant_of(request), username, "MOVE", path, headers=headers)
        return _then(request, folder, answer.status)

    @router.post("/delete", responses=_DONE, openapi_extra=openapi.form("path"), status_code=303)
    async def delete(request: Request) -> Response:
        """A file, or a folder with all in it."""
        username, fields = pages.signed_in(request), await ocs.fields(request)
        path = files.normal(fields.get("path", "/"))
        answer = await dav.request(ocs.tenant_of(request), username, "DELETE", path)
        return _then(request, path.rpartition("/")[0] or "/", answer.status)

    @router.post("/share", responses=_DONE, openapi_extra=openapi.form("path"), status_code=303)
    async def share(request: Request) -> Response:
        """A public link to a file or folder, or the one that there is."""
        username, fields = pages.signed_in(request), await ocs.fields(request)
        tenant = ocs.tenant_of(request)
        path = files.normal(fields.get("path", "/"))
        files.existing(files.drive_of(tenant.folder), path)
        if path == "/":
            raise RefusedError(403, "The drive itself can't be shared.")
        if not any(s.kind is Kind.LINK for s in store.shares(tenant, owner=username, path=path)):
            store.add_share(tenant, kind=Kind.LINK, path=path, owner=username, created=tenant.now())
        return html.redirect(f"/index.php/apps/files/links?path={quote(path)}")

    @router.post("/unshare", responses=_DONE, openapi_extra=openapi.form("path"), status_code=303)
    async def unshare(request: Request) -> Response:
        """End one's own links to a file or folder."""
        username, fields = pages.signed_in(request), await ocs.fields(request)
        tenant = ocs.tenant_of(request)
        path = files.normal(fields.get("path", "/"))
        for found in store.shares(tenant, owner=username, path=path):
            if found.kind is Kind.LINK:
                store.remove_share(tenant, found.id)
        return html.redirect(html.folder_url(path.rpartition("/")[0] or "/"))

    @router.get(
        "/links",
        responses={200: openapi.PAGE, 303: openapi.MOVED, **openapi.REFUSED},
        openapi_extra=openapi.query("path"),
    )
    async def links(request: Request) -> Response:
        """The public links to a file or folder."""
        username, tenant = pages.signed_in(request), ocs.tenant_of(request)
        path = files.normal(request.query_params.get("path", "/"))
        files.existing(files.drive_of(tenant.folder), path)
        return html.page(
            "links.html",
            user=store.display_name(tenant, username),
            path=path,
            parent=path.rpartition("/")[0] or "/",
            crumbs=html.crumbs(path),
            links=store.shares(tenant, path=path),
            base=html.base_url(request),
        )

    @router.post(
        "/upload",
        responses=_DONE,
        openapi_extra={
            "requestBody": {
                "content": {
                    "multipart/form-data": {
                        "schema": {
                            "type": "object",
                            "properties": {
                                "dir": {"type": "string"},
                                "file": {"type": "string", "format": "binary"},
                            },
                        }
                    }
                }
            }
        },
        status_code=303,
    )
    async def upload(request: Request) -> Response:
        """Files into `dir`; one that is there already is replaced."""
        username, tenant = pages.signed_in(request), ocs.tenant_of(request)
        size = request.headers.get("content-length", "")
        if not size.isdigit():
            raise RefusedError(411, "An upload must say how long it is.")
        await dav.make_room(tenant, int(size))
        try:
            return await _upload(dav, request, tenant, username)
        finally:
            dav.give_room(tenant, int(size))

    return router


async def _upload(dav: Dav, request: Request, tenant: Tenant, username: str) -> Response:
    try:
        form = await request.form()
    except HTTPException as error:
        raise RefusedError(400, error.detail) from error
    async with request.form():
        where = form.get("dir", "/")
        folder = files.normal(where if isinstance(where, str) else "/")
        for sent in form.getlist("file"):
            if not isinstance(sent, UploadFile) or not sent.filename:
                continue
            incoming = Incoming(files.drive_of(tenant.folder))
            try:
                while data := await sent.read(CHUNK_BYTES):
                    incoming.write(data)
                path = _child(folder, sent.filename)
                answer = await dav.request(tenant, username, "PUT", path, incoming=incoming)
            finally:
                incoming.discard()
            if answer.status >= 400:
                return _then(request, folder, answer.status)
    return html.redirect(html.folder_url(folder))


def _child(folder: str, name: str) -> str:
    """The path of a name in a folder; 400 for a name that isn't one."""
    if len(files.split(name)) != 1 or "/" in name:
        raise RefusedError(400, "A name is needed, without slashes.")
    return f"{folder.rstrip('/')}/{name}"


def _then(request: Request, folder: str, status: int) -> Response:
    """See the folder again, with the reason where the drive refused."""
    if status < 400:
        return html.redirect(html.folder_url(folder))
    problem = _REASONS.get(status, "That is not possible.")
    return pages.show_folder(request, folder, status=status, problem=problem)
