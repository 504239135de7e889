"""Real sandboxes for tests: start one, use it, stop it."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tac_rl.sandboxes.base import SandboxLimits, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider, BubblewrapSandbox

T = TypeVar("T")


def in_sandbox(
    work: Callable[[BubblewrapSandbox], Awaitable[T]], *, spec: SandboxSpec | None = None, **limits: float
) -> T:
    """What `work` returns for a fresh sandbox with these limits."""

    async def run() -> T:
        provider = BubblewrapProvider()
        try:
            sandbox = await provider.start(spec or SandboxSpec("test", SandboxLimits(**limits)))  # type: ignore[arg-type]
            assert isinstance(sandbox, BubblewrapSandbox)
            return await work(sandbox)
        finally:
            await provider.close()

    return asyncio.run(run())


def outputs(*commands: str, **limits: float) -> list[str]:
    """The output of each of these commands, run in one sandbox one after the other."""

    async def work(sandbox: BubblewrapSandbox) -> list[str]:
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
