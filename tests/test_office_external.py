"""`office.mode: external`, with an office of ours in the role of a running TAC stack."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tac_rl.config.office import ExternalSection, OfficeSection
from tac_rl.errors import OfficeError
from tac_rl.office.build import build_office
from tac_rl.office.overlay import parse_overlay
from tac_rl.sandboxes.base import SandboxLimits
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks.company import connect, make_spec


@contextmanager
def running_stack() -> Iterator[OfficeSection]:
    """A served company, as a person starts it, and the section that names its ports. (A tracker without a project
    is not healthy for TAC.)"""
    command = [sys.executable, "-m", "tac_rl.office", "serve", "--snapshot", "company", "--port-base", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ports = {}
            while len(ports) < 5:
                name, address, *_ = process.stdout.readline().split()
                ports[name] = int(address.rpartition(":")[2])
            yield OfficeSection(mode="external", external=ExternalSection(host="127.0.0.1", **ports))
        finally:
            process.terminate()


def test_a_stack_is_reset_between_attempts_and_reached_from_a_sandbox_without_network() -> None:
    async def attempt(section: OfficeSection) -> None:
        office, provider = build_office(section), BubblewrapProvider()
        try:
            await office.start()
            for _ in range(2):
                lease = await office.lease("a", "company")
                sandbox = await provider.start(make_spec("a", SandboxLimits(), office))
                await connect(lease, sandbox)
                before = await sandbox.exec("chat read general")
                assert before.exit_code == 0 and "only once" not in before.output
                await sandbox.exec("chat send general only once")
                assert "only once" in (await sandbox.exec("chat read general")).output
                await lease.shut()
                assert (await sandbox.exec("chat read general")).exit_code != 0
                await sandbox.stop()
                await lease.close()
        finally:
            await provider.close()
            await office.stop()

    with running_stack() as section:
        asyncio.run(attempt(section))


def test_a_stack_serves_one_attempt_at_a_time() -> None:
    async def two(section: OfficeSection) -> None:
        office = build_office(section)
        await office.start()
        first = await office.lease("a", "company")
        second = asyncio.create_task(office.lease("b", "company"))
        _, waiting = await asyncio.wait([second], timeout=0.5)
        assert waiting
        await first.close()
        await (await asyncio.wait_for(second, 30)).close()
        await office.stop()

    with running_stack() as section:
        asyncio.run(two(section))


def test_an_overlay_cant_be_laid_over_a_real_stack() -> None:
    overlay = parse_overlay({"drive": {"folders": ["x"]}}, "the test")

    async def lease(section: OfficeSection) -> None:
        office = build_office(section)
        await office.start()
        try:
            with pytest.raises(OfficeError, match="real stack can't take"):
                await office.lease("a", "company", [overlay])
        finally:
            await office.stop()

    with running_stack() as section:
        asyncio.run(lease(section))


def test_a_stack_that_is_not_there_is_told_with_its_address() -> None:
    async def start() -> None:
        office = build_office(OfficeSection(mode="external", external=ExternalSection(control=1)))
        try:
            with pytest.raises(OfficeError, match=r"localhost:1/.*office\.external"):
                await office.start()
        finally:
            await office.stop()

    asyncio.run(start())
