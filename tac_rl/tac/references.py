"""What a TAC package takes for granted: things in the company's services, the internet, the attempt's own machine.

Found in the package's texts by patterns, so these are signs and no proof; whether a thing in the services
is there is then asked of the services.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

import aiohttp

from tac_rl.office.base import (
    AGENT_DRIVE,
    FORGE_TOKEN,
    HOST,
    PASSWORD,
    PORTS,
    TRACKER_KEY,
    TRACKER_WORKSPACE,
    ServiceName,
)
from tac_rl.tac.folder import TacFolder

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FORGE = (
    re.compile(rf"{PORTS[ServiceName.FORGE]}/root/([\w.-]*\w)"),
    re.compile(r"get_gitlab_project_id\(\s*['\"]([\w.-]+)['\"]"),
)
_TRACKER_ID = re.compile(rf"projects/({_UUID})")
_TRACKER_NAME = re.compile(r"get_plane_project_id\(\s*['\"]([^'\"]+)['\"]")
_DRIVE = (
    re.compile(r"[?&]dir=/?(Documents[^\s&\"'`)\]]*)"),
    re.compile(r"remote\.php/webdav/(Documents[^\s\"'`)\]]*)"),
    re.compile(r"['\"]/?(Documents/[^'\"\n{}]+)['\"]"),
)
_WEB = re.compile(r"https?://([\w.-]+\.[a-z]{2,})")
_INSTALLERS = re.compile(r"['\"](poetry|pip|uv|npm|mvn|go|cargo)['\"],\s*['\"](install|sync|build|test|mod)")
_MACHINE = re.compile(
    r"localhost|127\.0\.0\.1|shutil\.which|expanduser|['\"]/(?:root|home|app|data|opt|usr)/"
)


@dataclass(frozen=True)
class Reference:
    """Something that a package names in a service."""

    service: ServiceName
    name: str
    """A project of the forge (in `root`) or of the tracker (by name or UUID), a path in the drive."""


def references(package: TacFolder) -> tuple[Reference, ...]:
    """What its instruction, evaluator and scripts name in the services it declares, each once."""
    text = _texts(package)
    found = dict.fromkeys(reference for reference in _named(text) if reference.service in package.services)
    return tuple(found)


def _named(text: str) -> Iterator[Reference]:
    for pattern in _FORGE:
        for name in pattern.findall(text):
            yield Reference(ServiceName.FORGE, name.removesuffix(".git"))
    for name in (*_TRACKER_ID.findall(text), *_TRACKER_NAME.findall(text)):
        yield Reference(ServiceName.TRACKER, name)
    for pattern in _DRIVE:
        for path in pattern.findall(text):
            yield Reference(ServiceName.DRIVE, unquote(path.replace("+", " ")).strip("/"))


def other_needs(package: TacFolder) -> tuple[str, ...]:
    """Needs beside services: the internet, or what a grading elsewhere doesn't see."""
    needs = []
    evaluator = package.sources.get("evaluator.py", "")
    hosts = sorted({host for host in _WEB.findall(package.instruction) if host != HOST})
    tools = sorted({tool for tool, _ in _INSTALLERS.findall(evaluator)})
    if hosts or tools:
        needs.append(f"internet ({', '.join((*hosts, *tools))})")
    if _MACHINE.search(evaluator):
        needs.append("the attempt's own machine at grading (running or installed programs)")
    return tuple(needs)


async def is_there(reference: Reference, address: str, client: aiohttp.ClientSession) -> bool:
    """Ask the service at `address` (`http://host:port`)."""
    name = reference.name
    if reference.service is ServiceName.FORGE:
        url = f"{address}/api/v4/projects/{quote(f'root/{name}', safe='')}"
        return await _found(client, "GET", url, {"PRIVATE-TOKEN": FORGE_TOKEN})
    if reference.service is ServiceName.DRIVE:
        url = f"{address}/remote.php/webdav/{quote(name)}"
        login = aiohttp.BasicAuth(AGENT_DRIVE, PASSWORD).encode()
        return await _found(client, "PROPFIND", url, {"Authorization": login, "Depth": "0"})
    url = f"{address}/api/v1/workspaces/{TRACKER_WORKSPACE}/projects/"
    async with client.get(url, headers={"x-api-key": TRACKER_KEY}) as answer:
        projects = (await answer.json())["results"] if answer.status == 200 else []
    return any(name in (project["id"], project["name"]) for project in projects)


async def _found(client: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str]) -> bool:
    async with client.request(method, url, headers=headers) as answer:
        return answer.status in (200, 207)


def _texts(package: TacFolder) -> str:
    return "\n".join((package.instruction, *package.sources.values()))
