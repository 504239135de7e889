"""What a first stage of SFT gives before GRPO, and DPO after it, against GRPO alone with the same rollouts.

    python bench/stages.py [--seeds 1] [--iterations 24] [--only NAME ...] [--runs-dir DIR] [--set a.b=c ...]

Each run is `tac_rl/train.py` with configs/tiny_cpu.yaml and the same number of iterations, so of rollouts; only what is
learnt from them differs. One JSON line per run.
"""

import argparse
import json
import tempfile
from pathlib import Path

from learning import train

PLANS = {
    "grpo": (("grpo", 1.0),),
    "sft-grpo": (("sft", 0.25), ("grpo", 0.75)),
    "grpo-dpo": (("grpo", 0.75), ("dpo", 0.25)),
    "sft": (("sft", 1.0),),
    "dpo": (("dpo", 1.0),),
}
"""Stages, and the share of the iterations that each has."""
LEARNING_RATES = {"sft": 1e-3, "grpo": 1.5e-3, "dpo": 1e-3}


def stages_of(plan: str, iterations: int) -> str:
    """The `stages` of a plan as YAML, with `iterations` in all."""
    parts, left = [], iterations
    for number, (kind, share) in enumerate(PLANS[plan], 1):
        count = left if number == len(PLANS[plan]) else round(share * iterations)
        left -= count
        parts.append({"kind": kind, "iterations": count, "learner": {"learning_rate": LEARNING_RATES[kind]}})
    return json.dumps(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--iterations", type=int, default=24)
    parser.add_argument("--only", nargs="+", choices=list(PLANS), default=list(PLANS))
    parser.add_argument("--runs-dir", type=Path, help="keep the runs there")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tac-rl-bench-") as temporary:
        for seed in args.seeds:
            for plan in args.only:
                overrides = [
                    f"seed={seed}",
                    f"iterations={args.iterations}",
                    f"stages={stages_of(plan, args.iterations)}",
                    "max_minutes=null",
                    f"evaluation.every={max(1, args.iterations // 4)}",
                    *args.overrides,
                ]
                found = train(f"{plan}-{seed}", args.runs_dir or Path(temporary), overrides)
                print(json.dumps({**found, "bench": "stages", "plan": plan}), flush=True)


if __name__ == "__main__":
    main()
