"""The drive's client: ownCloud's WebDAV and share API as plain data. Paths begin at the drive's root."""

from __future__ import annotations

import os

from .http import Missing, Problem, Refused, Unreachable, Web, basic, quote
from .names import NoSuchName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

URL = "http://the-agent-company.com:8092"
USER, PASSWORD = "theagentcompany", "theagentcompany"
ROOT = "/remote.php/webdav"
_ASKED = (
    b'<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:prop>'
    b"<d:resourcetype/><d:getcontentlength/></d:prop></d:propfind>"
)


def from_environment() -> Drive:
    """The agent's own account at TAC's address, or what the environment says."""
    get = os.environ.get
    return Drive(
        get("OFFICE_DRIVE_URL", URL), get("OFFICE_DRIVE_USER", USER), get("OFFICE_DRIVE_PASSWORD", PASSWORD)
    )


class Entry:
    """A file or folder of the drive."""

    def __init__(self, path: str, folder: bool, size: int) -> None:
        self.path = path
        """Without a slash at either end; '' is the root."""
        self.folder = folder
        self.size = size
        """Bytes; 0 for a folder."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        return self.path + ("/" if self.folder else "")


class Drive:
    """The drive as one account sees it."""

    def __init__(self, url: str = URL, user: str = USER, password: str = PASSWORD) -> None:
        self._web = Web(url, {"Authorization": basic(user, password)})

    def entries(self, path: str = "") -> list[Entry]:
        """What is in a folder, by path; `Missing` where it isn't there."""
        found = self._properties(path, "1")
        return sorted((e for e in found if e.path != _clean(path)), key=lambda entry: entry.path)

    def walk(self, path: str = "") -> list[Entry]:
        """What is in a folder and in all folders below. (ownCloud tells one level in an answer, not more.)"""
        found: list[Entry] = []
        for entry in self.entries(path):
            found.append(entry)
            if entry.folder:
                found += self.walk(entry.path)
        return found

    def entry(self, path: str) -> Entry:
        """What is at a path."""
        return self._properties(path, "0")[0]

    def read(self, path: str) -> bytes:
        """A file's content."""
        if self.entry(path).folder:
            raise Problem(f"{path} is a folder")
        return self._ask("GET", path)

    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file. Folders on the way are made."""
        folder = _clean(path).rpartition("/")[0]
        try:
            self._ask("PUT", path, data)
        except (Missing, Refused):
            if not folder or self._is_folder(folder):
                raise
            self.make_folder(folder)
            self._ask("PUT", path, data)

    def delete(self, path: str) -> None:
        if not _clean(path):
            raise Problem("the drive itself can't be deleted")
        self._ask("DELETE", path)

    def make_folder(self, path: str) -> None:
        """Make a folder and those on the way; one that is there stays as it is."""
        done = ""
        for name in _clean(path).split("/"):
            done = f"{done}/{name}"
            if not self._is_folder(done):
                self._ask("MKCOL", done)

    def move(self, source: str, target: str) -> None:
        self._to("MOVE", source, target)

    def copy(self, source: str, target: str) -> None:
        self._to("COPY", source, target)

    def share(self, path: str) -> str:
        """A public link to a file or folder."""
        self.entry(path)
        body = f"path={quote('/' + _clean(path))}&shareType=3".encode("ascii")
        headers = {"OCS-APIRequest": "true", "Content-Type": "application/x-www-form-urlencoded"}
        target = "/ocs/v1.php/apps/files_sharing/api/v1/shares?format=json"
        answer = self._web.document(self._web.request("POST", target, body, headers), f"POST {target}")["ocs"]
        if answer["meta"]["statuscode"] != 100:
            raise Problem(f"{path!r} can't be shared: {answer['meta'].get('message')}")
        return str(answer["data"]["url"])

    def into(self, source: str, target: str) -> str:
        """Where something goes that is moved, copied or put to `target`: into it, where it is a folder."""
        if target.endswith("/") or self._is_folder(target):
            return f"{_clean(target)}/{_clean(source).rpartition('/')[2]}"
        return target

    # The protocol

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Any = None) -> bytes:
        try:
            return self._web.request(method, _target(path), body, headers).body
        except Missing:
            raise self._no_such(path) from None
        except Refused as error:
            raise Refused(error.status, _said(error)) from None

    def _to(self, method: str, source: str, target: str) -> None:
        self._ask(method, source, None, {"Destination": self._web.url + _target(target), "Overwrite": "T"})

    def _properties(self, path: str, depth: str) -> list[Entry]:
        headers = {"Depth": depth, "Content-Type": "application/xml"}
        return _parse(self._ask("PROPFIND", path, _ASKED, headers))

    def _is_folder(self, path: str) -> bool:
        try:
            return self.entry(path).folder
        except Missing:
            return False

    def _no_such(self, path: str) -> NoSuchName:
        """With the names in the nearest folder that is there."""
        folder = _clean(path)
        while folder:
            folder = folder.rpartition("/")[0]
            try:
                answer = self._web.request("PROPFIND", _target(folder), _ASKED, {"Depth": "1"})
            except (Missing, Refused):
                continue
            return NoSuchName("file", path, [str(e) for e in _parse(answer.body) if e.path != folder])
        return NoSuchName("file", path, [])


def _clean(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _target(path: str) -> str:
    return "/".join([ROOT, *map(quote, _clean(path).split("/"))])


def _said(error: Refused) -> str:
    """The text of ownCloud's XML errors; whatever it is otherwise."""
    _, mark, rest = str(error).partition("<s:message>")
    return rest.partition("</s:message>")[0] if mark else str(error)


def _parse(document: bytes) -> list[Entry]:
    """The entries of a multistatus document. (`xml.etree` takes five times as long to import.)"""
    from pyexpat import ExpatError, ParserCreate

    parser = ParserCreate(namespace_separator=" ")
    entries: list[Entry] = []
    found = {"href": "", "size": "", "folder": ""}
    text: list[str] = []

    def start(tag: str, _: object) -> None:
        text.clear()
        if tag == "DAV: response":
            found.update(href="", size="", folder="")
        elif tag == "DAV: collection":
            found["folder"] = "yes"

    def end(tag: str) -> None:
        if tag == "DAV: href" and not found["href"]:
            found["href"] = "".join(text)
        elif tag == "DAV: getcontentlength":
            found["size"] = "".join(text)
        elif tag == "DAV: response":
            path = _clean(_unquote(found["href"]).partition(ROOT)[2])
            entries.append(Entry(path, bool(found["folder"]), int(found["size"] or 0)))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    try:
        parser.Parse(document, True)
    except (ExpatError, ValueError):
        entries.clear()
    if not entries:
        raise Unreachable("the drive answered with what is not WebDAV")
    return entries


def _unquote(text: str) -> str:
    first, *rest = text.encode("utf-8").split(b"%")
    data = first + b"".join([bytes.fromhex(part[:2].decode("ascii")) + part[2:] for part in rest])
    return data.decode("utf-8", "replace")
