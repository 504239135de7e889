# Plain os functions here: pathlib would slow every start.
# ruff: noqa: PTH103, PTH108, PTH115, PTH118, PTH120, PTH123
"""File work for the host, done with the commands' rights. What a command left behind is never trusted:
links and pipes are not followed or waited for where that matters, and sizes are bounded."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator

from .confine import WORKSPACE, WRITABLE

_EXPORT_DEPTH = 64


def put(entries: list[tuple[str, int, bool]], body: bytes) -> None:
    """Write files; an entry is (path, number of bytes in `body`, whether it is executable)."""
    offset = 0
    for path, size, executable in entries:
        path = os.path.join(WORKSPACE, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(path, flags, 0o755 if executable else 0o644), "wb") as file:
            file.write(body[offset : offset + size])
        offset += size


def get(path: str, max_bytes: int) -> bytes:
    """The first bytes of a regular file; FileNotFoundError for anything else."""
    path = os.path.join(WORKSPACE, path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise FileNotFoundError(path) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(path)
    with open(fd, "rb") as file:
        return file.read(max_bytes)


def export(max_bytes: int) -> bytes:
    """The workspace as tar; what does not fit, can't be read or lies too deep is left out."""
    buffer, left = io.BytesIO(), max_bytes - tarfile.RECORDSIZE
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in _walk(WORKSPACE, _EXPORT_DEPTH):
            entry, data = tarfile.TarInfo(os.path.relpath(path, WORKSPACE)), b""
            try:
                what = os.lstat(path)
                if stat.S_ISDIR(what.st_mode):
                    entry.type = tarfile.DIRTYPE
                elif stat.S_ISLNK(what.st_mode):
                    entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
                elif stat.S_ISREG(what.st_mode) and what.st_size <= left:
                    data = get(path, what.st_size)
                else:
                    continue
            except OSError:
                continue
            entry.mode, entry.mtime, entry.size = what.st_mode & 0o777, int(what.st_mtime), len(data)
            room = len(entry.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")) + entry.size + 511
            if room <= left:
                left -= room
                archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def wipe() -> None:
    """Empty every writable folder."""
    for folder in WRITABLE:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _walk(folder: str, depth: int) -> Iterator[str]:
    """Every path below a folder, sorted, parents first; links are not followed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        yield entry.path
        if depth > 1 and entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, depth - 1)
