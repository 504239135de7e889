"""What of TAC runs here: every package of a checkout is loaded, initialised and graded, and its needs are listed.

Initialising and grading are measured: an attempt that does nothing, in a company of its own. "Graded" says
that the evaluator came to its end and gave a result, not that the task can be solved here.
"""

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError, TacRlError
from tac_rl.office.base import PORTS, ServiceName
from tac_rl.office.build import build_office
from tac_rl.office.colleagues.scenarios import read_scenarios
from tac_rl.office.process import Lease, Office
from tac_rl.sandboxes.base import SandboxLimits, SandboxProvider
from tac_rl.sandboxes.select import make_provider
from tac_rl.tac.folder import SERVICES, TacFolder, is_tac_folder, read_folder
from tac_rl.tac.image import PackageImage
from tac_rl.tac.packages import TacPackage, make_tools, obstacles
from tac_rl.tac.references import Reference, is_there, other_needs, references
from tac_rl.tac.rooms import Tools
from tac_rl.tasks.base import Grade
from tac_rl.tasks.company import connect, lease_company, make_spec
from tac_rl.tasks.packages import find_folders

_LIMITS = SandboxLimits(memory_mb=1024, disk_mb=256, exec_seconds=120.0)
_THEIRS = {ServiceName(ours): theirs for theirs, ours in SERVICES.items()}
_LONGEST = 120
_EXCEPTION = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Failed|Exit)\b")
_LISTED = 4
_ASK_SECONDS = 30.0


@dataclass(frozen=True)
class Row:
    """What is known of one package."""

    name: str
    dependencies: tuple[str, ...] = ()
    loads: str = "yes"
    """`yes`, or why not."""
    initialises: str = ""
    """`yes`, why not, or empty where it wasn't tried."""
    graded: str = ""
    """What doing nothing earned (`0/4`), why there was no grade, or empty where it wasn't tried."""
    needs: tuple[str, ...] = ()


async def survey(
    checkout: Path,
    patterns: Sequence[str],
    config: RunConfig,
    *,
    jobs: int,
    tell: Callable[[str], None],
) -> tuple[Row, ...]:
    """One row for each package of the checkout that fits a pattern (none: all), by name."""
    tasks = checkout / "workspaces" / "tasks"
    if not tasks.is_dir():
        raise ConfigError(f"{checkout}: holds no workspaces/tasks; name a checkout of TheAgentCompany")
    tools = make_tools(config)
    folders = find_folders(tasks, patterns, is_tac_folder)
    provider = make_provider(config.sandbox)
    provider.check()
    office = build_office(config.office, runtime_dir=config.sandbox.runtime_dir)
    gate = asyncio.Semaphore(jobs)
    try:
        await office.start()
        async with _looking(office, tools.snapshot) as look:
            surveyor = _Surveyor(tools, provider, office, look)

            async def one(folder: Path) -> Row:
                async with gate:
                    row = await surveyor.row(folder)
                    tell(f"{row.name}: {row.loads} / {row.initialises or '-'} / {row.graded or '-'}")
                    return row

            return tuple(await asyncio.gather(*map(one, folders)))
    finally:
        await provider.close()
        await office.stop()


class _Look:
    """Asks a company whether things are there; each thing once."""

    def __init__(self, addresses: dict[ServiceName, str], client: aiohttp.ClientSession) -> None:
        self._addresses = addresses
        self._client = client
        self._known: dict[Reference, bool] = {}

    async def missing(self, wanted: Sequence[Reference]) -> list[Reference]:
        for reference in wanted:
            if reference not in self._known:
                address = self._addresses[reference.service]
                self._known[reference] = await is_there(reference, address, self._client)
        return [reference for reference in wanted if not self._known[reference]]


@asynccontextmanager
async def _looking(office: Office, snapshot: str) -> AsyncIterator[_Look]:
    """A company of the snapshot, reached over this machine's loopback."""
    lease = await office.lease("table-look", snapshot)
    listeners = {port: socket.create_server(("127.0.0.1", 0)) for port in PORTS.values()}
    try:
        await lease.serve(listeners)
        addresses = {
            name: f"http://127.0.0.1:{listeners[port].getsockname()[1]}" for name, port in PORTS.items()
        }
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ASK_SECONDS)) as client:
            yield _Look(addresses, client)
    finally:
        for listener in listeners.values():
            listener.close()
        await asyncio.shield(lease.close())


