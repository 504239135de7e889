"""The drive: folders, files and public links, through WebDAV and the share API."""

import base64
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from tac_rl.errors import OfficeError
from tac_rl.office.base import AGENT_DRIVE, PASSWORD
from tac_rl.office.importing.client import Api, Tell
from tac_rl.office.overlay import DriveOverlay, ShareOverlay

ROOT = "/remote.php/webdav"
_SHARES = "/ocs/v1.php/apps/files_sharing/api/v1/shares"
_DAV = "{DAV:}"
_LINK = 3
"""The kind of share that is a public link."""


async def import_drive(
    url: str, tell: Tell, *, username: str = AGENT_DRIVE, password: str = PASSWORD, most_bytes: int = 20 << 20
) -> DriveOverlay:
    """What the account sees; larger files than `most_bytes` are left out, and told."""
    account = base64.b64encode(f"{username}:{password}".encode()).decode()
    async with Api("the drive", url, {"Authorization": f"Basic {account}"}) as api:
        files: dict[str, str | bytes] = {}
        folders: list[str] = []
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            members = await _members(api, folder)
            if folder and not members:
                folders.append(folder)
            for path, size in members:
                if size is None:
                    waiting.append(path)
                elif size > most_bytes:
                    tell(f"drive: {path} has {size / 1e6:.0f} MB and is left out (--most-mb)")
                else:
                    files[path] = _content((await api.send("GET", f"{ROOT}/{quote(path)}"))[2])
        shares = await _shares(api)
        return DriveOverlay.model_validate(
            {"files": dict(sorted(files.items())), "folders": sorted(folders), "shares": shares}
        )


async def _members(api: Api, folder: str) -> list[tuple[str, int | None]]:
    """(path, size in bytes) of what a folder holds; None for a folder in it."""
    path = f"{ROOT}/{quote(folder)}".rstrip("/") + "/"
    _, _, content = await api.send("PROPFIND", path, headers={"Depth": "1"})
    try:
        tree = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        raise OfficeError(f"the drive: {api.url}{path} answered something other than WebDAV") from None
    members: list[tuple[str, int | None]] = []
    for response in tree.iter(f"{_DAV}response"):
        href = unquote(response.findtext(f"{_DAV}href", "")).partition(ROOT)[2].strip("/")
        if not href or href == folder.strip("/") or ".." in href.split("/"):
            continue
        is_folder = response.find(f".//{_DAV}resourcetype/{_DAV}collection") is not None
        size = response.findtext(f".//{_DAV}getcontentlength") or "0"
        members.append((href, None if is_folder else int(size)))
    return members


def _content(content: bytes) -> str | bytes:
    """Text where it is text, so that a person can read the YAML file."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    readable = all(c.isprintable() or c in "\n\t" for c in text)
    return text if readable and not text.startswith("base64:") else content


async def _shares(api: Api) -> list[ShareOverlay]:
    document = await api.json(_SHARES, query={"format": "json"})
    found = document.get("ocs", {}).get("data") or []
    links = [s for s in found if s.get("share_type") == _LINK and s.get("path") and s.get("token")]
    return sorted(
        (ShareOverlay(path=share["path"].strip("/"), token=share["token"]) for share in links),
        key=lambda share: (share.path, share.token or ""),
    )
