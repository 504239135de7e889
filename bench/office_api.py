"""The office under load: requests per second over many tenants at once, and how long requests take.

Every tenant has one client, which asks one thing after another over kept-alive connections: mostly reads,
some writes, in the proportions of `WEIGHTS`. The client is deliberately lean (bytes made beforehand, streams,
no HTTP library), because it shares the machine with what it measures.

    python bench/office_api.py [--tenants 64] [--seconds 10] [--snapshot company] [--only chat,tracker]
    python bench/office_api.py --url tracker=http://127.0.0.1:8091 --url chat=http://127.0.0.1:3000

Prints one JSON line. Without `--url` it starts an office of its own, in a process beside this one.
"""

import argparse
import asyncio
import json
import math
import os
import random
import resource
import socket
import time
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from tac_rl.config.office import OfficeSection
from tac_rl.office.base import (
    AGENT_CHAT,
    AGENT_DRIVE,
    FORGE_TOKEN,
    HOST,
    PASSWORD,
    PORTS,
    TRACKER_KEY,
    TRACKER_WORKSPACE,
    ServiceName,
)
from tac_rl.office.build import build_office

WEIGHTS = {
    ServiceName.CHAT: 35,
    ServiceName.FORGE: 25,
    ServiceName.TRACKER: 20,
    ServiceName.DRIVE: 15,
    ServiceName.CONTROL: 5,
}
WRITES = 0.15
"""Of the requests to a service that is written to."""
ANSWER_SECONDS = 30.0
Address = tuple[str, int]
Requests = list[bytes]


@dataclass
class Connection:
    """One kept-alive connection to a service; opened anew where the service closed it."""

    address: Address
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        async with asyncio.timeout(ANSWER_SECONDS):
            if self._writer is None or self._reader is None or self._reader.at_eof():
                self.close()
                self._reader, self._writer = await asyncio.open_connection(*self.address, limit=1 << 20)
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, lower = int(head[9:12]), head.lower()
            if b"transfer-encoding: chunked" in lower:
                return status, await self._chunks()
            at = lower.find(b"content-length:")
            length = 0 if at < 0 else int(lower[at + 15 : lower.index(b"\r\n", at)])
            return status, await self._reader.readexactly(length) if length else b""

    async def _chunks(self) -> bytes:
        assert self._reader is not None
        body = bytearray()
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")
        return bytes(body)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None


