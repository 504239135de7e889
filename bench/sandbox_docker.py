"""Speed of Docker sandboxes: ready from nothing and from the warm pool, one command, 16 at once, and stopping.

Prints one JSON line per measured thing, times in milliseconds.
"""

import asyncio
import json
import math
import os
import time

from sandbox import PYTHON, rollout, tell, timed

from tac_rl.config.sandbox import DockerSection
from tac_rl.errors import SandboxError
from tac_rl.sandboxes.base import Sandbox, SandboxSpec
from tac_rl.sandboxes.docker.provider import DockerProvider

STARTS, LEASES, EXECS, PROGRAMS, AT_ONCE = 40, 40, 2000, 200, 16


async def ready(provider: DockerProvider, name: str) -> Sandbox:
    """Start, and run one command."""
    sandbox = await provider.start(SandboxSpec(name))
    result = await sandbox.exec("true")
    assert result.exit_code == 0, result
    return sandbox


async def starts(provider: DockerProvider, name: str, count: int) -> tuple[list[float], list[float]]:
    """Times until ready, and times of stopping, one sandbox after the other."""
    begins, ends = [], []
    for number in range(count):
        await provider.warm()
        begun = time.perf_counter()
        sandbox = await ready(provider, f"{name}-{number}")
        begins.append(1000 * (time.perf_counter() - begun))
        ends.append(await timed(sandbox.stop()))
    return begins, ends


async def at_once(provider: DockerProvider, name: str) -> None:
    begun = time.perf_counter()
    rollouts = [timed(rollout(provider, f"{name}-{number}")) for number in range(AT_ONCE)]
    finished = await asyncio.gather(*rollouts, return_exceptions=True)
    errors = [repr(result) for result in finished if isinstance(result, BaseException)]
    times = [result for result in finished if not isinstance(result, BaseException)]
    seconds = round(time.perf_counter() - begun, 2)
    tell(f"docker_rollout_{AT_ONCE}_at_once_{name}", times or [math.nan], errors=errors, seconds=seconds)


async def cold() -> None:
    provider = DockerProvider(DockerSection(pool=0))
    try:
        tell("docker_first_start", [await timed(ready(provider, "first"))])
        begins, ends = await starts(provider, "cold", STARTS)
        tell("docker_ready_cold", begins, target_p50=300)
        tell("docker_stop", ends)
        sandbox = await ready(provider, "exec")
        tell(
            "docker_exec_builtin",
            [await timed(sandbox.exec("echo hello")) for _ in range(EXECS)],
            target_p50=1,
        )
        tell("docker_exec_program", [await timed(sandbox.exec("/bin/true")) for _ in range(PROGRAMS)])
        tell("docker_exec_python", [await timed(sandbox.exec(PYTHON)) for _ in range(PROGRAMS // 4)])
        await sandbox.stop()
        await at_once(provider, "cold")
    finally:
        await provider.close()


async def warm() -> None:
    provider = DockerProvider(DockerSection(pool=4))
    try:
        await (await ready(provider, "first")).stop()
        begins, _ = await starts(provider, "warm", LEASES)
        tell("docker_ready_from_pool", begins, target_p50=40)
        await provider.warm()
        await at_once(provider, "pool")
    finally:
        await provider.close()


async def main() -> None:
    load = [round(value, 1) for value in os.getloadavg()]
    print(json.dumps({"name": "docker_machine", "load": load, "cpus": os.cpu_count()}), flush=True)
    await cold()
    await warm()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except SandboxError as error:
        raise SystemExit(f"bench/sandbox_docker.py: {error}") from None
