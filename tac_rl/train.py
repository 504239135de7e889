"""The door to training: `python tac_rl/train.py --config configs/tiny_cpu.yaml`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.console import Console

from tac_rl.assembly import memory_plan_of, plan_of, training
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.doors import add_config_arguments, run_door
from tac_rl.errors import ConfigError
from tac_rl.memory_plan.plan import MemoryPlan
from tac_rl.memory_plan.table import plan_lines
from tac_rl.monitor.progress import TrainProgress, closing_table
from tac_rl.monitor.report import write_report
from tac_rl.runs.reader import RunReader, find_run
from tac_rl.runs.store import RunStore


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train.py", description="Train a policy by reinforcement learning.")
    add_config_arguments(parser, required=False)
    parser.add_argument("--name", help="name of the new run (default: a readable, unique one)")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run (its name or directory)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where --resume looks for names")
    parser.add_argument("--dry-run", action="store_true", help="print the config and the plan, start nothing")
    parser.add_argument("--json", action="store_true", help="with --dry-run: one JSON object")
    parser.add_argument(
        "--vram",
        type=float,
        nargs="+",
        default=(),
        metavar="GB",
        help="with --dry-run: plan memory for a card of so many GB, or for several",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    if bool(args.config) == bool(args.resume):
        raise ConfigError("give either --config FILE for a new run or --resume RUN to go on with one")
    directory = find_run(args.runs_dir, args.resume) if args.resume else None
    source = directory / "config.yaml" if directory else args.config
    config = load_config(RunConfig, source, args.overrides)
    if args.name:
        config = config.model_copy(update={"name": args.name})
    if args.vram and not (args.dry_run and min(args.vram) > 0):
        raise ConfigError("--vram takes numbers of GB above 0, and goes with --dry-run")
    finished = finished_iterations(directory) if directory else 0
    if args.dry_run:
        memory = memory_plan_of(config, args.vram)
        gpus = len(args.vram) or None
        return dry_run(config, memory, finished=finished, gpus=gpus, as_json=args.json)
    plan_of(config, finished=finished)  # what is wrong with the config is told before a run directory is made
    if directory:
        store = RunStore.resume(directory, iterations=config.iterations)
    else:
        resolved = config.model_dump(mode="json")
        store = RunStore.create(
            config.runs_dir, config.name, resolved, iterations=config.iterations, stem=source.stem
        )
    return asyncio.run(train(config, store))


def finished_iterations(directory: Path) -> int:
    """How many iterations a run has behind it."""
    with RunReader(directory) as reader:
        return sum(iteration.finished is not None for iteration in reader.iterations())


async def train(config: RunConfig, store: RunStore) -> int:
    """Run to the end; the report is written however the run ends."""
    console = Console(highlight=False)
    watch = f"python tac_rl/monitor.py --watch --run {store.directory}"
    console.print(f"run {store.name}: watch it with  {watch}", soft_wrap=True)
    try:
        with store, TrainProgress(store.directory, console):
            async with training(config, store) as loop:
                await loop.run()
    finally:
        report = write_report(store.directory)
    console.print(closing_table(store.directory))
    console.print(f"report: {report}", soft_wrap=True)
    return 0


def dry_run(
    config: RunConfig, memory: MemoryPlan, *, finished: int, gpus: int | None, as_json: bool
) -> int:
    """The resolved config, the memory plan, which needs no weights, and what would be started, which does."""
    resolved = config.model_dump(mode="json")
    if as_json:
        plan = {**plan_of(config, finished=finished, gpus=gpus), "memory": memory.document()}
        print(json.dumps({"config": resolved, "plan": plan}))
        return 0
    print(yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
    print("\n".join(plan_lines(memory)), end="\n\n", flush=True)
    plan = plan_of(config, finished=finished, gpus=gpus)
    print("# What would be started")
    print(yaml.safe_dump(plan, sort_keys=False, allow_unicode=True), end="")
    return 0


if __name__ == "__main__":
    sys.exit(run_door(main))