@dataclass(frozen=True)
class _Surveyor:
    tools: Tools
    provider: SandboxProvider
    office: Office
    look: _Look

    async def row(self, folder: Path) -> Row:
        try:
            content = read_folder(folder)
            actors = _wants_actors(content)
        except TacRlError as error:
            return Row(folder.name, loads=_short(error))
        image, blocked = await self._image(content)
        needs = [*blocked, *(["LLM judge"] if content.asks_judge else [])]
        needs += ["LLM colleagues"] if actors else []
        needs += await self._data(content)
        needs += other_needs(content)
        known = Row(content.name, content.dependencies, needs=tuple(needs))
        if blocked:
            return known
        return await self._tried(TacPackage(content, self.tools, image), known)

    async def _image(self, content: TacFolder) -> tuple[PackageImage | None, tuple[str, ...]]:
        """Its image where sandboxes are containers, and what keeps it from running here."""
        if self.tools.environment is not None:
            return None, obstacles(content, self.tools.environment)
        if self.tools.containers is None:
            return None, ()
        from tac_rl.tac.container import short_failure  # Docker's SDK takes 0.2 s to import.

        try:
            return await asyncio.to_thread(self.tools.containers.image_of, content), ()
        except TacRlError as error:
            return None, (f"an image, which can't be built here: {short_failure(error)}",)

    async def _data(self, content: TacFolder) -> list[str]:
        """Things named in the services that the company here lacks."""
        lacking: dict[ServiceName, list[str]] = {}
        for reference in await self.look.missing(references(content)):
            lacking.setdefault(reference.service, []).append(reference.name)
        return [
            f"TAC's {_THEIRS[service]} data ({_listed(service, names)})" for service, names in lacking.items()
        ]

    async def _tried(self, package: TacPackage, row: Row) -> Row:
        """An attempt that does nothing."""
        try:
            instance = package.instantiate(0)
            lease = await lease_company(instance, self.office, f"table-{row.name}")
        except TacRlError as error:
            return replace(row, initialises=_short(error))
        company = (self.office, lease)
        try:
            try:
                left_behind = await self._initialised(package, company)
            except TacRlError as error:
                return replace(row, initialises=_short(error))
            if lease is not None:
                await lease.shut()
            try:
                grade = await package.grade(instance, left_behind, "", self.provider, company)
            except TacRlError as error:
                return replace(row, initialises="yes", graded=_short(error))
            return replace(row, initialises="yes", graded=_points(grade))
        finally:
            if lease is not None:
                await lease.close()

    async def _initialised(self, package: TacPackage, company: tuple[Office, Lease | None]) -> bytes:
        instance = package.instantiate(0)
        office, lease = company
        sandbox = await self.provider.start(
            make_spec(f"table-{secrets.token_hex(4)}", _LIMITS, office if lease else None, instance)
        )
        try:
            await connect(lease, sandbox)
            await package.lay_out(instance, sandbox, self.provider, company)
            await sandbox.freeze()
            return await sandbox.export(max_bytes=2 * _LIMITS.disk_mb << 20)
        finally:
            await asyncio.shield(sandbox.stop())


def _wants_actors(content: TacFolder) -> bool:
    """Whether a colleague's scenario is stage directions alone, of which rules can say nothing."""
    if content.scenarios is None:
        return False
    return any(not who.statements for who in read_scenarios(content.scenarios).values())


def _points(grade: Grade) -> str:
    return f"{grade.final_result}/{grade.final_total}"


def _listed(service: ServiceName, names: Sequence[str]) -> str:
    """Projects of the forge by name; of the others only how many things, since their names are long."""
    if service is not ServiceName.FORGE:
        return str(len(names))
    shown = ", ".join(names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


def _short(error: TacRlError) -> str:
    """What failed, and by which exception: without what a package's own code said, which is TAC's text."""
    text = " ".join(str(error).split())
    if "the LLM judge failed" in text:
        return "no: it asks the LLM judge at once"
    ours = re.split(r"; it printed|\(exit code|, so its company|: '", text)[0].partition(": ")[2] or text
    raised = [name for name in _EXCEPTION.findall(text) if name != type(error).__name__]
    return f"no: {ours.strip()[:_LONGEST]}" + (f" ({raised[-1]})" if raised else "")
