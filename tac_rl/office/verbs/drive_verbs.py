"""The verbs of the drive."""
# Importing pathlib would cost milliseconds of each command.
# ruff: noqa: PTH118, PTH112, PTH123

from __future__ import annotations

import os

from .drive import Drive, from_environment
from .http import Problem
from .table import Verbs

VERBS = Verbs(
    "drive",
    "The company's file drive. A PATH begins at the drive's root: Documents/report.txt",
    {
        "PATH": "a path in the drive, such as Documents/report.txt",
        "LOCAL": "a file here, outside the drive",
        "FROM": "a path in the drive",
        "TO": "a path in the drive",
        "TEXT": "any words",
    },
    from_environment,
)


@VERBS.verb("ls [PATH...]", "what is in a folder")
def ls(drive: Drive, path: str | None = None) -> list[str]:
    entry = drive.entry(path or "")
    if not entry.folder:
        return [f"{entry.name} {entry.size}"]
    return [e.name + ("/" if e.folder else f" {e.size}") for e in drive.entries(path or "")]


@VERBS.verb("cat PATH...", "a file's content")
def cat(drive: Drive, path: str) -> bytes:
    return drive.read(path)


@VERBS.verb("get PATH [LOCAL]", "copy a file of the drive to here")
def get(drive: Drive, path: str, local: str | None = None) -> str:
    data = drive.read(path)
    name = path.rstrip("/").rpartition("/")[2]
    target = os.path.join(local, name) if local and os.path.isdir(local) else local or name
    try:
        with open(target, "wb") as file:
            file.write(data)
    except OSError as error:
        raise Problem(f"{target} can't be written: {error.strerror}") from None
    return f"got {target}"


@VERBS.verb("put LOCAL [PATH...]", "copy a file from here to the drive")
def put(drive: Drive, local: str, path: str | None = None) -> str:
    try:
        with open(local, "rb") as file:
            data = file.read()
    except OSError as error:
        raise Problem(f"{local} can't be read: {error.strerror}") from None
    target = drive.into(local, path or "/")
    drive.write(target, data)
    return f"put {target.strip('/')}"


@VERBS.verb("write PATH TEXT...", "make or replace a file with this text")
def write(drive: Drive, path: str, text: str) -> str:
    drive.write(path, (text if text.endswith("\n") else text + "\n").encode("utf-8", "replace"))
    return f"wrote {path}"


@VERBS.verb("append PATH TEXT...", "add a line to the end of a file")
def append(drive: Drive, path: str, text: str) -> str:
    old = drive.read(path)
    new = old + (b"" if not old or old.endswith(b"\n") else b"\n") + text.encode("utf-8", "replace") + b"\n"
    drive.write(path, new)
    return f"added to {path}"


@VERBS.verb("rm PATH...", "delete a file or folder")
def rm(drive: Drive, path: str) -> str:
    drive.delete(path)
    return f"deleted {path}"


@VERBS.verb("mkdir PATH...", "make a folder")
def mkdir(drive: Drive, path: str) -> str:
    drive.make_folder(path)
    return f"made {path}"


@VERBS.verb("mv FROM TO", "move or rename a file or folder")
def mv(drive: Drive, source: str, target: str) -> str:
    target = drive.into(source, target)
    drive.move(source, target)
    return f"moved to {target}"


@VERBS.verb("cp FROM TO", "copy a file or folder")
def cp(drive: Drive, source: str, target: str) -> str:
    target = drive.into(source, target)
    drive.copy(source, target)
    return f"copied to {target}"


@VERBS.verb("find TEXT...", "files and folders whose name has the text")
def find(drive: Drive, text: str) -> list[str]:
    wanted = text.casefold()
    found = [str(entry) for entry in drive.walk() if wanted in entry.name.casefold()]
    if not found:
        raise Problem(f"no name in the drive has {text!r}; see: drive ls")
    return found


@VERBS.verb("share PATH...", "make a public link and print it")
def share(drive: Drive, path: str) -> str:
    return drive.share(path)
