"""WebDAV for all tenants of a process: WsgiDAV, run by a few threads over the tenant's drive.

One request of a tenant runs at a time, so what it does to the drive is not mixed with another's, and a tenant
can't take more than one thread. Request bodies are complete before a thread sees them, and answers are read
piece by piece as the client takes them: slow clients cost no thread. A thread sees files and memory only;
the tenant's records are read before and written after, on the event loop.

Locks (class 2) live in this process's memory: they are not part of a tenant's state, are not cloned, and end
with the process. WsgiDAV's apps and locks are made for a tenant when it first needs them.
"""

import asyncio
import errno
import io
import logging
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary
from xml.sax.saxutils import escape

from wsgidav.dav_error import DAVError, get_http_status_string
from wsgidav.lock_man.lock_manager import LockManager
from wsgidav.lock_man.lock_storage import LockStorageDict
from wsgidav.mw.base_mw import BaseMiddleware
from wsgidav.request_resolver import RequestResolver
from wsgidav.wsgidav_app import WsgiDAVApp

from tac_rl.office.base import HOST
from tac_rl.office.drive import files, store
from tac_rl.office.drive.files import Incoming, RefusedError
from tac_rl.office.drive.properties import Properties
from tac_rl.office.drive.resources import TASK, DriveProvider, Task
from tac_rl.office.tenant import Tenant

WEBDAV = "/remote.php/webdav"
METHODS = frozenset(
    (
        "OPTIONS",
        "GET",
        "HEAD",
        "PUT",
        "DELETE",
        "MKCOL",
        "COPY",
        "MOVE",
        "PROPFIND",
        "PROPPATCH",
        "LOCK",
        "UNLOCK",
    )
)
UPLOAD_BYTES = 256 * 2**20
"""Of one file."""
QUOTA_BYTES = 2 * 2**30
"""Of all files in a drive."""
THREADS = 4
CHUNK_BYTES = 256 * 1024

_log = logging.getLogger(__name__)
logging.getLogger("wsgidav").setLevel(logging.ERROR)  # it warns of what clients do wrong

_EXCEPTIONS = {
    400: "BadRequest",
    401: "NotAuthenticated",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    412: "PreconditionFailed",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
    416: "RequestedRangeNotSatisfiable",
    423: "Locked",
    501: "NotImplemented",
    502: "BadGateway",
    507: "InsufficientStorage",
}
"""Status -> class name that ownCloud's library, SabreDAV, puts in its answers."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    """All of it, or its beginning."""
    rest: Generator[bytes, None, None] | None = None
    """What follows; each step is to be taken on a thread, and it must be closed."""


@dataclass
class _State:
    """What this process keeps of a tenant's drive."""

    folder: int
    """Inode of the drive's folder: another one after a reset, when locks and apps of the old one are void."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    locks: LockManager = field(default_factory=lambda: LockManager(LockStorageDict()))
    apps: dict[str, WsgiDAVApp] = field(default_factory=dict)
    """By mount."""
    used: int | None = None
    """Bytes in the drive, or more: deletions are noticed when room is needed."""
    arriving: int = 0
    """Bytes of uploads that are under way."""


class Dav:
    """WebDAV requests, from WSGI's side of things. Everything but `Answer.rest` belongs to the event loop."""

    def __init__(self, *, upload_bytes: int = UPLOAD_BYTES, quota_bytes: int = QUOTA_BYTES) -> None:
        self.upload_bytes = upload_bytes
        self.quota_bytes = quota_bytes
        self.pool = ThreadPoolExecutor(THREADS, "drive")
        self._states: WeakKeyDictionary[Tenant, _State] = WeakKeyDictionary()

    async def request(
        self,
        tenant: Tenant,
        username: str,
        method: str,
        path: str,
        *,
        mount: str = WEBDAV,
        headers: dict[str, str] | None = None,
        query: str = "",
        body: bytes = b"",
        incoming: Incoming | None = None,
    ) -> Answer:
        """Do one WebDAV request; `path` is unquoted and under the mount, headers are named as in WSGI (HTTP_...).

        An `incoming` body is used up or discarded.
        """
        state = self._state(tenant)
        app = state.apps.get(mount)
        if app is None:
            app = state.apps[mount] = _make_app(files.drive_of(tenant.folder), mount, state.locks)
        environ = _environ(method, path, mount, headers or {}, query, body)
        environ["wsgidav.auth.user_name"] = username
        async with state.turn:
            properties = Properties(store.properties(tenant))
            task = Task(
                now=tenant.now().timestamp(),
                owner=username,
                properties=properties,
                quota=self.quota_bytes,
                incoming=incoming,
            )
            environ[TASK] = task
            size = incoming.size if incoming is not None else 0
            app.provider_map["/"].set_prop_manager(properties)
            try:
                answer = await self.on_thread(_run, app, environ)
            finally:
                if incoming is not None:
                    incoming.discard()
            if properties.dirty:
                store.save_properties(tenant, properties.values)
            store.follow(tenant, properties.departures)
            if state.used is not None:
                state.used += size
        return answer

    async def on_thread(self, function: Any, *arguments: Any) -> Any:
        """Call a function that works on files, on one of the drive's threads."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    async def make_room(self, tenant: Tenant, size: int) -> None:
        """Before `size` more bytes of an upload are kept; `RefusedError` (507) where the drive is full.

        Give them back with `give_room` when the upload is over.
        """
        state = self._state(tenant)
        if state.used is None or state.used + state.arriving + size > self.quota_bytes:
            state.used = await self.on_thread(files.used_bytes, files.drive_of(tenant.folder))
        if state.used + state.arriving + size > self.quota_bytes:
            raise RefusedError(507, f"the drive holds {self.quota_bytes} bytes at most")
        state.arriving += size

    def give_room(self, tenant: Tenant, size: int) -> None:
        self._state(tenant).arriving -= size

    def _state(self, tenant: Tenant) -> _State:
        folder = files.drive_of(tenant.folder).stat().st_ino
        state = self._states.get(tenant)
        if state is None:
            state = self._states[tenant] = _State(folder)
        elif state.folder != folder:
            state.folder, state.locks = folder, LockManager(LockStorageDict())
            state.apps, state.used = {}, None
        return state


def error_body(status: int, message: str) -> bytes:
    """As ownCloud answers WebDAV requests that it refuses."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns">\n'
        f"  <s:exception>Sabre\\DAV\\Exception\\{_EXCEPTIONS.get(status, 'ServiceUnavailable')}</s:exception>\n"
        f"  <s:message>{escape(message)}</s:message>\n"
        "</d:error>\n"
    ).encode(errors="replace")


