"""The office: how fast a company is ready, what many idle ones cost, and whether the same seed gives the same bytes.

Prints one JSON line per measured thing. Requests per second are measured by `bench/office_api.py`.

    python bench/office.py [--tenants 64] [--snapshot company]
"""

import argparse
import asyncio
import hashlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from tac_rl.config.office import OfficeSection
from tac_rl.office.build import build_office
from tac_rl.office.process import EmbeddedOffice, _Process
from tac_rl.office.snapshots import Snapshots
from tac_rl.office.tenants import Origin, TenantStore
from tac_rl.sandboxes.base import SandboxLimits
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks.company import connect, make_spec
from tac_rl.tasks.layout import lay_out
from tac_rl.tasks.packages import load_packages, split_seed

TASKS = Path(__file__).parents[1] / "tasks"
ROUNDS = 100


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(statistics.median(ordered) * 1000, 2),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] * 1000, 2),
        "max_ms": round(ordered[-1] * 1000, 2),
    }


def tell(name: str, **fields: object) -> None:
    print(json.dumps({"bench": "office", "name": name, **fields}), flush=True)


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def disk_bytes(folder: Path) -> int:
    """What a folder takes for itself: files that others share are not counted."""
    return sum(p.lstat().st_blocks * 512 for p in folder.rglob("*") if p.is_dir() or p.lstat().st_nlink == 1)


def fingerprint(folder: Path) -> str:
    """A hash of every file's name and content, but for where a repository finds the snapshot's objects."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


async def leases(office: EmbeddedOffice, snapshot: str) -> None:
    times = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        lease = await office.lease(f"bench-{number}", snapshot)
        times.append(time.perf_counter() - started)
        await lease.close()
    tell("tenant ready", snapshot=snapshot, rounds=ROUNDS, **percentiles(times))


async def workplaces(office: EmbeddedOffice) -> None:
    """Sandbox, tenant and the instance's files, for every shipped package that works in the office."""
    provider = BubblewrapProvider()
    packages = [package for package in load_packages(TASKS) if package.services]
    times = []
    try:
        for number in range(ROUNDS):
            package = packages[number % len(packages)]
            instance = package.instantiate(split_seed("check", number))
            assert instance.company is not None
            started = time.perf_counter()
            lease = await office.lease("bench", instance.company.snapshot, instance.company.overlays)
            sandbox = await provider.start(make_spec(f"bench-{number}", SandboxLimits(), office))
            await connect(lease, sandbox)
            await lay_out(instance, sandbox)
            times.append(time.perf_counter() - started)
            await sandbox.stop()
            await lease.close()
    finally:
        await provider.close()
    tell("workplace ready", packages=len(packages), rounds=ROUNDS, **percentiles(times))


async def idle(office: EmbeddedOffice, snapshot: str, count: int) -> None:
    (process,) = office._processes
    assert isinstance(process, _Process)
    before = memory_bytes(process._popen.pid)
    held = [await office.lease(f"idle-{number}", snapshot) for number in range(count)]
    after = memory_bytes(process._popen.pid)
    folders = [folder for folder in process._folder.iterdir() if folder.name.startswith("idle-")]
    tell(
        "idle tenants",
        snapshot=snapshot,
        tenants=count,
        memory_mb_each=round((after - before) / count / 2**20, 3),
        disk_mb_each=round(statistics.mean(map(disk_bytes, folders)) / 2**20, 3),
        office_memory_mb=round(after / 2**20, 1),
    )
    for lease in held:
        await lease.close()


def same_bytes(snapshot: str) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        prints = set()
        for folder in (first, second):
            store = TenantStore(Path(folder))
            prints.add(fingerprint(store.make("office", Origin(snapshot, (), 7)).folder))
            store.close()
    tell("same seed, same bytes", snapshot=snapshot, equal=len(prints) == 1)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tenants", type=int, default=64)
    parser.add_argument("--snapshot", default="company")
    args = parser.parse_args()
    started = time.perf_counter()
    folder = Snapshots().find(args.snapshot)
    tell(
        "snapshot",
        snapshot=args.snapshot,
        made_in_s=round(time.perf_counter() - started, 2),
        database_mb=round((folder / "office.db").stat().st_size / 2**20, 2),
        files=sum(p.is_file() for p in folder.rglob("*")),
    )
    office = build_office(OfficeSection(most_processes=1))
    assert isinstance(office, EmbeddedOffice)
    started = time.perf_counter()
    await office.start()
    tell("office started", seconds=round(time.perf_counter() - started, 2), pid=os.getpid())
    try:
        await leases(office, args.snapshot)
        await idle(office, args.snapshot, args.tenants)
        await workplaces(office)
    finally:
        await office.stop()
    same_bytes(args.snapshot)


if __name__ == "__main__":
    asyncio.run(main())
