"""The memory plan beside what a step takes, on the CPU: random models of three sizes, made on the spot.

Each measurement has a process of its own: libraries are loaded, then the resident memory is noted; the learner is
made, and from there the kernel keeps the peak over one step (`VmHWM`). One JSON line each: predicted and measured
MB, by the plan's parts. Run as `python bench/memory_plan.py`; `--only 256` for one size.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

SIZES = {
    # hidden: layers, intermediate, heads, key heads, vocabulary, tokens at once, tokens of a row
    256: (8, 1024, 8, 2, 8192, 2560, 512),
    512: (6, 2048, 8, 2, 8192, 2304, 768),
    896: (4, 4864, 14, 2, 8192, 2048, 1024),
}
VARIANTS = (("float32", False), ("float32", True), ("bfloat16", False))
"""Precision of products, and gradient checkpointing."""
MB = 2**20


def status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def measure(hidden: int, precision: str, checkpointing: bool) -> None:
    """Print one measurement as a JSON line."""
    import random

    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from tac_rl.config.learner import LearnerSection
    from tac_rl.learning.base import GradedRollout, Group, Row
    from tac_rl.learning.step import LearnerPlan, StepLearner
    from tac_rl.memory_plan.learner import learner_load, learner_memory
    from tac_rl.memory_plan.shape import shape_of

    layers, inner, heads, kinds, vocabulary, tokens, length = SIZES[hidden]
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kinds,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )
    random_ = random.Random(0)

    def row(name: str) -> Row:
        ids = tuple(random_.randrange(vocabulary) for _ in range(length))
        sampled = tuple(place >= length // 2 for place in range(length))
        return Row(name, ids, sampled, tuple(-9.0 if flag else 0.0 for flag in sampled), 0)

    rows = [row(str(number)) for number in range(tokens // length)]
    rollouts = tuple(GradedRollout(r.rollout_id, float(n), (r,)) for n, r in enumerate(rows))
    settings = LearnerSection.model_validate(
        {
            "precision": precision,
            "device": "cpu",
            "gradient_checkpointing": checkpointing,
            "micro_batch_tokens": tokens,
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
                "hidden": hidden,
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
    parser.add_argument("--only", type=int, choices=tuple(SIZES), action="append")
    parser.add_argument("--variant", type=int, choices=range(len(VARIANTS)), action="append")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        hidden, precision, checkpointing = json.loads(arguments.measure)
        measure(hidden, precision, checkpointing)
        return
    from tac_rl.learning.process import worker_environment

    for hidden in arguments.only or SIZES:
        for number in arguments.variant or range(len(VARIANTS)):
            command = [sys.executable, __file__, "--measure", json.dumps([hidden, *VARIANTS[number]])]
            environment = worker_environment(1, large_model=True)
            subprocess.run(command, check=True, timeout=600, env=environment)


if __name__ == "__main__":
    main()
