"""Compare two exported workspaces, in memory: nothing is unpacked on the host."""

import io
import tarfile


def changed_files(before: bytes, after: bytes) -> list[str]:
    """The regular files of the tar `after` that the tar `before` lacks or has with other content, sorted.

    Files of git's own (`.git/`) are left out, here and in `list_files`.
    """
    old = _contents(before)
    return sorted(name for name, data in _contents(after).items() if old.get(name) != data)


def list_files(archive: bytes) -> list[str]:
    """The regular files of a tar, sorted."""
    return sorted(_contents(archive))


def has_repository(archive: bytes) -> bool:
    """True where a folder of the tar is a git repository."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        return any(".git" in name.split("/") for name in tar.getnames())


def _contents(archive: bytes) -> dict[str, bytes]:
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None and ".git" not in member.name.split("/"):
                contents[member.name] = file.read()
    return contents
