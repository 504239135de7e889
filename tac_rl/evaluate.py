"""The door to evaluation: `python tac_rl/evaluate.py --run NAME --base --split heldout --attempts 200`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tac_rl.assembly import evaluation
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.doors import run_door
from tac_rl.rollouts.evaluation import EvaluationResult, TaskScore
from tac_rl.rollouts.rollout import RolloutPlan, RolloutResult
from tac_rl.runs.reader import find_run
from tac_rl.tasks.packages import SPLITS


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="evaluate.py", description="Measure a run's adapter.")
    parser.add_argument("--run", required=True, help="a run's name or directory")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where --run looks for names")
    parser.add_argument("--version", type=int, help="policy version (default: the newest published one)")
    parser.add_argument(
        "--base", action="store_true", help="measure the base model too, on the same instances"
    )
    parser.add_argument("--split", choices=SPLITS, default="heldout", help="default: %(default)s")
    parser.add_argument("--attempts", type=int, default=200, help="attempts in all (default: %(default)s)")
    parser.add_argument(
        "--per-instance",
        type=int,
        default=1,
        help="attempts at each instance, for pass@k (default: %(default)s)",
    )
    parser.add_argument("--temperature", type=float, default=None, help="default: as in the run's config")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.FIELD=VALUE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(arguments)
    if args.attempts < 1 or args.per_instance < 1:
        parser.error("--attempts and --per-instance must be at least 1")
    return args


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    run = find_run(args.runs_dir, args.run)
    config = load_config(RunConfig, run / "config.yaml", args.overrides)
    results = asyncio.run(measure(config, run, args))
    if args.json:
        print(json.dumps(as_json(results, args)))
    else:
        show(results, Console(highlight=False))
    return 0


async def measure(
    config: RunConfig, run: Path, args: argparse.Namespace
) -> dict[str, EvaluationResult | None]:
    """Base (where asked for) and adapter on the same instances."""
    results: dict[str, EvaluationResult | None] = {"base": None, "adapter": None}
    temperature = config.evaluation.temperature if args.temperature is None else args.temperature
    async with evaluation(config, run, args.version) as (attempts, version):
        for name, measured in (("base", 0), ("adapter", version)):
            if (name == "base" and not args.base) or (name == "adapter" and version == 0):
                continue
            with BarRecorder(f"{name} (version {measured})", args.attempts) as recorder:
                results[name] = await attempts.evaluate(
                    name,
                    version=measured,
                    split=args.split,
                    attempts=args.attempts,
                    temperature=temperature,
                    recorder=recorder,
                    attempts_per_instance=args.per_instance,
                )
    return results


class BarRecorder:
    """A progress bar on standard error for rollouts that no run directory remembers."""

    def __init__(self, label: str, attempts: int) -> None:
        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(label, total=attempts)

    def __enter__(self) -> "BarRecorder":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def begin(self, plan: RolloutPlan) -> None: ...

    def phase(self, plan: RolloutPlan, phase: str, turn: int) -> None: ...

    def drop(self, plan: RolloutPlan) -> None: ...

    def end(self, result: RolloutResult) -> None:
        self._bar.advance(self._task)


def as_json(results: Mapping[str, EvaluationResult | None], args: argparse.Namespace) -> dict[str, Any]:
    return {
        "run": args.run,
        "split": args.split,
        "attempts": args.attempts,
        **{name: result.as_json() if result else None for name, result in results.items()},
    }


def show(results: Mapping[str, EvaluationResult | None], console: Console) -> None:
    measured = {name: result for name, result in results.items() if result}
    table = Table(title="Full completion [95 % interval] and TAC score")
    table.add_column("")
    for name, result in measured.items():
        table.add_column(f"{name} (version {result.version})", justify="right")
    for section in ("per_task", "per_role"):
        names = sorted({name for result in measured.values() for name in getattr(result, section)})
        for name in names:
            cells = [_cell(getattr(result, section).get(name)) for result in measured.values()]
            table.add_row(name, *cells)
        table.add_section()
    table.add_row("all", *(_cell(result) for result in measured.values()), style="bold")
    for label in ("pass_at", "pass_hat"):
        ks = sorted({int(k) for result in measured.values() for k in getattr(result, label)})
        for k in (k for k in ks if k > 1):
            values = [getattr(result, label).get(str(k)) for result in measured.values()]
            symbol = "@" if label == "pass_at" else "^"
            table.add_row(f"pass{symbol}{k}", *("" if v is None else f"{v:.2f}" for v in values))
    console.print(table)
    for name, result in measured.items():
        if result.infrastructure_failures:
            console.print(f"{name}: {result.infrastructure_failures} infrastructure failures, not counted")


def _cell(score: TaskScore | EvaluationResult | None) -> str:
    if score is None or not score.attempts:
        return ""
    low, high = score.interval
    return f"{score.full_completion:.2f} [{low:.2f} {high:.2f}]  {score.score:.2f}"


if __name__ == "__main__":
    sys.exit(run_door(main))