def make(method: str, path: str, headers: Mapping[str, str], body: Any = None) -> bytes:
    """A request as it goes over the wire; a body that is not bytes is JSON."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(data)}"]
    if data and not isinstance(body, bytes):
        lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


@dataclass
class Script:
    """What a client asks of one service."""

    reads: Requests = field(default_factory=list)
    writes: Requests = field(default_factory=list)

    def draw(self, chance: random.Random) -> bytes:
        return chance.choice(self.writes if self.writes and chance.random() < WRITES else self.reads)


# What there is to ask about, found out at the start


async def _json(connection: Connection, path: str, headers: Mapping[str, str]) -> Any:
    status, body = await connection.ask(make("GET", path, headers))
    if status != 200:
        raise RuntimeError(f"{path} answered {status}: {body[:300]!r}")
    return json.loads(body)


async def chat_script(connection: Connection) -> Script:
    login = {"user": AGENT_CHAT, "password": PASSWORD}
    _, body = await connection.ask(make("POST", "/api/v1/login", {}, login))
    data = json.loads(body)["data"]
    headers = {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}
    channels = (await _json(connection, "/api/v1/channels.list", headers))["channels"]
    users = (await _json(connection, "/api/v1/users.list", headers))["users"]
    script = Script()
    for path in ("channels.list", "users.list", "im.list", "me", "channels.list.joined"):
        script.reads.append(make("GET", f"/api/v1/{path}", headers))
    for channel in channels[:10]:
        room = channel["_id"]
        script.reads.append(make("GET", f"/api/v1/channels.history?roomId={room}&count=20", headers))
        script.reads.append(make("GET", f"/api/v1/channels.info?roomName={quote(channel['name'])}", headers))
        message = {"roomId": room, "text": "The build is green again."}
        script.writes.append(make("POST", "/api/v1/chat.postMessage", headers, message))
    for user in users[:5]:
        script.reads.append(make("GET", f"/api/v1/im.history?roomId={user['_id']}", headers))
    return script


async def forge_script(connection: Connection) -> Script:
    headers = {"PRIVATE-TOKEN": FORGE_TOKEN}
    projects = await _json(connection, "/api/v4/projects?per_page=100", headers)
    script = Script([make("GET", "/api/v4/projects", headers)])
    for project in projects[:6]:
        base = f"/api/v4/projects/{project['id']}"
        paths = ("", "/issues?state=opened", "/merge_requests", "/labels", "/members", "/repository/branches")
        script.reads += [make("GET", base + path, headers) for path in paths]
        issues = await _json(connection, f"{base}/issues?per_page=5", headers)
        for issue in issues[:2]:
            one = f"{base}/issues/{issue['iid']}"
            script.reads += [make("GET", one, headers), make("GET", f"{one}/notes", headers)]
            script.writes.append(make("POST", f"{one}/notes", headers, {"body": "I look at this today."}))
        script.writes.append(make("POST", f"{base}/issues", headers, {"title": "Found while testing"}))
    return script


async def tracker_script(connection: Connection) -> Script:
    headers = {"x-api-key": TRACKER_KEY}
    base = f"/api/v1/workspaces/{TRACKER_WORKSPACE}/projects/"
    projects = (await _json(connection, base, headers))["results"]
    script = Script([make("GET", base, headers)])
    for project in projects[:6]:
        at = f"{base}{project['id']}"
        script.reads += [make("GET", f"{at}/{name}/", headers) for name in ("issues", "states", "cycles")]
        for cycle in (await _json(connection, f"{at}/cycles/", headers))["results"][:2]:
            script.reads.append(make("GET", f"{at}/cycles/{cycle['id']}/cycle-issues/", headers))
        for issue in (await _json(connection, f"{at}/issues/?per_page=3", headers))["results"]:
            one = f"{at}/issues/{issue['id']}/"
            script.reads += [make("GET", one, headers), make("GET", f"{one}comments/", headers)]
            for priority in ("high", "low"):
                script.writes.append(make("PATCH", one, headers, {"priority": priority}))
            comment = {"comment_html": "<p>On it.</p>"}
            script.writes.append(make("POST", f"{one}comments/", headers, comment))
        script.writes.append(make("POST", f"{at}/issues/", headers, {"name": "Found while testing"}))
    return script


async def drive_script(connection: Connection) -> Script:
    basic = b64encode(f"{AGENT_DRIVE}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    root = "/remote.php/webdav/"
    script = Script([make("PROPFIND", root, {**headers, "Depth": "1"})])
    status, body = await connection.ask(make("PROPFIND", root, {**headers, "Depth": "1"}))
    if status != 207:
        raise RuntimeError(f"{root} answered {status}: {body[:300]!r}")
    names = [part.split("</", 1)[0] for part in body.decode().split("href>")[1::2]]
    for name in names[:12]:
        if name.endswith("/"):
            script.reads.append(make("PROPFIND", name, {**headers, "Depth": "1"}))
        else:
            script.reads.append(make("GET", name, headers))
    script.writes.append(make("PUT", f"{root}notes-of-the-test.txt", headers, b"a line\n" * 100))
    return script


async def control_script(connection: Connection) -> Script:
    names = ("rocketchat", "gitlab", "plane", "owncloud")
    return Script([make("GET", f"/api/healthcheck/{name}", {}) for name in names])


SCRIPTS: dict[ServiceName, Callable[[Connection], Any]] = {
    ServiceName.CHAT: chat_script,
    ServiceName.FORGE: forge_script,
    ServiceName.TRACKER: tracker_script,
    ServiceName.DRIVE: drive_script,
    ServiceName.CONTROL: control_script,
}


# Asking


@dataclass
class Measured:
    """Of all clients together."""

    seconds: dict[ServiceName, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)


async def work(
    number: int, addresses: Mapping[ServiceName, Address], until: asyncio.Event, all_: Measured
) -> None:
    """One client, until it is told to end."""
    connections = {service: Connection(address) for service, address in addresses.items()}
    chance = random.Random(number)
    scripts = {service: await SCRIPTS[service](connection) for service, connection in connections.items()}
    services = list(connections)
    weights = [WEIGHTS[service] for service in services]
    try:
        while not until.is_set():
            service = chance.choices(services, weights)[0]
            request = scripts[service].draw(chance)
            started = time.perf_counter()
            try:
                status, _ = await connections[service].ask(request)
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
                connections[service].close()
                all_.errors[f"{service.value}: {type(error).__name__}"] += 1
                continue
            all_.seconds[service].append(time.perf_counter() - started)
            if status >= 400:
                line = request.partition(b" HTTP")[0].decode(errors="replace")
                all_.errors[f"{service.value}: {status} to {line.partition('?')[0]}"] += 1
    finally:
        for connection in connections.values():
            connection.close()


async def measure(tenants: list[Mapping[ServiceName, Address]], seconds: float) -> dict[str, Any]:
    ended, found = asyncio.Event(), Measured()
    clients = [
        asyncio.create_task(work(number, addresses, ended, found)) for number, addresses in enumerate(tenants)
    ]
    # Logging in and looking around is not what is measured.
    await asyncio.sleep(min(2.0, seconds / 5))
    for times in found.seconds.values():
        times.clear()
    found.errors.clear()
    began, cpu = time.perf_counter(), os.times()
    await asyncio.wait(clients, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    took, spent = time.perf_counter() - began, os.times()
    ended.set()
    await asyncio.gather(*clients)
    counts = {service.value: len(times) for service, times in found.seconds.items()}
    return {
        "seconds": round(took, 2),
        "requests": sum(counts.values()),
        "requests_per_s": round(sum(counts.values()) / took, 1),
        "client_cpu_share": round((spent.user + spent.system - cpu.user - cpu.system) / took, 2),
        "services": {
            service.value: {"requests": len(times), "p50_ms": at(times, 0.5), "p99_ms": at(times, 0.99)}
            for service, times in sorted(found.seconds.items())
        },
        "errors": dict(found.errors.most_common(10)),
    }


def at(seconds: list[float], share: float) -> float | None:
    """Milliseconds."""
    ordered = sorted(seconds)
    return round(1000 * ordered[math.ceil(share * len(ordered)) - 1], 2) if ordered else None


# Tenants


@contextmanager
def doors(
    services: list[ServiceName],
) -> Iterator[tuple[dict[int, socket.socket], dict[ServiceName, Address]]]:
    """Listeners by TAC's port, and where they are."""
    listeners = {PORTS[service]: socket.create_server(("127.0.0.1", 0)) for service in services}
    addresses = {service: listeners[PORTS[service]].getsockname()[:2] for service in services}
    try:
        yield listeners, addresses
    finally:
        for listener in listeners.values():
            listener.close()


