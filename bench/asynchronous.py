"""Asynchronous against synchronous training of the tiny policy: rollouts an hour, and what comes out.

    python bench/asynchronous.py [--seeds 1 2 3] [--iterations N] [--staleness 1] [--set a.b=c ...]

Every run is a whole run of the shipped config by the real door, with the same iterations, seeds and settings below.
Rollouts an hour are those of training, over the wall time of the iterations.

In both modes the learner has a core to itself and everything else has the others, so needs two. What a mode can gain is
the learner's share of a synchronous iteration; the shipped config's single pass over the rows is a tenth of it, so the
learner passes over them several times here, in smaller steps.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean

from tac_rl.runs.reader import RunReader

SETTINGS = {
    "learner.own_cores": 1,
    "learner.epochs": 6,
    "learner.learning_rate": 2.7e-4,
    # Enough to keep a core busy. The more at once, the longer the last rollouts of a batch take among those of the
    # next; and while the learner, which waits for them, then steps, the next batch is done too, and the core idle.
    "rollouts.concurrency": 8,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--attempts", type=int, default=126, help="before and after")
    parser.add_argument("--staleness", type=int, default=1)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    args = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {}
    print("| max_staleness | seed | rollouts/h | before | after | learner's share of the time |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="tac-rl-bench-") as folder:
        for seed in args.seeds:
            for staleness in (0, args.staleness):
                rate, before, after, learner = measure(Path(folder), seed, staleness, args)
                found.setdefault(staleness, []).append((rate, after))
                print(
                    f"| {staleness} | {seed} | {rate:,.0f} | {before:.3f} | {after:.3f} | {learner:.2f} |",
                    flush=True,
                )
    (sync, asynchronous) = found.values()
    gain = fmean(rate for rate, _ in asynchronous) / fmean(rate for rate, _ in sync)
    finals = [fmean(after for _, after in runs) for runs in (sync, asynchronous)]
    print(f"\nrollouts/h: {gain:.2f} times; final completion {finals[0]:.3f} and {finals[1]:.3f}")
    print(json.dumps({"gain": gain, "synchronous": finals[0], "asynchronous": finals[1]}))
    return 0


def measure(
    folder: Path, seed: int, staleness: int, args: argparse.Namespace
) -> tuple[float, float, float, float]:
    """Rollouts an hour, completion before and after, and the learner's share of the iterations' time."""
    name = f"s{staleness}-{seed}"
    settings = [f"runs_dir={folder}", f"seed={seed}", f"iterations={args.iterations}", "max_minutes=null"]
    settings += [f"rollouts.max_staleness={staleness}", *(f"{key}={value}" for key, value in SETTINGS.items())]
    settings += ["evaluation.every=0", f"evaluation.final_attempts={args.attempts}", *args.overrides]
    command = [sys.executable, "tac_rl/train.py", "--config", "configs/tiny_cpu.yaml", "--name", name]
    subprocess.run(
        [*command, *(f"--set={s}" for s in settings)], check=True, stdout=subprocess.DEVNULL, timeout=3600
    )
    with RunReader(folder / name) as reader:
        iterations = reader.iterations()
        evaluations = reader.evaluations("heldout")
        rollouts = sum(1 for r in reader.rollouts() if r.iteration is not None)
        times = reader.timing()
    last = iterations[-1].finished
    assert last is not None
    seconds = last - iterations[0].started
    phases = sum(value for phase, value in times.items() if phase not in ("startup", "evaluation"))
    before, after = (e.results["full_completion"] for e in (evaluations[0], evaluations[-1]))
    return 3600 * rollouts / seconds, before, after, times["learner"] / phases


if __name__ == "__main__":
    sys.exit(main())
