"""Unpack a workspace that an agent left: plain files, folders, and links that stay inside. Nothing else.

The rules are those of `tarfile`'s 'data' filter, except that a forbidden member is left out instead of
ending the extraction. Written out here because older interpreters lack the filter, and because links
are made last: so no member is ever written through a link.
"""

from __future__ import annotations

import os
import tarfile


def unpack(archive, destination):
    """Unpack the tar file `archive` into the folder `destination`; what can't be unpacked is left out."""
    links = []
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                path = _inside(destination, member.name)
                if path is None or path == destination:
                    continue
                try:
                    if member.isdir():
                        os.makedirs(path, exist_ok=True)
                    elif member.issym():
                        links.append((member.linkname, path))
                    elif member.isreg() or member.islnk():
                        _write(tar, member, path)
                except (OSError, KeyError):
                    continue
    except tarfile.TarError as error:
        print(f"the workspace's archive ends early: {error}")
    for target, path in links:
        if not os.path.isabs(target) and _inside(destination, os.path.join(os.path.dirname(path), target)):
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.symlink(target, path)
            except OSError:
                continue


def _inside(destination, name):
    """The normal form of `name` under `destination`, or None where it would lie elsewhere."""
    if "\0" in name:
        return None
    path = os.path.normpath(os.path.join(destination, name))
    return path if path == destination or path.startswith(destination + os.sep) else None


def _write(tar, member, path):
    content = tar.extractfile(member)
    if content is None:
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode = 0o755 if member.mode & 0o100 else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with content, os.fdopen(os.open(path, flags, mode), "wb") as file:
        while chunk := content.read(1 << 18):
            file.write(chunk)