async def own_office(
    services: list[ServiceName], count: int, snapshot: str, seconds: float
) -> dict[str, Any]:
    """Measure an office that is started for this."""
    office = build_office(OfficeSection())
    await office.start()
    tenants = []
    try:
        for number in range(count):
            lease = await office.lease(f"load-{number}", snapshot, seed=number)
            with doors(services) as (listeners, addresses):
                await lease.serve(listeners)
            tenants.append(addresses)
        return await measure(list(tenants), seconds)
    finally:
        await office.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tenants", type=int, default=64, help="with --url: clients of that one office")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--snapshot", default="company")
    parser.add_argument("--only", default=",".join(WEIGHTS), help="services, with commas between")
    parser.add_argument("--url", action="append", default=[], metavar="SERVICE=URL")
    args = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    services = [ServiceName(name) for name in args.only.split(",")]
    if args.url:
        pairs = (item.partition("=") for item in args.url)
        urls = {ServiceName(name): urlsplit(url) for name, _, url in pairs}
        addresses = {name: (url.hostname or "", url.port or 80) for name, url in urls.items()}
        found = asyncio.run(measure([addresses] * args.tenants, args.seconds))
    else:
        found = asyncio.run(own_office(services, args.tenants, args.snapshot, args.seconds))
    print(json.dumps({"bench": "office_api", "tenants": args.tenants, "cpus": os.cpu_count(), **found}))


if __name__ == "__main__":
    main()
