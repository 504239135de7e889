"""Hostile endings: what may lie in a workspace in place of honest files. Every evaluator must grade them.

They are made from an honest ending's archive, and some are worse than what a sandbox would export.
"""

import copy
import tarfile
from collections.abc import Callable, Collection, Iterator

from tac_rl.tasks.archives import Entry, list_files, read_archive, write_archive

NOTHING_LEFT = "nothing is left"

_Replace = Callable[[tarfile.TarInfo], list[Entry]]


def _content(data: bytes) -> _Replace:
    return lambda member: [Entry(member, data)]


def _of_type(kind: bytes, link: str = "") -> _Replace:
    def replace(member: tarfile.TarInfo) -> list[Entry]:
        member.type, member.linkname = kind, link or member.name.rpartition("/")[2]
        return [Entry(member)]

    return replace


_REPLACEMENTS: dict[str, _Replace] = {
    "missing": lambda member: [],
    "empty": _content(b""),
    "huge": _content(b"1\n" * (4 << 20)),
    "one endless line": _content(b"9" * 300_000),
    "binary": _content(b"\xff\xfe\x00\x01\x80\n\x00"),
    "deeply nested": _content(b"[{(" * 60_000),
    "a link to a secret": _of_type(tarfile.SYMTYPE, "/tmp/utils/job"),
    "a link to itself": _of_type(tarfile.SYMTYPE),
    "a folder": _of_type(tarfile.DIRTYPE),
    "a pipe": _of_type(tarfile.FIFOTYPE),
}

_PROGRAMS = b"[core]\n fsmonitor = kill -9 -1\n pager = kill -9 -1\n[diff]\n external = kill -9 -1\n"


def hostile_files(archive: bytes, files: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """For each kind of hostile file, its name and the archive in which all of `files` are of that kind."""
    for name, replace in _REPLACEMENTS.items():
        entries = []
        for entry in read_archive(archive):
            if entry.member.name in files:
                entries += replace(copy.copy(entry.member))
            else:
                entries.append(entry)
        yield name, write_archive(entries)


def upheavals(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Endings that hit the workspace as a whole, by name."""
    yield NOTHING_LEFT, write_archive([])
    yield "the archive is cut", archive[: len(archive) // 2]
    entries = read_archive(archive)
    folders = [entry.member for entry in entries if entry.member.isdir() and "/" not in entry.member.name]
    if folders:
        links = [e for folder in folders for e in _of_type(tarfile.SYMTYPE, "/tmp/utils")(copy.copy(folder))]
        top = [entry for entry in entries if entry.member.isreg() and "/" not in entry.member.name]
        yield "every folder is a link to the outside", write_archive(links + top)
    if len(list_files(archive)) < sum(entry.member.isreg() for entry in entries):
        yield "every repository is broken", _with_git_file(entries, "HEAD", lambda data: b"")
        yield (
            "every repository runs programs",
            _with_git_file(entries, "config", lambda data: data + _PROGRAMS),
        )


def _with_git_file(entries: list[Entry], name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The archive with every repository's file `name` changed."""
    return write_archive(
        Entry(member, change(data)) if f"/{member.name}".endswith(f"/.git/{name}") else Entry(member, data)
        for member, data in entries
    )
