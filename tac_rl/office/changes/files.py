"""The difference of two folders of files. What is the same file on disk is unchanged, and is never read."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tac_rl.office.changes.base import FileChange

_REPOSITORY = ("HEAD", "objects", "refs")
Entries = dict[str, "os.DirEntry[str]"]


class FileDiff:
    """Walks both folders at once; repositories are noted and left to `repositories.py`."""

    def __init__(self, before: Path, after: Path) -> None:
        self._before, self._after = str(before), str(after)
        self._same_device = before.stat().st_dev == after.stat().st_dev
        self.repositories: list[str] = []
        """Paths of bare repositories on either side."""

    def changes(self, folder: str) -> Iterator[FileChange]:
        """Of one folder in both offices, by path."""
        before, after = _entries(f"{self._before}/{folder}"), _entries(f"{self._after}/{folder}")
        if any(all(name in side for name in _REPOSITORY) for side in (before, after)):
            self.repositories.append(folder)
            return
        for name in sorted(before.keys() | after.keys()):
            yield from self._compare(f"{folder}/{name}", before.get(name), after.get(name))

    def _compare(
        self, path: str, old: "os.DirEntry[str] | None", new: "os.DirEntry[str] | None"
    ) -> Iterator[FileChange]:
        was_folder = old is not None and old.is_dir(follow_symlinks=False)
        is_folder = new is not None and new.is_dir(follow_symlinks=False)
        if was_folder or is_folder:
            known = len(self.repositories)
            inside = list(self.changes(path))
            if was_folder != is_folder and len(self.repositories) == known:
                yield FileChange(path, "added" if is_folder else "removed", folder=True)
            yield from inside
            old, new = (None if was_folder else old), (None if is_folder else new)
        if old is not None and new is not None:
            if self._same_device and old.inode() == new.inode():
                return
            before, after = _measure(old), _measure(new)
            if before != after:
                yield FileChange(
                    path,
                    "changed",
                    size_before=before[0],
                    size=after[0],
                    sha256_before=before[1],
                    sha256=after[1],
                )
        elif new is not None:
            size, sha256 = _measure(new)
            yield FileChange(path, "added", size=size, sha256=sha256)
        elif old is not None:
            size, sha256 = _measure(old)
            yield FileChange(path, "removed", size_before=size, sha256_before=sha256)


def _entries(folder: str) -> Entries:
    """What is in a folder; nothing where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _measure(entry: "os.DirEntry[str]") -> tuple[int, str]:
    """Size and hash; of a symbolic link: of the path it holds, since nothing follows it."""
    if entry.is_symlink():
        target = os.fsencode(os.readlink(entry.path))  # noqa: PTH115
        return len(target), hashlib.sha256(target).hexdigest()
    with open(entry.path, "rb") as file:  # noqa: PTH123
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
