"""`python -m tac_rl.tac`: what running TheAgentCompany's packages needs, and what of them runs here."""

import argparse
import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.doors import add_config_arguments
from tac_rl.errors import ConfigError, TaskError
from tac_rl.tac import survey, table
from tac_rl.tac.environment import default_folder, make_environment, normalised, requirements_for
from tac_rl.tac.folder import is_tac_folder, read_folder
from tac_rl.tac.imports import imported
from tac_rl.tac.packages import package_loader
from tac_rl.tasks.packages import find_folders


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tac_rl.tac", description="Run unmodified packages of TheAgentCompany (docs/tac.md)."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    environment = verbs.add_parser("environment", help="make the Python environment of TAC's evaluators")
    environment.add_argument("folder", type=Path, nargs="?", default=default_folder(), metavar="DIR")
    environment.add_argument(
        "--checkout", type=Path, help="install only what the packages in this checkout of TAC import"
    )
    environment.add_argument(
        "--also", action="append", default=[], metavar="REQUIREMENT", help="install this too, such as torch"
    )
    pins = verbs.add_parser("pins", help="what a checkout's Dockerfiles install with pip, one a line")
    pins.add_argument("checkout", type=Path, metavar="CHECKOUT")
    names = verbs.add_parser("names", help="the packages that load here, one a line, for tasks.include")
    names.add_argument("checkout", type=Path, metavar="CHECKOUT")
    add_config_arguments(names, required=False)
    images = verbs.add_parser(
        "images", help="build every package's image without a network, and say which build"
    )
    images.add_argument("checkout", type=Path, metavar="CHECKOUT", help="a checkout of TAC's repository")
    images.add_argument("names", nargs="*", metavar="NAME", help="packages or patterns (default: all)")
    images.add_argument(
        "--out", type=Path, help="write the result into this Markdown file, between its marks"
    )
    images.add_argument("--jobs", type=int, default=2, help="images at once (default: %(default)s)")
    images.add_argument("--keep", action="store_true", help="don't remove them afterwards")
    add_config_arguments(images, required=False)
    made = verbs.add_parser("table", help="load, initialise and grade every package, and say what runs here")
    made.add_argument("checkout", type=Path, metavar="CHECKOUT", help="a checkout of TAC's repository")
    made.add_argument("names", nargs="*", metavar="NAME", help="packages or patterns (default: all)")
    made.add_argument("--out", type=Path, help="write the table into this Markdown file, between its marks")
    made.add_argument(
        "--section", default="table", metavar="NAME", help="whose marks those are (default: %(default)s)"
    )
    made.add_argument(
        "--seconds", type=float, default=120.0, help="for one script or evaluator (default: %(default)s)"
    )
    made.add_argument("--jobs", type=int, default=2, help="packages at once (default: %(default)s)")
    add_config_arguments(made, required=False)
    args = parser.parse_args(arguments)
    if args.verb in ("table", "images") and args.jobs < 1:
        parser.error("--jobs must be at least 1")
    if args.verb == "table" and args.seconds <= 0:
        parser.error("--seconds must be above 0")
    return args


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    if args.verb == "environment":
        return _environment(args)
    if args.verb == "pins":
        return _pins(args.checkout)
    config = load_config(RunConfig, args.config, args.overrides)
    if args.verb == "names":
        return _names(args.checkout, config)
    if args.verb == "images":
        return _images(args, config)
    tac = config.tasks.tac.model_copy(update={"grading_seconds": args.seconds})
    tasks = config.tasks.model_copy(update={"tac": tac})
    config = config.model_copy(update={"tasks": tasks})
    surveying = survey.survey(args.checkout, args.names, config, jobs=args.jobs, tell=_tell)
    rows = asyncio.run(surveying)
    return _give(table.render(rows), args.out, args.section)


def _images(args: argparse.Namespace, config: RunConfig) -> int:
    from tac_rl.tac import builds  # Docker's SDK takes 0.2 s to import.

    rows = builds.build_all(
        args.checkout,
        args.names,
        build_seconds=config.sandbox.docker.build_seconds,
        jobs=args.jobs,
        keep=args.keep,
        tell=_tell,
    )
    return _give(builds.render(rows), args.out, "images")


def _give(text: str, out: Path | None, section: str) -> int:
    if out:
        table.write(out, text, section)
    else:
        print(text)
    return 0


def _names(checkout: Path, config: RunConfig) -> int:
    loader = package_loader(config)
    for folder in find_folders(checkout / "workspaces" / "tasks", (), is_tac_folder):
        with contextlib.suppress(TaskError):
            print(loader.load(folder).name)
    return 0


def _pins(checkout: Path) -> int:
    """Without torch: one package wants it, and it is larger than everything else together.

    Names are normalised, and a name without a version is left out where a package pins it.
    """
    folders = find_folders(checkout / "workspaces" / "tasks", (), is_tac_folder)
    texts = {pin for folder in folders for pin in read_folder(folder).dockerfile.pip}
    pins = {normalised(text) + re.sub(r"^[\w.-]+", "", text) for text in texts}
    pinned = {normalised(pin) for pin in pins if pin != normalised(pin)}
    for pin in sorted(pins):
        if normalised(pin) != "torch" and pin not in pinned:
            print(pin)
    return 0


def _tell(line: str) -> None:
    print(line, flush=True)


def _environment(args: argparse.Namespace) -> int:
    modules = None
    if args.checkout:
        files = sorted((args.checkout / "workspaces").glob("tasks/*/*.py"))
        files += sorted((args.checkout / "workspaces" / "base_image").glob("*.py"))
        if not files:
            raise ConfigError(f"{args.checkout}: holds no workspaces/tasks of TheAgentCompany")
        modules = sorted(imported(file.read_text(encoding="utf-8") for file in files))
    made = make_environment(args.folder, requirements_for(modules, args.also), print)
    print(f"{made.folder}: Python {made.version} with {len(made.distributions)} libraries; use it with")
    print(f"  tasks.tac.environment: {made.folder}")
    return 0
