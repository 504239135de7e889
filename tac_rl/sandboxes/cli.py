"""What `python -m tac_rl.sandboxes` and `tac-rl sandbox` do: prove the isolation, build images, clean up."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tac_rl.config.sandbox import DockerSection, SandboxSection
from tac_rl.errors import SandboxError, SandboxUnavailableError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import SandboxSpec
from tac_rl.sandboxes.select import make_provider
from tac_rl.sandboxes.sweep import Leftover, find_leftovers, remove_leftover

if TYPE_CHECKING:
    from tac_rl.sandboxes.docker.daemon import Daemon
    from tac_rl.sandboxes.docker.leftovers import DockerLeftover

EXIT_LEFT = 1
"""Something is left, because nobody said yes or because it can't be removed."""
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Found:
    """One leftover: what it is, and what removes it (False where it is still there afterwards)."""

    line: str
    remove: Callable[[], bool]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tac_rl.sandboxes", description="Look after sandboxes.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser("check", help="start one sandbox of a kind and run a command in it")
    check.add_argument("--kind", choices=("bubblewrap", "docker"), default="bubblewrap")
    cleanup = verbs.add_parser("cleanup", help="list what dead processes left behind, and remove it")
    cleanup.add_argument("--yes", action="store_true", help="remove without asking")
    cleanup.add_argument(
        "--images", action="store_true", help="images of sandboxes and tasks too, also those still of use"
    )
    cleanup.add_argument("--runtime-dir", type=Path, help="as sandbox.runtime_dir in the config")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    if args.verb == "check":
        print(asyncio.run(_check(args.kind)))
        return 0
    return _cleanup(args.runtime_dir, yes=args.yes, images=args.images)


async def _check(kind: str) -> str:
    provider = make_provider(SandboxSection(kind=kind, docker=DockerSection(pool=0)))
    provider.check()
    try:
        sandbox = await provider.start(SandboxSpec("check"))
        result = await sandbox.exec('echo "$(whoami) on $(uname -sr), $(python3 --version)"')
        return f"{kind}: {result.output.strip()}"
    finally:
        await provider.close()


def _cleanup(runtime_dir: Path | None, *, yes: bool, images: bool) -> int:
    found = [*_in_folders(runtime_dir), *_in_docker(images)]
    if not found:
        print("nothing is left behind")
        return 0
    for one in found:
        print(one.line)
    if not yes and not _agreed(len(found)):
        return EXIT_LEFT
    left = [one for one in found if not one.remove()]
    print(f"removed {len(found) - len(left)}")
    for one in left:
        print(f"still there: {one.line}", file=sys.stderr)
    return EXIT_LEFT if left else 0


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        print("nothing was removed: --yes removes without asking", file=sys.stderr)
        return False
    return input(f"remove these {count}? [y/N] ").strip().lower() in ("y", "yes")


def _in_folders(runtime_dir: Path | None) -> list[Found]:
    """Runtime folders, and what still runs of bubblewrap's sandboxes."""
    bases = {runtime.runtime_base(runtime_dir), runtime.runtime_base(), _MEMORY / f"tac-rl-{os.getuid()}"}
    found = []
    for base in sorted(bases):
        for leftover in find_leftovers(base):
            running = (
                f", {len(leftover.processes)} processes of its sandboxes run" if leftover.processes else ""
            )
            found.append(
                Found(
                    f"folder     {leftover.folder} (its process is gone{running})",
                    partial(_remove_folder, leftover),
                )
            )
    return found


def _in_docker(images: bool) -> list[Found]:
    """Containers, volumes and images; a machine without Docker has none."""
    from tac_rl.sandboxes.docker import leftovers
    from tac_rl.sandboxes.docker.daemon import Daemon

    daemon = Daemon()
    try:
        seen = daemon.now(
            lambda api: [
                *leftovers.find_containers(api),
                *leftovers.find_volumes(api),
                *leftovers.find_images(api, all_ours=images),
            ]
        )
    except SandboxUnavailableError as error:
        print(f"Docker is not looked at: {error}", file=sys.stderr)
        return []
    return [
        Found(f"{one.what:10} {one.name} ({one.detail})", partial(_remove_in_docker, daemon, one))
        for one in seen
    ]


def _remove_folder(leftover: Leftover) -> bool:
    remove_leftover(leftover)
    return not leftover.folder.exists()


def _remove_in_docker(daemon: "Daemon", leftover: "DockerLeftover") -> bool:
    from tac_rl.sandboxes.docker.leftovers import remove_leftovers

    try:
        return bool(daemon.now(lambda api: remove_leftovers(api, [leftover])))
    except SandboxError:
        return False
