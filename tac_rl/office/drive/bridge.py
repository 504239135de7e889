"""The way from the web server to WebDAV: paths, credentials, bodies.

An ASGI middleware: what is not under a WebDAV mount goes on to the application.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from lxml import etree  # type: ignore[import-untyped]
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tac_rl.office.drive import access, dav, files, store
from tac_rl.office.drive.dav import Answer, Dav
from tac_rl.office.drive.files import Incoming, RefusedError
from tac_rl.office.tenant import Tenant

BODY_BYTES = 2**20
"""Of a request that brings no file."""
STALL_SECONDS = 60.0
"""A client that neither sends nor takes anything for so long is given up."""
LATEST = 2**33
"""Seconds since the epoch that no file's time may reach: years have four digits for every client."""
_MOUNT = re.compile(r"(/remote\.php/(?:webdav|dav/files/([^/]+)))(/.*)?", re.DOTALL)
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-0*[1-9]\d{0,17})")
_SERVER = re.compile(r"^https?://[^/]*", re.IGNORECASE)
_TAG = re.compile(r"<(?:https?://[^/>]*)?/remote\.php/(?:webdav|dav/files/[^/>]+)([^>]*)>")
_ESCAPED = re.compile(r"%(?:2f|5c|00)", re.IGNORECASE)


class GoneError(Exception):
    """The client went away, or stalled, before its request was complete."""


class DavMiddleware:
    def __init__(self, app: ASGIApp, dav: Dav) -> None:
        self.app = app
        self.dav = dav

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/remote.php/"):
            upload = scope["type"] == "http" and scope["path"].endswith("/upload")
            limit = BODY_BYTES + (self.dav.upload_bytes if upload else 0)
            await self.app(scope, _limited(receive, limit), send)
            return
        try:
            answer = await self._answer(scope, receive)
        except RefusedError as refused:
            answer = _refusal(refused.status, str(refused))
        except GoneError:
            return
        await self._send(answer, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        tenant: Tenant = scope["state"]["tenant"]
        headers = Headers(scope=scope)
        username = access.username_of(tenant, headers)
        if username is None:
            return _refusal(
                401, "Cannot authenticate over ajax calls" if _is_ajax(headers) else "Not signed in"
            )
        method = scope["method"]
        if method not in dav.METHODS:
            return _refusal(
                405, f"There was no plugin in the system that was willing to handle this {method} method"
            )
        mount, path = _place(tenant, scope["raw_path"])
        declared = headers.get("content-length", "0")
        environ = _headers(headers)
        if method in ("COPY", "MOVE") and "HTTP_DESTINATION" in environ:
            target = _place(tenant, _SERVER.sub("", environ["HTTP_DESTINATION"]).encode("latin-1"))[1]
            environ["HTTP_DESTINATION"] = dav.destination(mount, target)
        changed = environ.get("HTTP_X_OC_MTIME", "0")
        if not (changed.isascii() and changed.isdigit() and len(changed) <= 10 and int(changed) < LATEST):
            raise RefusedError(400, "X-OC-Mtime is in seconds since 1970")
        body, incoming = b"", None
        if method == "PUT":
            incoming, room = await self._receive_file(tenant, receive, int(declared))
        else:
            body, room = _plain_xml(await _receive_small(receive, int(declared))), 0
        try:
            answer = await self.dav.request(
                tenant,
                username,
                method,
                path,
                mount=mount,
                headers=environ,
                query=scope["query_string"].decode("latin-1"),
                body=body,
                incoming=incoming,
            )
        finally:
            self.dav.give_room(tenant, room)
        if "HTTP_X_OC_MTIME" in environ and answer.status in (201, 204):
            answer.headers.append(("X-OC-MTime", "accepted"))
        return answer

    async def _receive_file(self, tenant: Tenant, receive: Receive, declared: int) -> tuple[Incoming, int]:
        """The body as a file, and the room that was taken for it."""
        if declared > self.dav.upload_bytes:
            raise RefusedError(413, f"a file may have {self.dav.upload_bytes} bytes at most")
        room = 0
        incoming = Incoming(files.drive_of(tenant.folder))
        try:
            more = True
            while more:
                data, more = await _part(receive)
                await self.dav.make_room(tenant, len(data))
                room += len(data)
                if room > self.dav.upload_bytes:
                    raise RefusedError(413, f"a file may have {self.dav.upload_bytes} bytes at most")
                incoming.write(data)
        except BaseException as error:
            incoming.discard()
            self.dav.give_room(tenant, room)
            if isinstance(error, OSError):
                raise RefusedError(507, "there is no room left") from error
            raise
        return incoming, room

    async def _send(self, answer: Answer, send: Send) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
        ]
        try:
            await _soon(send({"type": "http.response.start", "status": answer.status, "headers": headers}))
            await _soon(
                send(
                    {"type": "http.response.body", "body": answer.body, "more_body": answer.rest is not None}
                )
            )
            while answer.rest is not None:
                piece = await self.dav.on_thread(next, answer.rest, None)
                await _soon(
                    send({"type": "http.response.body", "body": piece or b"", "more_body": piece is not None})
                )
                if piece is None:
                    break
        except GoneError:
            return
        finally:
            if answer.rest is not None:
                answer.rest.close()


