"""The door to the warm start: `python tac_rl/warmstart.py --config configs/warmstart_tiny.yaml`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tac_rl.assembly import evaluation
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.config.warmstart import WarmstartConfig
from tac_rl.doors import add_config_arguments, run_door
from tac_rl.evaluate import BarRecorder, show
from tac_rl.learning.warmstart.recipe import rebuild
from tac_rl.rollouts.evaluation import EvaluationResult
from tac_rl.serving.base import BASE_VERSION
from tac_rl.tasks.packages import OURS, choose_packages


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="warmstart.py",
        description="Make the tiny policy from nothing: tokenizer, demonstrations, weights.",
    )
    add_config_arguments(parser, required=True)
    parser.add_argument(
        "--measure",
        type=int,
        default=0,
        metavar="ATTEMPTS",
        help="afterwards, attempt so many held-out instances with the finished policy (default: none)",
    )
    parser.add_argument(
        "--measure-only", metavar="MODEL", type=Path, help="make nothing; measure the policy in this folder"
    )
    parser.add_argument("--per-instance", type=int, default=1, help="attempts at each instance, for pass@k")
    parser.add_argument("--json", action="store_true", help="print what was measured as one JSON object")
    args = parser.parse_args(arguments)
    if args.measure_only and not args.measure:
        parser.error("--measure-only needs --measure ATTEMPTS")
    return args


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    config = load_config(WarmstartConfig, args.config, args.overrides)
    console = Console(stderr=args.json, highlight=False)
    if args.measure_only is None:
        packages, _ = choose_packages(config.tasks, OURS)
        asyncio.run(rebuild(config, packages, lambda line: console.print(line, markup=False)))
    model = args.measure_only or config.out
    if args.measure:
        result = asyncio.run(measure(config, model, args.measure, args.per_instance))
        show({str(model): result}, console)
        if args.json:
            print(json.dumps(result.as_json()))
    return 0


async def measure(config: WarmstartConfig, model: Path, attempts: int, per_instance: int) -> EvaluationResult:
    """Attempt held-out instances at temperature 1, with the engine, gateway and sandboxes of a run."""
    run = RunConfig(model=model, tasks=config.tasks, sandbox=config.sandbox, seed=config.seed)
    async with evaluation(run, model, BASE_VERSION) as (rounds, version):
        with BarRecorder(str(model), attempts) as recorder:
            return await rounds.evaluate(
                "warmstart",
                version=version,
                split="heldout",
                attempts=attempts,
                temperature=1.0,
                recorder=recorder,
                attempts_per_instance=per_instance,
            )


if __name__ == "__main__":
    sys.exit(run_door(main))
