"""The learner's step with a model of Qwen2.5-7B's shape on a GPU, beside the memory plan: `python bench/gpu_7b.py`.

The weights are random and made on the spot, so nothing is downloaded. Base in bfloat16 and in four bits, rows of 2k,
8k and 16k tokens: tokens/s, share of the card's measured rate of products, peak memory and what the plan says. First
loss and gradients on a small shape are compared with the CPU in float32. One
JSON line each; nothing is begun after 8.5 minutes.
`--smoke`: the same code with a tiny shape on the CPU.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tac_rl.config.learner import LearnerSection
from tac_rl.learning.advantages import advantages_of
from tac_rl.learning.base import GradedRollout, Group, Row
from tac_rl.learning.batching import train_rows
from tac_rl.learning.metrics import Sums
from tac_rl.learning.step import LearnerPlan, StepLearner
from tac_rl.memory_plan.learner import learner_load, learner_memory
from tac_rl.memory_plan.shape import KNOWN, ModelShape
from tac_rl.validation.trial import speed

LIMIT_S = 510
"""No further measurement is begun after this."""
TINY = ModelShape(64, 128, 2, 4, 2, 16, 512, tied=False, context=32_768)
SMALL = ModelShape(256, 512, 2, 4, 2, 64, 1024, tied=False, context=32_768)


def tell(**values: Any) -> None:
    print(json.dumps({"bench": "gpu_7b", **values}), flush=True)


def save_model(shape: ModelShape, folder: Path, device: str) -> None:
    """Random weights in bfloat16, made on the device: on the CPU 7B parameters take minutes."""
    from transformers import AutoModelForCausalLM, Qwen2Config

    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=shape.tied,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    release()


def release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def groups_of(shape: ModelShape, tokens: int) -> list[Group]:
    """Two rows of `tokens` in all that share no prompt; half of each is sampled."""
    generator = torch.Generator().manual_seed(0)
    rollouts = []
    for number in range(2):
        ids = torch.randint(0, shape.vocabulary, (tokens,), generator=generator).tolist()
        sampled = tuple(place % 64 >= 32 for place in range(tokens))
        logprobs = tuple(-10.0 if flag else 0.0 for flag in sampled)
        rollouts.append(
            GradedRollout(str(number), float(number), (Row(str(number), tuple(ids), sampled, logprobs, 0),))
        )
    return [Group("g", "bench", tuple(rollouts))]


def learner_of(model: Path, **settings: object) -> StepLearner:
    return StepLearner(LearnerPlan(model, LearnerSection.model_validate(settings), iterations=4, seed=0))


def measure(
    shape: ModelShape, model: Path, base_weights: str, lengths: list[int], peak_tflops: float, until: float
) -> None:
    """A step at each length: the first warms up, the second counts."""
    checkpointing = True
    learner = learner_of(
        model,
        base_weights=base_weights,
        precision="bfloat16",
        gradient_checkpointing=checkpointing,
        micro_batch_tokens=1,
    )
    device = learner.device.type
    version = 0
    with tempfile.TemporaryDirectory() as folder:
        for length in lengths:
            if time.monotonic() > until:
                tell(what="step", base=base_weights, tokens=length, left_out="no time left")
                continue
            groups = groups_of(shape, length)
            try:
                for _ in range(2):
                    version += 1
                    if device == "cuda":
                        torch.cuda.reset_peak_memory_stats()
                    metrics, skipped = learner.step(groups, version, Path(folder) / str(version))
                    assert not skipped, skipped
            except torch.OutOfMemoryError as error:
                tell(what="step", base=base_weights, tokens=length, failed=str(error).splitlines()[0])
                release()
                continue
            load = learner_load(
                learner.settings,
                length,
                device=device,
                weights=base_weights,
                autocast=learner.autocast,
                checkpointing=checkpointing,
            )
            plan = learner_memory(shape, replace(load, sampled=length // 2))
            done = 6 * shape.parameters * 2 * length  # Forward, again, and backward to the inputs.
            rate = done / metrics["seconds"] / 1e12
            # Torch counts its own tensors; the plan's runtime part is what lies beside them.
            planned = (plan.total - plan.runtime) / 2**20
            tell(
                what="step",
                base=base_weights,
                tokens=length,
                tokens_per_s=round(metrics["tokens_per_s"], 1),
                share_of_matmul_peak=round(rate / peak_tflops, 3),
                peak_mb=round(metrics["peak_memory_mb"]),
                planned_mb=round(planned),
                planned_to_peak=round(planned / metrics["peak_memory_mb"], 3) if device == "cuda" else None,
                seconds=round(metrics["seconds"], 2),
                parts_mb={name: round(value / 2**20) for name, value in asdict(plan).items()},
            )
    del learner
    release()


def compare(folder: Path, device: str) -> None:
    """Loss and gradients of the device in bfloat16 beside the CPU in float32: the same small model and rows."""
    save_model(SMALL, folder, "cpu")
    groups = groups_of(SMALL, 512)
    results = []
    for settings in (
        {"device": "cpu", "precision": "float32", "base_weights": "float32"},
        {"device": device, "precision": "bfloat16", "base_weights": "bfloat16"},
    ):
        learner = learner_of(folder, **settings)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in learner.parameters:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
        rows = train_rows(advantages_of(groups, scale=True))
        loss = learner.accumulate_gradients(rows, learner.flat_tokens(rows, several=False), Sums())
        results.append((loss, torch.cat([parameter.grad.flatten().float().cpu() for parameter in learner.parameters])))
    (exact, left), (loss, right) = results
    tell(
        what="against float32 on the CPU",
        device=device,
        loss=loss,
        loss_cpu=exact,
        gradient_cosine=round(float(torch.nn.functional.cosine_similarity(left, right, dim=0)), 5),
        gradient_relative_error=round(float((left - right).norm() / left.norm()), 5),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a tiny shape on the CPU")
    arguments = parser.parse_args()
    if not arguments.smoke and not torch.cuda.is_available():
        print("no CUDA device here; --smoke runs the same code with a tiny shape on the CPU", file=sys.stderr)
        return 1
    until = time.monotonic() + LIMIT_S
    device = "cpu" if arguments.smoke else "cuda"
    name = "the CPU" if arguments.smoke else torch.cuda.get_device_name()
    measured = speed()
    tell(what="device", name=name, torch=torch.__version__, cuda=torch.version.cuda, **measured)
    shape, lengths = (TINY, [64, 256, 512]) if arguments.smoke else (KNOWN["qwen2.5-7b"], [2048, 8192, 16_384])
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder) / "small", device)
        save_model(shape, Path(folder) / "model", device)
        tell(what="model", parameters=shape.parameters)
        for base_weights in ("bfloat16", "nf4"):
            measure(shape, Path(folder) / "model", base_weights, lengths, measured["tflops"], until)
    return 0


if __name__ == "__main__":
    sys.exit(main())
