"""Speed of tasks: making an instance, grading one ending in a fresh sandbox, and the gate over every package.

Prints one JSON line per measured thing, times in milliseconds (the gate: seconds).

    python bench/tasks.py [--gate]
"""

import asyncio
import json
import resource
import statistics
import sys
import time
from pathlib import Path

from tac_rl.sandboxes.base import SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks.demonstrations import Slips, demonstrate
from tac_rl.tasks.gate import check_packages
from tac_rl.tasks.grading import grade
from tac_rl.tasks.layout import lay_out
from tac_rl.tasks.packages import TaskPackage, find_folders, load_packages, split_seed

TASKS = Path(__file__).parents[1] / "tasks"
GRADINGS = 20


def children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def instances(packages: tuple[TaskPackage, ...]) -> None:
    for package in packages:
        started = time.perf_counter()
        for index in range(200):
            package.instantiate(split_seed("check", index))
        each = (time.perf_counter() - started) / 200 * 1000
        print(json.dumps({"name": "instance", "package": package.name, "ms": round(each, 3)}), flush=True)


async def gradings(package: TaskPackage, provider: BubblewrapProvider) -> None:
    instance = package.instantiate(split_seed("check", 0))
    sandbox = await provider.start(SandboxSpec(name=f"bench-{package.name}"))
    await lay_out(instance, sandbox)
    started = time.perf_counter()
    await demonstrate(package, instance, sandbox, Slips())
    oracle = (time.perf_counter() - started) * 1000
    workspace = await sandbox.export(max_bytes=64 << 20)
    await sandbox.stop()
    times, cpu = [], children_cpu_seconds()
    for _ in range(GRADINGS):
        started = time.perf_counter()
        assert (await grade(instance, package, workspace, "", provider)).complete
        times.append((time.perf_counter() - started) * 1000)
    line = {
        "name": "grade",
        "package": package.name,
        "p50": round(statistics.median(times), 1),
        "max": round(max(times), 1),
        "cpu_ms": round((children_cpu_seconds() - cpu) / GRADINGS * 1000, 1),
        "oracle_ms": round(oracle, 1),
        "n": GRADINGS,
    }
    print(json.dumps(line), flush=True)


async def gate(provider: BubblewrapProvider) -> None:
    started, cpu = time.perf_counter(), children_cpu_seconds()
    verdicts = [verdict async for verdict in check_packages(find_folders(TASKS), provider)]
    line = {
        "name": "gate",
        "packages": len(verdicts),
        "passed": sum(verdict.passed for verdict in verdicts),
        "seconds": round(time.perf_counter() - started, 1),
        "children_cpu_seconds": round(children_cpu_seconds() - cpu, 1),
    }
    print(json.dumps(line), flush=True)


async def run() -> None:
    provider = BubblewrapProvider()
    try:
        if "--gate" in sys.argv[1:]:
            await gate(provider)
            return
        packages = load_packages(TASKS)
        instances(packages)
        for package in packages:
            await gradings(package, provider)
    finally:
        await provider.close()


def main() -> None:
    asyncio.run(run())


if __name__ == "__main__":
    main()
