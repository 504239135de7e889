"""The learning benchmark: held-out full completion before and after, over seeds and against two controls.

    python bench/learning.py [--seeds 1 2 3] [--controls] [--runs-dir DIR] [--attempts 240] [--set a.b=c ...]

Each run is `tac_rl/train.py` with configs/tiny_cpu.yaml, as a user starts it. The controls have the same
budget: without the curriculum, and with a learning rate of 0. One JSON line per run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tac_rl.runs.reader import RunReader

RUN_TIMEOUT_S = 1500


def train(name: str, runs: Path, overrides: list[str]) -> dict[str, object]:
    """One run; what its run directory says about it."""
    command = [sys.executable, "tac_rl/train.py", "--config", "configs/tiny_cpu.yaml", "--name", name]
    command += [f"--set={override}" for override in (f"runs_dir={runs}", *overrides)]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
    seconds = time.monotonic() - started
    if done.returncode != 0:
        raise SystemExit(f"{name} failed:\n{done.stdout}\n{done.stderr}")
    with RunReader(runs / name) as reader:
        curve = [
            {
                "iteration": evaluation.iteration,
                "full_completion": round(evaluation.results["full_completion"], 4),
                "score": round(evaluation.results["score"], 4),
                "attempts": evaluation.results["attempts"],
                "interval": [round(bound, 3) for bound in evaluation.results["interval"]],
            }
            for evaluation in reader.evaluations()
        ]
        iterations = [i for i in reader.iterations() if i.finished is not None]
        timing: dict[str, float] = {}
        for iteration in iterations:
            for phase, spent in iteration.timing.items():
                timing[phase] = timing.get(phase, 0.0) + spent
        publishes = sorted(iteration.metrics["publish_seconds"] for iteration in iterations)
        training = sum((i.finished or i.started) - i.started for i in iterations)
    total = sum(timing.values())
    return {
        "bench": "learning",
        "run": name,
        "before": curve[0]["full_completion"],
        "after": curve[-1]["full_completion"],
        "attempts": curve[-1]["attempts"],
        "interval": curve[-1]["interval"],
        "curve": [[point["iteration"], point["full_completion"], point["score"]] for point in curve],
        "iterations": len(iterations),
        "iterations_seconds": round(training, 1),
        "whole_run_seconds": round(seconds, 1),
        "publish_p50_s": round(publishes[len(publishes) // 2], 3),
        "publish_max_s": round(publishes[-1], 3),
        "shares": {phase: round(spent / total, 4) for phase, spent in sorted(timing.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--controls", action="store_true", help="only the controls (with the first seed)")
    parser.add_argument("--runs-dir", type=Path, help="keep the runs there")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    args = parser.parse_args()
    jobs = [(f"seed-{seed}", [f"seed={seed}"]) for seed in args.seeds]
    if args.controls:
        jobs = [
            ("no-curriculum", [f"seed={args.seeds[0]}", "curriculum.enabled=false"]),
            ("learning-rate-0", [f"seed={args.seeds[0]}", "learner.learning_rate=0"]),
        ]
    with tempfile.TemporaryDirectory(prefix="tac-rl-bench-") as temporary:
        runs = args.runs_dir or Path(temporary)
        for name, overrides in jobs:
            print(json.dumps(train(name, runs, [*overrides, *args.overrides])), flush=True)


if __name__ == "__main__":
    main()
