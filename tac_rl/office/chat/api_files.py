"""Sending files into rooms, and fetching them."""

import asyncio
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.datastructures import UploadFile

from tac_rl.office.chat import files, rights, rooms, shapes, store
from tac_rl.office.chat.calls import Caller, Me, body, by_cookie, caller, limited, success, tenant_of
from tac_rl.office.chat.files import File
from tac_rl.office.chat.messages import Message
from tac_rl.office.chat.models import ConfirmFileBody
from tac_rl.office.chat.refusals import Failed, Refused
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.routing import Routes
from tac_rl.office.chat.times import iso, now_ms

MAX_FILE_BYTES = 100 << 20
"""Rocket.Chat's `FileUpload_MaxFileSize` is 100 MiB."""
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "text/plain")
"""Types that a browser may show; everything else is downloaded, so that no page or script runs here."""

routes = Routes()
_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary"},
        **{name: {"type": "string"} for name in ("msg", "description", "tmid")},
    },
    "required": ["file"],
}


@routes.uploading("rooms.upload/{rid}", form=_FORM, gives="message")
async def rooms_upload(me: Me, rid: str, request: Request) -> Response:
    room = _writable(me, rid)
    file, fields = await receive(me, room, request)
    shown = show(me, room, file, fields.get("msg", ""), fields.get("description", ""), fields.get("tmid"))
    return success(message=shapes.message(me.tenant, shown, me.user))


@routes.uploading("rooms.media/{rid}", form=_FORM)
async def rooms_media(me: Me, rid: str, request: Request) -> Response:
    """A file that nobody sees until it is confirmed."""
    file, _ = await receive(me, _writable(me, rid), request)
    return success(file={"_id": file.id, "url": shapes.file_path(file.id, file.name)})


@routes.posting("rooms.mediaConfirm/{rid}/{fileId}", gives="message")
async def rooms_media_confirm(
    me: Me, rid: str, fileId: str, given: Annotated[ConfirmFileBody, body(ConfirmFileBody)]
) -> Response:
    room = _writable(me, rid)
    file = files.by_id(me.tenant, fileId)
    if file is None or file.room != room.id or file.username != me.user.username or file.message:
        raise Refused("invalid-file")
    shown = show(me, room, file, given.msg, given.description, given.tmid)
    return success(message=shapes.message(me.tenant, shown, me.user))


@routes.get("/file-upload/{file_id}/{name:path}", include_in_schema=False)
async def download(request: Request, file_id: str, name: str) -> Response:
    tenant = await tenant_of(request)
    me = by_cookie(request, tenant) or await caller(request)
    file = files.by_id(tenant, file_id)
    room = None if file is None else rooms.by_id(tenant, file.room)
    if file is None or room is None or not rights.may_read(tenant, me.user, room):
        raise Failed("File not found", 404)
    return FileResponse(
        files.path(tenant, file.id),
        media_type=file.type,
        filename=file.name,
        content_disposition_type="inline" if file.type in _SHOWN else "attachment",
        headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"},
    )


async def receive(me: Caller, room: Room, request: Request) -> tuple[File, dict[str, str]]:
    """Keep the file of a multipart form; gives it and the form's other fields."""
    limit = MAX_FILE_BYTES + (1 << 20)
    async with limited(request, limit).form(max_files=1, max_fields=20) as form:
        sent = form.get("file")
        if not isinstance(sent, UploadFile):
            raise Refused("error-no-file", "File required")
        if (sent.size or 0) > MAX_FILE_BYTES:
            raise Refused("error-file-too-large", "File exceeds allowed size", 413)
        # The row comes first: a sweep in the meantime leaves contents alone that have one.
        file = files.insert(me.tenant, room, me.user, sent.filename or "", sent.content_type, sent.size or 0)
        try:
            await asyncio.to_thread(files.write, files.path(me.tenant, file.id), sent.file)
        except BaseException:
            files.remove(me.tenant, file)
            raise
        return file, {name: value for name, value in form.items() if isinstance(value, str)}


def show(me: Caller, room: Room, file: File, text: str, description: str, thread: str | None) -> Message:
    """Write the message that shows a file; without it the file goes too."""
    link = shapes.file_path(file.id, file.name)
    attachment: dict[str, Any] = {
        "ts": iso(now_ms(me.tenant)),
        "title": file.name,
        "title_link": link,
        "title_link_download": True,
        "type": "file",
        "description": description,
    }
    if file.type.startswith("image/"):
        attachment |= {"image_url": link, "image_type": file.type, "image_size": file.size}
    reference = {"_id": file.id, "name": file.name, "type": file.type}
    extra = {"file": reference, "files": [reference], "attachments": [attachment], "groupable": False}
    try:
        shown = store.post_message(
            me.tenant, room.id, me.user.username, text, thread=thread or None, extra=extra
        )
    except Refused:
        files.remove(me.tenant, file)
        raise
    files.confirm(me.tenant, file, shown.id)
    return shown


def _writable(me: Caller, room_id: str) -> Room:
    room = rooms.by_id(me.tenant, room_id)
    if room is None or not rights.may_read(me.tenant, me.user, room):
        raise Refused("error-invalid-room", "Invalid room")
    return room