def _place(tenant: Tenant, raw: bytes) -> tuple[str, str]:
    """Mount and path of a request's undecoded path; `RefusedError` for what is not under a mount."""
    text = raw.partition(b"?")[0].decode("latin-1")
    if _ESCAPED.search(text):
        raise RefusedError(400, "a name may hold no slash, backslash or NUL")
    try:
        path = unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise RefusedError(400, "the path is not UTF-8") from error
    found = _MOUNT.fullmatch(path)
    if found is None or (found[2] is not None and store.account(tenant, found[2]) is None):
        raise RefusedError(404, f"File not found: {path}")
    inside = found[3] or "/"
    names = files.split(inside)
    return found[1], "/" + "/".join(names) + ("/" if names and inside.endswith("/") else "")


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    kind = named.pop("HTTP_CONTENT_TYPE", None)
    named.pop("HTTP_CONTENT_LENGTH", None)
    span = _RANGE.fullmatch(named.get("HTTP_RANGE", ""))
    if span is None or (span[1] and span[2] and int(span[1]) > int(span[2])):
        named.pop("HTTP_RANGE", None)  # WsgiDAV would misread it; a range may always be ignored
    if "HTTP_IF" in named:
        # Resources are tagged by URL; WsgiDAV compares with its references, which are paths under the mount.
        named["HTTP_IF"] = _TAG.sub(lambda found: f"<{quote(unquote(found[1]))}>", named["HTTP_IF"])
    return named if kind is None else {**named, "CONTENT_TYPE": kind}


def _is_ajax(headers: Mapping[str, str]) -> bool:
    return headers.get("x-requested-with") == "XMLHttpRequest"


def _refusal(status: int, message: str) -> Answer:
    body = dav.error_body(status, message)
    headers = [("Content-Type", "application/xml; charset=utf-8"), ("Content-Length", str(len(body)))]
    if status == 401:
        headers.append(("WWW-Authenticate", 'Basic realm="ownCloud", charset="UTF-8"'))
    if status in (413, 507):
        headers.append(("Connection", "close"))  # the rest of the body is not wanted
    return Answer(status, headers, body)


def _limited(receive: Receive, limit: int) -> Receive:
    """Receive no more than `limit` bytes of a body: `RefusedError` (413), where the body is read."""
    received = 0

    async def receive_some() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise RefusedError(413, f"a request's body may have {limit} bytes at most")
        return message

    return receive_some


async def _receive_small(receive: Receive, declared: int) -> bytes:
    received = bytearray()
    more = True
    while more and max(declared, len(received)) <= BODY_BYTES:
        data, more = await _part(receive)
        received += data
    if max(declared, len(received)) > BODY_BYTES:
        raise RefusedError(413, f"a request's body may have {BODY_BYTES} bytes at most")
    return bytes(received)


async def _part(receive: Receive) -> tuple[bytes, bool]:
    """The next part of the body, and whether there is more."""
    message: Message = await _soon(receive())
    if message["type"] == "http.disconnect":
        raise GoneError
    return message.get("body", b""), message.get("more_body", False)


async def _soon(step: Any) -> Any:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await step
    except TimeoutError:
        raise GoneError from None


def _plain_xml(body: bytes) -> bytes:
    """XML without comments and processing instructions, on which WsgiDAV stumbles; entities are refused."""
    if b"<!DOCTYPE" in body:
        raise RefusedError(400, "a document type is not accepted")
    if b"<!--" not in body and body.count(b"<?") < 2:
        return body
    try:
        parser = etree.XMLParser(
            remove_comments=True, remove_pis=True, resolve_entities=False, no_network=True
        )
        return etree.tostring(etree.fromstring(body, parser))
    except etree.XMLSyntaxError as error:
        raise RefusedError(400, f"the body is not XML: {error}") from error
