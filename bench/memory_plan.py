"""The memory plan beside what a step takes, on the CPU: random models, made on the spot.

The plan's constants were adjusted to the shapes `FITTED`. `INDEPENDENT` are others, in every dimension, chosen before
they were measured: they tell how far the plan is right where nobody looked.

Each measurement has a process of its own: libraries are loaded, then the resident memory is noted; the learner is
made, and from there the kernel keeps the peak over one step (`VmHWM`). One JSON line each: predicted and measured
MB, by the plan's parts. Run as `python bench/memory_plan.py`; `--only h256` for one shape.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """A model, and what a step computes of it."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    tokens: int
    """At once."""
    row: int
    """Tokens of each row."""
    rank: int = 16


FITTED = {
    "h256": Shape(256, 8, 1024, 8, 2, 8192, 2560, 512),
    "h512": Shape(512, 6, 2048, 8, 2, 8192, 2304, 768),
    "h896": Shape(896, 4, 4864, 14, 2, 8192, 2048, 1024),
}
INDEPENDENT = {
    "deep": Shape(384, 12, 1024, 6, 6, 32_000, 1536, 384, rank=32),  # every head with keys of its own
    "wide": Shape(1024, 3, 2816, 16, 8, 50_000, 1024, 256, rank=64),  # a vocabulary that weighs
    "many": Shape(640, 10, 1728, 10, 5, 4096, 3000, 600, rank=8),  # many short rows
    "long": Shape(256, 4, 512, 16, 4, 2048, 3072, 1536),  # scores of a row are computed in parts
}
SHAPES = FITTED | INDEPENDENT
VARIANTS = (("float32", False), ("float32", True), ("bfloat16", False))
"""Precision of products, and gradient checkpointing."""
MB = 2**20


def status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def measure(name: str, precision: str, checkpointing: bool) -> None:
    """Print one measurement as a JSON line."""
    import random

    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from tac_rl.config.learner import LearnerSection
    from tac_rl.learning.base import GradedRollout, Group, Row
    from tac_rl.learning.step import LearnerPlan, StepLearner
    from tac_rl.memory_plan.learner import learner_load, learner_memory
    from tac_rl.memory_plan.shape import shape_of

    shape = SHAPES[name]
    vocabulary, tokens, length = shape.vocabulary, shape.tokens, shape.row
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )
    random_ = random.Random(0)

    def row(rollout: str) -> Row:
        ids = tuple(random_.randrange(vocabulary) for _ in range(length))
        sampled = tuple(place >= length // 2 for place in range(length))
        return Row(rollout, ids, sampled, tuple(-9.0 if flag else 0.0 for flag in sampled), 0)

    rows = [row(str(number)) for number in range(tokens // length)]
    rollouts = tuple(GradedRollout(r.rollout_id, float(n), (r,)) for n, r in enumerate(rows))
    settings = LearnerSection.model_validate(
        {
            "precision": precision,
            "device": "cpu",
            "gradient_checkpointing": checkpointing,
            "micro_batch_tokens": tokens,
            "lora": {"rank": shape.rank, "alpha": 2 * shape.rank},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        made = Qwen2ForCausalLM(config)
        made.save_pretrained(folder)
        del made
        trim()
        before = status("VmRSS")
        learner = StepLearner(LearnerPlan(Path(folder), settings, iterations=2, seed=0))
        trim()
        loaded = status("VmRSS") - before
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        metrics, skipped = learner.step([Group("g", "bench", rollouts)], 1, Path(folder) / "1")
        assert not skipped, skipped
        peak = status("VmHWM") - before
    load = replace(
        learner_load(
            settings,
            length,
            device="cpu",
            weights="float32",
            autocast=precision == "bfloat16",
            checkpointing=checkpointing,
        ),
        sampled=sum(sum(r.sampled) for r in rows),
    )
    memory = learner_memory(shape_of(config.to_dict(), "bench"), load)
    print(
        json.dumps(
            {
                "bench": "memory_plan",
                "shape": name,
                "fitted": name in FITTED,
                "parameters": shape_of(config.to_dict(), "bench").parameters,
                "tokens": tokens,
                "precision": precision,
                "checkpointing": checkpointing,
                "measured_mb": round(peak / MB),
                "predicted_mb": round(memory.total / MB),
                "ratio": round(memory.total / peak, 3),
                "loaded_mb": round(loaded / MB),
                "parts_mb": {name: round(value / MB) for name, value in asdict(memory).items()},
                "seconds": round(metrics["seconds"], 1),
            }
        ),
        flush=True,
    )


def trim() -> None:
    """Give freed memory back to the system, so that it is not counted."""
    import ctypes
    import gc

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=tuple(SHAPES), action="append")
    parser.add_argument("--variant", type=int, choices=range(len(VARIANTS)), action="append")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, precision, checkpointing = json.loads(arguments.measure)
        measure(name, precision, checkpointing)
        return
    from tac_rl.learning.process import worker_environment

    for name in arguments.only or SHAPES:
        for number in arguments.variant or range(len(VARIANTS)):
            command = [sys.executable, __file__, "--measure", json.dumps([name, *VARIANTS[number]])]
            environment = worker_environment(1, large_model=True)
            subprocess.run(command, check=True, timeout=1800, env=environment)


if __name__ == "__main__":
    main()
