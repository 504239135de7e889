"""What is tried for real, each in a process of its own: `python -m tac_rl.validation.trial NAME`.

A driver or a library that crashes ends that process and not the validation. The last line of output is JSON.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

VOCABULARY = 256
MATMUL = {"cuda": 8192, "mps": 4096, "cpu": 1024}
COPY_BYTES = {"cuda": 1 << 30, "mps": 256 << 20, "cpu": 64 << 20}
MEASURE_SECONDS = 1.0


def look() -> dict[str, Any]:
    """What torch sees."""
    import torch

    sees, problem = False, ""
    try:
        sees = torch.cuda.is_available()
        if sees:
            torch.zeros(8, device="cuda").sum().item()
    except Exception as error:
        sees, problem = False, str(error).strip().splitlines()[0]
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "sees_gpu": sees,
        "mps": torch.backends.mps.is_available(),
        "problem": problem,
    }


def speed() -> dict[str, Any]:
    """Products (bfloat16 on a GPU, float32 elsewhere) and copies within the device's memory."""
    import torch

    from tac_rl.learning.loading import choose_device

    device = choose_device("auto")
    size = MATMUL[device.type]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)
    product = torch.empty_like(left)
    source = torch.empty(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = (
        _seconds_each(lambda: torch.mm(left, right, out=product), device.type),
        _seconds_each(lambda: target.copy_(source), device.type),
    )
    return {
        "device": device.type,
        "tflops": 2 * size**3 / times[0] / 1e12,
        "gb_per_s": 2 * source.numel() / times[1] / 1e9,  # A copy reads and writes.
        "threads": torch.get_num_threads(),
    }


def _seconds_each(work: Any, device: str) -> float:
    """The shortest of several rounds, each at least as long as a clock can tell."""
    import torch

    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device, lambda: None)
    for _ in range(3):
        work()
    best, until = float("inf"), time.perf_counter() + MEASURE_SECONDS
    while time.perf_counter() < until:
        wait()
        started = time.perf_counter()
        for _ in range(5):
            work()
        wait()
        best = min(best, (time.perf_counter() - started) / 5)
    return best


def train() -> dict[str, Any]:
    """Two steps of the learner on a random model of two layers, on the device that a run would take."""
    from tac_rl.config.learner import LearnerSection
    from tac_rl.learning.base import GradedRollout, Group, Row
    from tac_rl.learning.step import LearnerPlan, StepLearner

    random_ = random.Random(0)

    def rollout(number: int) -> GradedRollout:
        ids = tuple(random_.randrange(VOCABULARY) for _ in range(48))
        sampled = tuple(place >= 16 for place in range(48))
        row = Row(str(number), ids, sampled, tuple(-5.0 if flag else 0.0 for flag in sampled), 0)
        return GradedRollout(str(number), float(number), (row,))

    with tempfile.TemporaryDirectory() as folder:
        model = _model(Path(folder) / "model")
        learner = StepLearner(LearnerPlan(model, LearnerSection(), iterations=2, seed=0))
        group = Group("g", "trial", tuple(rollout(number) for number in range(4)))
        for version in (1, 2):
            metrics, skipped = learner.step([group], version, Path(folder) / str(version))
        if skipped:
            raise RuntimeError(skipped)
        return {
            "device": str(learner.device),
            "bfloat16": learner.autocast,
            "loss": metrics["loss"],
            "grad_norm": metrics["grad_norm"],
            "seconds": metrics["seconds"],
        }


def vllm() -> dict[str, Any]:
    """A vLLM server with a random model: started, asked for 16 tokens, ended."""
    return asyncio.run(_vllm())


async def _vllm() -> dict[str, Any]:
    from tac_rl.config.engine import EngineSection
    from tac_rl.serving.base import Sampling
    from tac_rl.serving.hardware import has_gpu
    from tac_rl.serving.vllm_engine import VllmEngine

    python = sys.argv[2] if len(sys.argv) > 2 else None
    config = EngineSection.model_validate(
        {
            "kind": "vllm",
            "dtype": "bfloat16" if has_gpu() else "float32",
            "max_model_len": 256,
            "max_batch": 4,
            "start_timeout_s": 540,
            "vllm": {"python": python, "gpu_memory_utilization": 0.2, "max_loras": 1, "enforce_eager": True},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        engine = VllmEngine(_model(Path(folder) / "model"), config, Path(folder))
        started = time.monotonic()
        try:
            await engine.start()
            up = time.monotonic() - started
            completion = await engine.generate([1, 2, 3, 4], Sampling(max_tokens=16, seed=1), 0)
        finally:
            await engine.stop()
    return {"tokens": len(completion.token_ids), "start_seconds": up}


def _model(folder: Path) -> Path:
    """Random, with heads as wide as vLLM's kernels want them."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


TRIALS = {"look": look, "speed": speed, "train": train, "vllm": vllm}


if __name__ == "__main__":
    print("\n" + json.dumps(TRIALS[sys.argv[1]]()))
