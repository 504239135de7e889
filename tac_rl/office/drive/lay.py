"""Lay this service's section of an overlay over a tenant."""

import base64
import binascii
from datetime import UTC, datetime
from pathlib import Path

from tac_rl.errors import OverlayError
from tac_rl.office.base import AGENT_DRIVE
from tac_rl.office.drive import files, store
from tac_rl.office.drive.files import RefusedError
from tac_rl.office.overlay import DriveOverlay
from tac_rl.office.tenant import Tenant

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""When a file of an overlay was written; one that was there already is written again a minute later."""


def lay(tenant: Tenant, overlay: DriveOverlay) -> None:
    """Add what the overlay names."""
    root = files.drive_of(tenant.folder)
    touched: set[Path] = set()
    for path in overlay.folders:
        _make_folder(root, _locate(root, path), path, touched)
    for path, content in overlay.files.items():
        target = _locate(root, path)
        if target.is_dir():
            raise OverlayError(f"drive: {path} is a folder; name a file in it")
        _make_folder(root, target.parent, path, touched)
        when = target.stat().st_mtime + 60 if target.exists() else START.timestamp()
        files.write_file(root, target, _bytes(path, content), when)
    # A folder is as old as the newest thing in it: what the kernel notes would differ each time.
    for folder in sorted(touched, key=lambda f: len(f.parts), reverse=True):
        newest = max((s.st_mtime for _, s in files.members(folder)), default=START.timestamp())
        files.set_modified(root, folder, newest)
    for wanted in overlay.shares:
        target = _locate(root, wanted.path)
        if not target.exists():
            raise OverlayError(
                f"drive: the share of {wanted.path} has no file; add it to `files` or `folders`"
            )
        try:
            store.add_share(
                tenant,
                kind=store.Kind.LINK,
                path=files.normal(wanted.path),
                owner=AGENT_DRIVE,
                token=wanted.token,
                created=START,
            )
        except RefusedError as error:
            raise OverlayError(f"drive: the share of {wanted.path}: {error}; choose another") from error


def _locate(root: Path, path: str) -> Path:
    try:
        names = files.split(path)
        if not names:
            raise OverlayError(f"drive: {path!r} names no file or folder")
        return files.locate(root, path)
    except RefusedError as error:
        raise OverlayError(f"drive: {path!r} can't be stored: {error}") from error


def _make_folder(root: Path, folder: Path, path: str, touched: set[Path]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OverlayError(
            f"drive: {path} lies in a file; give the file or the folder another name"
        ) from error
    touched.update((folder, *(p for p in folder.parents if p == root or root in p.parents)))


def _bytes(path: str, content: str | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    if not content.startswith("base64:"):
        return content.encode()
    try:
        return base64.b64decode(content.removeprefix("base64:"), validate=False)
    except binascii.Error as error:
        raise OverlayError(f"drive: the content of {path} is not base64: {error}") from error
