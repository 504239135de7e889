"""Real sandboxes for tests: start one, use it, stop it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from tac_rl.config.sandbox import DockerSection, SandboxSection
from tac_rl.sandboxes.base import Sandbox, SandboxLimits, SandboxProvider, SandboxSpec
from tac_rl.sandboxes.select import make_provider
from tests.docker_helpers import needs_docker

T = TypeVar("T")
_kind = "bubblewrap"


@pytest.fixture(params=("bubblewrap", "docker"))
def sandbox_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """What uses it runs in both kinds of sandbox, with the helpers below."""
    global _kind
    if request.param == "docker":
        needs_docker()
    _kind = request.param
    yield request.param
    _kind = "bubblewrap"


def provider_of_kind() -> SandboxProvider:
    """Of the kind that the running test is about."""
    return make_provider(SandboxSection(kind=_kind, docker=DockerSection(pool=0)))


def in_sandbox(
    work: Callable[[Sandbox], Awaitable[T]], *, spec: SandboxSpec | None = None, **limits: float
) -> T:
    """What `work` returns for a fresh sandbox with these limits."""

    async def run() -> T:
        provider = provider_of_kind()
        try:
            sandbox = await provider.start(spec or SandboxSpec("test", SandboxLimits(**limits)))  # type: ignore[arg-type]
            return await work(sandbox)
        finally:
            await provider.close()

    return asyncio.run(run())


def outputs(*commands: str, **limits: float) -> list[str]:
    """The output of each of these commands, run in one sandbox one after the other."""

    async def work(sandbox: Sandbox) -> list[str]:
        return [(await sandbox.exec(command)).output for command in commands]

    return in_sandbox(work, **limits)


def processes_mentioning(text: str) -> list[int]:
    """Host processes whose command line contains a text."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:  # noqa: PTH123
                    if text.encode() in file.read() and int(name) != os.getpid():
                        found.append(int(name))
            except OSError:
                continue
    return found
