"""Exported workspaces (tar files), looked at and altered in memory: nothing is unpacked on the host."""

import io
import tarfile
from collections.abc import Iterable
from typing import NamedTuple


class Entry(NamedTuple):
    """A member of a tar file, and the content of a regular file (empty for all else)."""

    member: tarfile.TarInfo
    data: bytes = b""


def read_archive(archive: bytes) -> list[Entry]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        entries = []
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            entries.append(Entry(member, file.read() if file is not None else b""))
        return entries


def write_archive(entries: Iterable[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, data in entries:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def list_files(archive: bytes) -> list[str]:
    """The regular files of a tar, sorted; without git's own (`.git/`)."""
    return sorted(_contents(archive))


def changed_files(before: bytes, after: bytes) -> list[str]:
    """The files of the tar `after` that the tar `before` lacks or has with other content; without git's own."""
    old = _contents(before)
    return sorted(name for name, data in _contents(after).items() if old.get(name) != data)


def has_repository(archive: bytes) -> bool:
    """True where a folder of the tar is a git repository."""
    return any(_is_gits(entry.member.name) for entry in read_archive(archive))


def _contents(archive: bytes) -> dict[str, bytes]:
    return {
        member.name: data
        for member, data in read_archive(archive)
        if member.isreg() and not _is_gits(member.name)
    }


def _is_gits(name: str) -> bool:
    return ".git" in name.split("/")
