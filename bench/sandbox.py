"""Speed of the sandboxes: start to first answered command, one command, 32 at once, and cleaning up.

Prints one JSON line per measured thing, times in milliseconds.
"""

import asyncio
import json
import math
import time
from collections.abc import Awaitable

from tac_rl.sandboxes.base import Sandbox, SandboxProvider, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider

STARTS, EXECS, PROGRAMS, AT_ONCE, RESETS = 60, 2000, 400, 32, 100
FILES = {f"data/f{number}.csv": b"name,amount\n" * 200 for number in range(20)}
PYTHON = "python3 -c 'print(1)'"


def tell(name: str, milliseconds: list[float], **more: object) -> None:
    ordered = sorted(milliseconds)

    def at(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1], 3)

    print(json.dumps({"name": name, "p50": at(0.5), "p99": at(0.99), "n": len(ordered), **more}), flush=True)


async def timed(work: Awaitable[object]) -> float:
    start = time.perf_counter()
    await work
    return 1000 * (time.perf_counter() - start)


async def ready(provider: SandboxProvider, name: str) -> Sandbox:
    """Start, and run one command."""
    sandbox = await provider.start(SandboxSpec(name))
    result = await sandbox.exec("true")
    assert result.exit_code == 0, result
    return sandbox


async def rollout(provider: SandboxProvider, name: str) -> None:
    """What one rollout asks of its sandbox."""
    sandbox = await ready(provider, name)
    await sandbox.put(FILES)
    for turn in range(10):
        result = await sandbox.exec(
            f"cd /workspace/data; wc -l f{turn}.csv; cut -d, -f2 f{turn}.csv | sort | uniq -c"
        )
        assert result.exit_code == 0, result
    await sandbox.freeze()
    assert len(await sandbox.export(max_bytes=1 << 22)) > 40_000
    await sandbox.stop()


async def main() -> None:
    provider = BubblewrapProvider()
    try:
        tell("first_start", [await timed(ready(provider, "first"))])
        starts, stops = [], []
        for number in range(STARTS):
            begun = time.perf_counter()
            sandbox = await ready(provider, f"s{number}")
            starts.append(1000 * (time.perf_counter() - begun))
            stops.append(await timed(sandbox.stop()))
        tell("ready", starts, target_p50=50)
        tell("stop", stops)
        sandbox = await ready(provider, "exec")
        tell("exec_builtin", [await timed(sandbox.exec("echo hello")) for _ in range(EXECS)], target_p50=1)
        tell("exec_program", [await timed(sandbox.exec("/bin/true")) for _ in range(PROGRAMS)], target_p50=5)
        tell("exec_python", [await timed(sandbox.exec(PYTHON)) for _ in range(PROGRAMS // 4)])
        tell("put_20_files", [await timed(sandbox.put(FILES)) for _ in range(RESETS)])
        tell("export_20_files", [await timed(sandbox.export(max_bytes=1 << 22)) for _ in range(RESETS)])
        tell("reset", [await timed(sandbox.reset()) for _ in range(RESETS)])
        await sandbox.stop()
        begun = time.perf_counter()
        rollouts = [timed(rollout(provider, f"r{number}")) for number in range(AT_ONCE)]
        finished = await asyncio.gather(*rollouts, return_exceptions=True)
        errors = [repr(result) for result in finished if isinstance(result, BaseException)]
        times = [result for result in finished if not isinstance(result, BaseException)]
        seconds = round(time.perf_counter() - begun, 2)
        tell(f"rollout_{AT_ONCE}_at_once", times or [math.nan], errors=errors, seconds=seconds)
    finally:
        await provider.close()


if __name__ == "__main__":
    asyncio.run(main())
