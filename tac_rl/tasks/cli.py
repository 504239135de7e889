"""`python -m tac_rl.tasks`: list, check and lay out task packages."""

import argparse
import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tac_rl.config.office import OfficeSection
from tac_rl.config.sandbox import SandboxSection
from tac_rl.config.tasks import TasksSection
from tac_rl.office.build import build_office
from tac_rl.sandboxes.select import make_provider
from tac_rl.tasks.gate import Verdict, check_packages
from tac_rl.tasks.packages import find_folders, load_packages
from tac_rl.tasks.scaffold import new_package

EXIT_FAILED = 1
"""A package did not pass the gate."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tac_rl.tasks", description="Work on task packages.")
    default = TasksSection().path
    parser.add_argument("--path", type=Path, default=default, help="where they are (default: %(default)s)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="the packages, one a line")
    check = verbs.add_parser("check", help="hold packages to the contract (docs/tasks.md)")
    check.add_argument("names", nargs="*", metavar="NAME", help="packages or patterns (default: all)")
    check.add_argument("--json", action="store_true", help="print one JSON list and nothing else")
    check.add_argument("--seeds", type=int, default=50, help="instances that the oracle must solve")
    check.add_argument("--jobs", type=int, default=2, help="packages at once (default: %(default)s)")
    check.add_argument(
        "--sandbox", choices=("bubblewrap", "docker"), default="bubblewrap", help="(default: %(default)s)"
    )
    new = verbs.add_parser("new", help="lay out a package: a tiny working one, to be filled in")
    new.add_argument("name", metavar="NAME", help="role first, such as hr-leave-balance")
    args = parser.parse_args(arguments)
    if args.verb == "check" and (args.seeds < 1 or args.jobs < 1):
        parser.error("--seeds and --jobs must be at least 1")
    return args


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    if args.verb == "list":
        return _list(args.path)
    if args.verb == "new":
        folder = new_package(args.path, args.name)
        print(f"laid out {folder}; fill it in, then: python -m tac_rl.tasks check {args.name}")
        return 0
    return asyncio.run(_check(args))


def _list(path: Path) -> int:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "role", "difficulty", "summary"):
        table.add_column(column, overflow="fold")
    for package in load_packages(path):
        table.add_row(package.name, package.role, str(package.difficulty), package.metadata.summary)
    Console(highlight=False).print(table)
    return 0


async def _check(args: argparse.Namespace) -> int:
    folders = find_folders(args.path, args.names)
    console = Console(highlight=False, soft_wrap=True)
    provider = make_provider(SandboxSection(kind=args.sandbox))
    provider.check()
    office = build_office(OfficeSection())  # Started by the first package that names services.
    verdicts: list[Verdict] = []
    try:
        checking = check_packages(folders, provider, office, seeds=args.seeds, concurrency=args.jobs)
        async with contextlib.aclosing(checking):
            async for verdict in checking:
                verdicts.append(verdict)
                if not args.json:
                    _show(console, verdict)
    finally:
        await provider.close()
        await office.stop()
    if args.json:
        print(json.dumps([verdict.to_dict() for verdict in verdicts]))
    failed = sum(not verdict.passed for verdict in verdicts)
    if not args.json:
        console.print(f"{len(verdicts) - failed} of {len(verdicts)} packages pass")
    return EXIT_FAILED if failed else 0


def _show(console: Console, verdict: Verdict) -> None:
    mark = Text("pass", style="green") if verdict.passed else Text("FAIL", style="red")
    console.print(mark + Text(f"  {verdict.name}", style="default"))
    for problem in verdict.problems:
        console.print(Text(f"      {problem}", style="default"))
