"""Sandboxes that agents never enter: where a package's scripts and its evaluator run, as in TAC's image."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tac_rl.config.office import JudgeSection
from tac_rl.office.base import PORTS
from tac_rl.office.process import Lease
from tac_rl.sandboxes.base import Mount, Sandbox, SandboxLimits, SandboxProvider, SandboxSpec
from tac_rl.tac import judge
from tac_rl.tac.environment import TARGET, Environment
from tac_rl.tac.image import PackageImage

if TYPE_CHECKING:
    from tac_rl.tac.container import Containers  # Docker's SDK takes 0.2 s to import.

SECRET = "theagentcompany is all you need"
"""TAC's key for evaluators; it is public."""

_MEMORY_MB, _PROCESSES, _DISK_MB = 2048, 256, 256


@dataclass(frozen=True)
class Tools:
    """What running TAC's packages needs beside the packages."""

    environment: Environment | None
    """Of the evaluators; None where each package brings an image."""
    judge: JudgeSection | None
    snapshot: str
    seconds: float
    """That one script, or an evaluator, may take."""
    containers: "Containers | None" = None
    """Builds packages' images; None: they run without."""


@asynccontextmanager
async def room(
    purpose: str,
    files: Mapping[PurePosixPath, Path],
    tools: Tools,
    provider: SandboxProvider,
    lease: Lease | None,
    image: PackageImage | None = None,
    *,
    room_mb: int = 0,
) -> AsyncIterator[Sandbox]:
    """A sandbox that sees `files` read-only at these paths, the environment, the company and the judge.

    With an `image` it is a container of that, which holds all files and libraries itself.
    `room_mb`: disk that it gets beyond the usual.
    """
    mounts = tuple(Mount(str(source), str(path)) for path, source in files.items())
    if tools.environment is not None:
        mounts = (*tools.environment.mounts, *mounts)
    sandbox = await provider.start(
        SandboxSpec(
            name=f"{purpose}-{secrets.token_hex(6)}",
            limits=SandboxLimits(
                memory_mb=_MEMORY_MB,
                processes=_PROCESSES,
                disk_mb=_DISK_MB + room_mb,
                exec_seconds=tools.seconds,
            ),
            read_only_mounts=() if image else mounts,
            env=_variables(tools),
            path=() if image else (f"{TARGET}/bin",),
            image=image.room if image else None,
            ports=(*(PORTS.values() if lease else ()), *((judge.PORT,) if tools.judge else ())),
        )
    )
    try:
        if lease is not None:
            await lease.serve({port: sandbox.listeners[port] for port in PORTS.values()})
        if tools.judge is None:
            yield sandbox
        else:
            async with judge.answering(tools.judge, sandbox.listeners[judge.PORT]):
                yield sandbox
    finally:
        await asyncio.shield(sandbox.stop())


def _variables(tools: Tools) -> tuple[tuple[str, str], ...]:
    """The environment of TAC's base image, and what spares libraries from looking for a network."""
    variables = {
        "PYTHONPATH": "/utils",
        "DECRYPTION_KEY": SECRET,
        "BOT_URL": "http://the-agent-company.com:3000",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    if tools.judge is not None:
        variables |= judge.variables(tools.judge)
    return tuple(variables.items())