class _Errors(BaseMiddleware):
    """Turns what WsgiDAV raises into answers."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        try:
            yield from self.next_app(environ, start_response)
            return
        except DAVError as error:
            failure = error
            if isinstance(error.src_exception, OSError):
                failure = _of_system(error.src_exception)
        except OSError as error:
            failure = _of_system(error)
        except Exception as error:
            failure = DAVError(500, src_exception=error)
        status, body, kind = int(failure.value), b"", "application/xml; charset=utf-8"
        if status == 500:
            _log.error(
                "drive: %s failed", environ["REQUEST_METHOD"], exc_info=failure.src_exception or failure
            )
        if failure.err_condition:
            kind, body = failure.get_response_page()
        elif status not in (204, 304) and failure.add_body:
            reason = str(failure.context_info or get_http_status_string(failure))
            body = error_body(status, reason)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))] if status != 304 else []
        start_response(get_http_status_string(failure), headers + (failure.add_headers or []))
        yield body if isinstance(body, bytes) else body.encode()


def _of_system(error: OSError) -> DAVError:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return DAVError(507, "there is no room left")
        case errno.ENAMETOOLONG | errno.EINVAL:
            return DAVError(400, "the system can't store this name")
        case errno.ENOENT | errno.ENOTDIR | errno.EEXIST | errno.EISDIR | errno.ENOTEMPTY:
            return DAVError(409, "the drive has changed meanwhile")
        case errno.EACCES | errno.EPERM:
            return DAVError(403, "the system forbids this")
    return DAVError(500, src_exception=error)


def _make_app(root: Path, mount: str, locks: LockManager) -> WsgiDAVApp:
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": DriveProvider(root, locks)},
            "mount_path": mount,
            "middleware_stack": [_Errors, RequestResolver],
            "lock_storage": False,  # the tenant's own, shared by its mounts, stands in the provider
            "property_manager": False,
            "honor_mtime_header": True,
            "block_size": CHUNK_BYTES,
            "logging": {"enable": False},
            "verbose": 0,
        }
    )
    app.provider_map["/"].set_lock_manager(locks)
    return app


def _environ(
    method: str, path: str, mount: str, headers: dict[str, str], query: str, body: bytes
) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "SERVER_NAME": HOST,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": HOST,
        **headers,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": mount.encode().decode("latin-1"),
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if method == "PROPFIND" and environ.get("HTTP_DEPTH", "infinity").lower() == "infinity":
        environ["HTTP_DEPTH"] = "1"  # as ownCloud does: nobody gets the whole tree in one answer
    return environ


def _run(app: WsgiDAVApp, environ: dict[str, Any]) -> Answer:
    """Answer a request up to the first piece of the body (on a thread)."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started[:] = [int(status.split(" ", 1)[0]), headers]

    rest = _pieces(iter(app(environ, start_response)))
    first = next(rest, b"")
    status, headers = started
    has_body = environ["REQUEST_METHOD"] != "HEAD" and status not in (204, 304)
    kept = [
        (name, value)
        for name, value in headers
        if name.lower() not in ("date", "connection") and (status != 204 or name.lower() != "content-length")
    ]
    complete = len(first) < CHUNK_BYTES or not has_body
    if complete:
        rest.close()
    return Answer(status, kept, first if has_body else b"", None if complete else rest)


def _pieces(body: Iterator[bytes]) -> Generator[bytes, None, None]:
    """The same bytes in pieces of `CHUNK_BYTES`; only the last one may be smaller."""
    held = bytearray()
    try:
        for data in body:
            held += data
            if len(held) >= CHUNK_BYTES:
                yield bytes(held)
                held.clear()
        yield bytes(held)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def destination(mount: str, path: str) -> str:
    """A Destination header for `path` under the mount."""
    return quote(mount + path)
