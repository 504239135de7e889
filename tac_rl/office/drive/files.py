"""The drive's files: a folder of the tenant, in which a file is replaced and never written in place.

A file may be a hard link into a snapshot that other tenants share. So new content goes to a temporary
file beside the drive and is renamed over the old name; nothing here opens a file of the drive for writing.
No symbolic link is followed, made or cloned.
"""

import hashlib
import mimetypes
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = "drive"
"""Of a tenant, that holds the files."""
NAME_BYTES = 250
PATH_BYTES = 2000
PATH_DEPTH = 64

_TYPES = mimetypes.MimeTypes(filenames=())  # the same on every machine
for _suffix, _type in {
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation",
}.items():
    _TYPES.add_type(_type, _suffix)


class RefusedError(Exception):
    """The drive does not do this; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Entry:
    """A file or folder in a listing."""

    name: str
    path: str
    """In the drive, from its root: `/Documents/a.txt`."""
    folder: bool
    size: int
    """Bytes; 0 for a folder."""
    modified: float
    """Seconds since the epoch."""


def drive_of(tenant_folder: Path) -> Path:
    return tenant_folder / FOLDER


def split(path: str) -> tuple[str, ...]:
    """The names along a path of the drive; `RefusedError` (400) for one that can't be."""
    names = tuple(name for name in path.split("/") if name)
    try:
        encoded = [name.encode() for name in names]
    except UnicodeEncodeError as error:
        raise RefusedError(400, "the path is not valid Unicode") from error
    if len(names) > PATH_DEPTH or sum(map(len, encoded)) + len(encoded) > PATH_BYTES:
        raise RefusedError(400, f"a path may have {PATH_DEPTH} folders and {PATH_BYTES} bytes at most")
    for name, raw in zip(names, encoded, strict=True):
        if name in (".", "..") or "\\" in name or "\x7f" in name or min(raw) < 32:
            raise RefusedError(400, "a name may not be . or .. nor hold backslashes or control characters")
        if len(raw) > NAME_BYTES:
            raise RefusedError(400, f"a name may have {NAME_BYTES} bytes at most")
    return names


def normal(path: str) -> str:
    """The path as the drive writes it: a slash before every name, none at the end, `/` for the root."""
    return "/" + "/".join(split(path))


def locate(root: Path, path: str) -> Path:
    """Where a path of the drive is on disk, whether or not it exists; `RefusedError` if a link is on the way."""
    found = str(root)
    for name in split(path):
        found = f"{found}/{name}"
        try:
            link = stat.S_ISLNK(os.lstat(found).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise RefusedError(400, f"the path can't be read: {error.strerror}") from error
        if link:
            raise RefusedError(403, "symbolic links are not followed")
    return Path(found)


def existing(root: Path, path: str) -> Path:
    """Like `locate`, for a file or folder that must be there (404)."""
    found = locate(root, path)
    if not found.exists():
        raise RefusedError(404, "there is no such file or folder")
    return found


def listing(root: Path, path: str) -> list[Entry]:
    """What is in a folder: folders first, then by name. 404 if there is none, 400 for a file."""
    folder = existing(root, path)
    if not folder.is_dir():
        raise RefusedError(400, "this is a file, not a folder")
    base = normal(path).rstrip("/")
    found = []
    for name, status in members(folder):
        is_folder = stat.S_ISDIR(status.st_mode)
        size = 0 if is_folder else status.st_size
        found.append(Entry(name, f"{base}/{name}", is_folder, size, status.st_mtime))
    return sorted(found, key=lambda entry: (not entry.folder, entry.name.lower(), entry.name))


def members(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Names and status of the files and folders in a folder, by name; links and other things are left out."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False)


def tree(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All files and folders below a folder, as relative paths, parents first."""
    for name, status in members(folder):
        yield name, status
        if stat.S_ISDIR(status.st_mode):
            for below, its_status in tree(folder / name):
                yield f"{name}/{below}", its_status


def used_bytes(folder: Path) -> int:
    """The sum of the sizes of all files below."""
    return sum(status.st_size for _, status in tree(folder) if stat.S_ISREG(status.st_mode))


def depth_below(folder: Path) -> int:
    """How many levels of names there are below a folder; 0 for an empty one or a file."""
    if not folder.is_dir():
        return 0
    return max((path.count("/") + 1 for path, _ in tree(folder)), default=0)


def mime_type(name: str) -> str:
    return _TYPES.guess_type(name.lower(), strict=False)[0] or "application/octet-stream"


def file_id(path: str) -> int:
    """A number for a path (ownCloud's file ids): the same in every tenant, another after a move."""
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=5).digest())


def etag(path: str, status: os.stat_result) -> str:
    """Changes whenever the content does; 32 hexadecimal digits."""
    facts = f"{path}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.blake2b(facts.encode(), digest_size=16).hexdigest()


# Changes


class Incoming:
    """New content of a file on its way in: nothing of the drive changes before `commit`."""

    def __init__(self, root: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=root.parent, prefix=f".{FOLDER}-", suffix=".part")
        self._file = os.fdopen(descriptor, "wb")
        self._name: str | None = name
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)

    def commit(self, target: Path, seconds: float) -> None:
        """Become the file `target`, changed at `seconds` since the epoch."""
        assert self._name is not None, "this content has its place already"
        self._file.close()
        moment = round(seconds * 1e9)
        os.utime(self._name, ns=(moment, moment))
        Path(self._name).replace(target)
        self._name = None

    def discard(self) -> None:
        """Leave no trace; nothing happens after `commit`."""
        self._file.close()
        if self._name is not None:
            Path(self._name).unlink(missing_ok=True)
            self._name = None


def write_file(root: Path, target: Path, content: bytes, seconds: float) -> None:
    incoming = Incoming(root)
    try:
        incoming.write(content)
        incoming.commit(target, seconds)
    finally:
        incoming.discard()


def copy_file(root: Path, source: Path, target: Path) -> None:
    """Make `target` a copy of `source`, with its time: a hard link, since no file is ever changed in place."""
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{FOLDER}-") as scratch:
        draft = Path(scratch, "copy")
        _link_or_copy(source, draft)
        draft.replace(target)


def set_modified(root: Path, path: Path, seconds: float) -> None:
    """Change the time of a file or folder, and of no other tenant's."""
    moment = round(seconds * 1e9)
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink == 1:
        os.utime(path, ns=(moment, moment))
        return
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{FOLDER}-") as scratch:
        draft = Path(scratch, "copy")
        shutil.copyfile(path, draft)
        os.utime(draft, ns=(moment, moment))
        draft.replace(path)


def clone_drive(source: Path, target: Path) -> None:
    """Make `target`, which must not exist, a copy of the folder `source`; files are shared until replaced."""
    target.mkdir()
    with os.scandir(source) as entries:
        for entry in entries:
            copy = target / entry.name
            if entry.is_dir(follow_symlinks=False):
                clone_drive(source / entry.name, copy)
            elif entry.is_file(follow_symlinks=False):
                _link_or_copy(source / entry.name, copy)
    status = source.stat()
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without hard links, or too many of them
        shutil.copy2(source, target, follow_symlinks=False)
