"""The tiny policy under the built-in agent and under OpenHands: the same held-out instances, the same weights.

Both agents show the policy the same tokens, so its success must agree within 5 points. Transformers engine,
bubblewrap sandboxes, the config's own sampling, the same random stream for the same instance: what differs is what
the engine's batches do to the last digits, and how long commands take. Prints one JSON line an agent, and one for
the difference.
`python bench/agents.py [--attempts 200] [--run NAME]`; needs ./setup.sh --openhands.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

from tac_rl.assembly import evaluation
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.evaluate import BarRecorder
from tac_rl.runs.reader import find_run

AGENTS = ("toolcall", "openhands")
CONFIG = Path(__file__).parents[1] / "configs" / "tiny_cpu.yaml"


async def measure(agent: str, run: Path | None, attempts: int, overrides: list[str]) -> dict[str, object]:
    source = CONFIG if run is None else run / "config.yaml"
    config = load_config(RunConfig, source, [*overrides, f"agent.name={agent}"])
    # Without a run, version 0: the base model as it is shipped.
    async with evaluation(config, run or Path(), None if run else 0) as (made, version):
        started = time.perf_counter()
        with BarRecorder(agent, attempts) as recorder:
            # Random streams follow from the name of the evaluation: both agents get the same.
            result = await made.evaluate(
                "agents",
                version=version,
                split="heldout",
                attempts=attempts,
                temperature=config.evaluation.temperature,
                recorder=recorder,
            )
    return {
        "agent": agent,
        "version": version,
        "attempts": result.attempts,
        "full_completion": result.full_completion,
        "interval": [round(edge, 3) for edge in result.interval],
        "score": round(result.score, 4),
        "infrastructure_failures": result.infrastructure_failures,
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--attempts", type=int, default=200, help="for each agent (default: %(default)s)")
    parser.add_argument(
        "--run", help="a run's name or directory: its newest adapter (default: the base model)"
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.FIELD=VALUE")
    args = parser.parse_args()
    run = find_run(args.runs_dir, args.run) if args.run else None
    rates: list[float] = []
    for agent in AGENTS:
        found = asyncio.run(measure(agent, run, args.attempts, args.overrides))
        print(json.dumps({"bench": "agents", **found}), flush=True)
        rates.append(float(str(found["full_completion"])))
    print(json.dumps({"bench": "agents", "difference_points": round(100 * (rates[1] - rates[0]), 1)}))


if __name__ == "__main__":
    main()
