"""The office as a process: companies leased to sandboxes, kept apart, taken back, and gone when it dies."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tac_rl.config.office import OfficeSection
from tac_rl.errors import OfficeError, OverlayError
from tac_rl.office import process
from tac_rl.office.base import PORTS
from tac_rl.office.build import build_office
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.process import EmbeddedOffice
from tac_rl.sandboxes.base import SandboxLimits
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks.company import connect, make_spec
from tests.office_helpers import only_process_of

OVERLAY = parse_overlay(
    {
        "chat": {
            "channels": [
                {"name": "launch", "members": "everyone", "messages": [{"from": "alex_turner", "text": "hi"}]}
            ]
        }
    },
    "the test",
)


def with_office(work: Callable[[EmbeddedOffice], Awaitable[None]], section: OfficeSection | None = None) -> None:
    async def run() -> None:
        office = build_office(section or OfficeSection())
        assert isinstance(office, EmbeddedOffice)
        try:
            await work(office)
        finally:
            folders = [office.commands]
            await office.stop()
            assert not any(folder.exists() for folder in folders)

    asyncio.run(run())


def test_a_sandbox_reaches_its_company_at_tacs_addresses_and_nothing_else() -> None:
    async def work(office: EmbeddedOffice) -> None:
        provider = BubblewrapProvider()
        lease = await office.lease("a", "bare", [OVERLAY])
        sandbox = await provider.start(make_spec("a", SandboxLimits(), office))
        try:
            await connect(lease, sandbox)
            read = await sandbox.exec("chat read launch")
            assert "hi" in read.output and read.exit_code == 0, read.output
            for service, port in PORTS.items():
                code = f"import socket; socket.create_connection(('the-agent-company.com', {port}), 5)"
                assert (await sandbox.exec(f'python3 -c "{code}"')).exit_code == 0, service
            outside = await sandbox.exec(
                "python3 -c \"import socket; socket.create_connection(('1.1.1.1', 53), 2)\""
            )
            assert "unreachable" in outside.output.lower()
            await lease.shut()
            assert (await sandbox.exec("chat read launch")).exit_code != 0
        finally:
            await sandbox.stop()
            await lease.close()
            await provider.close()

    with_office(work)


def test_two_companies_made_of_the_same_are_apart() -> None:
    async def work(office: EmbeddedOffice) -> None:
        provider = BubblewrapProvider()
        leases = [await office.lease(name, "bare", [OVERLAY]) for name in "ab"]
        sandboxes = [await provider.start(make_spec(name, SandboxLimits(), office)) for name in "ab"]
        try:
            for lease, sandbox in zip(leases, sandboxes, strict=True):
                await connect(lease, sandbox)
            assert (await sandboxes[0].exec("chat send launch only here")).exit_code == 0
            assert "only here" in (await sandboxes[0].exec("chat read launch")).output
            assert "only here" not in (await sandboxes[1].exec("chat read launch")).output
            changed, same = [(await lease.changes())["summary"] for lease in leases]
            assert any("only here" in sentence for sentence in changed) and not same
        finally:
            for sandbox in sandboxes:
                await sandbox.stop()
            for lease in leases:
                await lease.close()
            await provider.close()

    with_office(work)


def test_the_death_of_the_office_is_an_error_of_ours_and_the_next_lease_starts_another() -> None:
    async def work(office: EmbeddedOffice) -> None:
        lease = await office.lease("a", "bare")
        os.kill(only_process_of(office), signal.SIGKILL)
        with pytest.raises(OfficeError):
            await lease.changes()
        await lease.close()
        again = await office.lease("a", "bare")
        assert (await again.changes())["summary"] == []
        await again.close()

    with_office(work)


def test_many_tenants_are_dealt_out_to_processes_and_one_death_ends_only_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "TENANTS_A_PROCESS", 2)

    async def work(office: EmbeddedOffice) -> None:
        leases = [await office.lease(f"many-{number}", "bare") for number in range(6)]
        first, second = office._processes
        assert (first.tenants, second.tenants) == (3, 3)
        assert isinstance(first, process._Process)
        os.kill(first._popen.pid, signal.SIGKILL)
        ended = await asyncio.gather(*(lease.changes() for lease in leases), return_exceptions=True)
        assert sorted(isinstance(each, OfficeError) for each in ended) == [False] * 3 + [True] * 3
        for lease in leases:
            await lease.close()
        again = await office.lease("again", "bare")
        assert [each.tenants for each in office._processes] == [1]
        await again.close()

    with_office(work, OfficeSection(most_processes=2))


def test_an_overlay_that_names_nobody_we_know_is_told_by_name() -> None:
    wrong = parse_overlay(
        {"chat": {"channels": [{"name": "launch", "members": ["no_such_person"]}]}}, "the test"
    )

    async def work(office: EmbeddedOffice) -> None:
        with pytest.raises(OverlayError, match="no_such_person"):
            await office.lease("a", "bare", [wrong])
        lease = await office.lease("a", "bare")
        await lease.close()

    with_office(work)


def test_an_unknown_snapshot_is_told_with_those_that_there_are() -> None:
    async def work(office: EmbeddedOffice) -> None:
        with pytest.raises(OfficeError, match="bare, company"):
            await office.lease("a", "no-such-snapshot")

    with_office(work)


def test_a_company_can_be_kept_and_cloned_again(tmp_path: Path) -> None:
    async def run() -> None:
        office = build_office(OfficeSection(snapshots=tmp_path))
        try:
            lease = await office.lease("a", "bare", [OVERLAY])
            name = await lease.save("after-launch")  # type: ignore[attr-defined]
            assert name == "after-launch@1"
            assert await lease.save("after-launch") == "after-launch@2"  # type: ignore[attr-defined]
            copy = await office.lease("b", "after-launch")
            assert (await copy.changes())["summary"] == []
        finally:
            await office.stop()

    asyncio.run(run())


def test_listeners_of_a_dead_office_refuse() -> None:
    async def work(office: EmbeddedOffice) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        lease = await office.lease("a", "bare")
        await lease.serve({PORTS["chat"]: listener})  # type: ignore[index]
        listener.close()
        socket.create_connection(address, 5).close()
        await lease.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)

    with_office(work)
