"""The store of files that people sent: a row each, and the content in the tenant's folder `chat`."""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tac_rl.office.chat.ids import fresh_id
from tac_rl.office.chat.rooms import Room
from tac_rl.office.chat.times import now_ms
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant

FOLDER = "chat"
_TYPE = re.compile(r"[\w.+-]{1,80}/[\w.+-]{1,80}")


@dataclass(frozen=True)
class File:
    id: str
    room: str
    username: str
    name: str
    type: str
    """A media type."""
    size: int
    """In bytes."""
    message: str | None


def path(tenant: Tenant, file_id: str) -> Path:
    return tenant.folder / FOLDER / file_id


def by_id(tenant: Tenant, file_id: str) -> File | None:
    row = tenant.row("SELECT * FROM chat_files WHERE id = ?", file_id)
    return None if row is None else _file(row)


def write(target: Path, content: IO[bytes]) -> None:
    """Copy the content there, whole or not at all; may run in another thread."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as out:
            shutil.copyfileobj(content, out)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def insert(tenant: Tenant, room: Room, user: User, name: str, media_type: str | None, size: int) -> File:
    """A row for a file that will be written to its `path`. Its name loses what leads elsewhere."""
    file_id = fresh_id(tenant, "chat_files")
    plain = re.split(r"[/\\]", name)[-1]
    plain = "".join(sign for sign in plain if sign.isprintable())[:200].strip(". ") or "file"
    kind = media_type if media_type and _TYPE.fullmatch(media_type) else "application/octet-stream"
    tenant.db.execute(
        "INSERT INTO chat_files (id, room, username, name, type, size, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (file_id, room.id, user.username, plain, kind, size, now_ms(tenant)),
    )
    return File(file_id, room.id, user.username, plain, kind, size, None)


def confirm(tenant: Tenant, file: File, message_id: str) -> None:
    """This message shows it."""
    tenant.db.execute("UPDATE chat_files SET message = ? WHERE id = ?", (message_id, file.id))


def remove(tenant: Tenant, file: File) -> None:
    tenant.db.execute("DELETE FROM chat_files WHERE id = ?", (file.id,))
    path(tenant, file.id).unlink(missing_ok=True)


def sweep(tenant: Tenant) -> None:
    """Delete contents whose rows went with a message, a room or an account."""
    kept = {row["id"] for row in tenant.rows("SELECT id FROM chat_files")}
    for found in (tenant.folder / FOLDER).iterdir():
        if found.name not in kept and not found.name.startswith(".new-"):
            found.unlink(missing_ok=True)


def _file(row: Any) -> File:
    return File(
        row["id"], row["room"], row["username"], row["name"], row["type"], row["size"], row["message"]
    )
