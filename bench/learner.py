"""The learner's speed and memory beside TRL's GRPOTrainer: same model, rows, precision and machine.

Each side runs in a process of its own and prints one JSON line: seconds and processor seconds per update (medians
of the measured ones), prompt and completion tokens per second, and peak resident memory. TRL's trainer is its own
training loop; only its generation is replaced, by the rows. Run as `python bench/learner.py`.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

ROLLOUTS, GROUP = 64, 8
VOCABULARY = 1024
WARM = 1


def save_model(folder: Path) -> int:
    """A random Qwen2 of about 4 million parameters; returns how many."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=5,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def make_groups() -> list[Any]:
    """Rows of 250 to 450 tokens: the group's prompt, then turns of which two fifths is sampled."""
    from tac_rl.learning.base import GradedRollout, Group, Row

    random_ = random.Random(0)
    flat = -float(torch.log(torch.tensor(float(VOCABULARY))))
    groups = []
    for group in range(ROLLOUTS // GROUP):
        prompt = [random_.randrange(VOCABULARY) for _ in range(random_.randint(140, 180))]
        rollouts = []
        for number in range(GROUP):
            sampled = [False] * len(prompt)
            while len(sampled) < 250 or (len(sampled) < 430 and random_.random() < 0.8):
                sampled += [True] * random_.randint(15, 35) + [False] * random_.randint(20, 50)
            row = Row(
                f"{group}-{number}",
                (*prompt, *(random_.randrange(VOCABULARY) for _ in sampled[len(prompt) :])),
                tuple(sampled),
                tuple(flat if flag else 0.0 for flag in sampled),
                0,
            )
            rollouts.append(GradedRollout(row.rollout_id, random_.random(), (row,)))
        groups.append(Group(str(group), "bench", tuple(rollouts)))
    return groups


class Clock:
    """Wall-clock and processor seconds between calls of `tick`."""

    def __init__(self) -> None:
        self.at: list[tuple[float, float]] = []

    def tick(self) -> None:
        self.at.append((time.perf_counter(), time.process_time()))

    def medians(self) -> tuple[float, float]:
        """Of the updates after the warm ones; processor time tells more on a machine that others use too."""
        pairs = list(pairwise(self.at))[WARM:]
        wall, processor = zip(*((b[0] - a[0], b[1] - a[1]) for a, b in pairs), strict=True)
        return statistics.median(wall), statistics.median(processor)


def report(side: str, precision: str, clock: Clock, tokens: int) -> None:
    median, processor = clock.medians()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        json.dumps(
            {
                "bench": "learner",
                "side": side,
                "precision": precision,
                "seconds_per_update": round(median, 3),
                "processor_seconds_per_update": round(processor, 3),
                "tokens": tokens,
                "tokens_per_s": round(tokens / median),
                "peak_memory_mb": round(peak),
            }
        ),
        flush=True,
    )


def run_ours(model: Path, precision: str, updates: int, micro_batch_tokens: int | None, loss: str) -> None:
    from tac_rl.config.learner import LearnerSection
    from tac_rl.learning.step import LearnerPlan, StepLearner

    given: dict[str, Any] = {"precision": precision, "loss": loss}
    given |= {"sft": {"min_reward": -1e9}, "dpo": {"min_margin": 1e-6}}  # all rows are learnt from
    if micro_batch_tokens:
        given["micro_batch_tokens"] = micro_batch_tokens
    groups = make_groups()
    learner = StepLearner(LearnerPlan(model, LearnerSection.model_validate(given), iterations=100, seed=0))
    clock = Clock()
    clock.tick()
    with tempfile.TemporaryDirectory() as folder:
        for version in range(1, WARM + updates + 1):
            learner.step(groups, version, Path(folder) / str(version))
            clock.tick()
    tokens = sum(len(rollout.rows[0].token_ids) for group in groups for rollout in group.rollouts)
    report(f"tac_rl {loss}", precision, clock, tokens)


def run_trl(model: Path, precision: str, updates: int, batch_size: int) -> None:
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from tac_rl.learning.advantages import advantages_of

    torch.set_num_threads(1)
    groups = make_groups()
    values = [value for part in advantages_of(groups, scale=True).advantages for value in part]
    rows = [rollout.rows[0] for group in groups for rollout in group.rollouts]

    def batch() -> dict[str, torch.Tensor]:
        """All rows as TRL lays them out: prompts padded on the left, completions on the right."""
        starts = [row.sampled.index(True) for row in rows]
        longest = max(starts)
        rest = max(len(row.token_ids) - start for row, start in zip(rows, starts, strict=True))
        made: dict[str, list[list[int]]] = {
            name: []
            for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "tool_mask")
        }
        for row, start in zip(rows, starts, strict=True):
            left, right = longest - start, rest - (len(row.token_ids) - start)
            made["prompt_ids"].append([0] * left + list(row.token_ids[:start]))
            made["prompt_mask"].append([0] * left + [1] * start)
            made["completion_ids"].append(list(row.token_ids[start:]) + [0] * right)
            made["completion_mask"].append([1] * (len(row.token_ids) - start) + [0] * right)
            made["tool_mask"].append([int(flag) for flag in row.sampled[start:]] + [0] * right)
        tensors = {name: torch.tensor(value) for name, value in made.items()}
        return {
            **tensors,
            "advantages": torch.tensor(values),
            "num_items_in_batch": tensors["tool_mask"].sum(),
        }

    class RowsTrainer(GRPOTrainer):  # type: ignore[misc,unused-ignore]
        """Trains on the rows in the place of generating."""

        def _generate_and_score_completions(self, inputs: Any) -> dict[str, torch.Tensor]:
            return batch()

    clock = Clock()

    class Ticks(TrainerCallback):  # type: ignore[misc,unused-ignore]
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            clock.tick()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.tick()

    words = {f"w{number}": number for number in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), pad_token="w0", eos_token="w1"
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = RowsTrainer(
            model=AutoModelForCausalLM.from_pretrained(model),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=batch_size,
                gradient_accumulation_steps=ROLLOUTS // batch_size,
                num_generations=GROUP,
                max_steps=WARM + updates,
                loss_type="dapo",
                beta=0.0,
                learning_rate=1e-3,
                bf16=precision == "bfloat16",
                gradient_checkpointing=False,
                use_cpu=True,
                save_strategy="no",
                report_to=[],
                logging_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_dict({"prompt": ["w2 w3"] * ROLLOUTS}),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[Ticks()],
        )
        trainer.train()
    report(f"trl (batch {batch_size})", precision, clock, sum(len(row.token_ids) for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=("bfloat16", "float32"), action="append")
    parser.add_argument("--side", choices=("tac_rl", "trl"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--micro-batch-tokens", type=int)
    parser.add_argument("--loss", default="grpo", help="of our side: grpo, sft, dpo, ...")
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--trl-batch-size", type=int, default=8)
    arguments = parser.parse_args()
    precisions = arguments.precision or ["bfloat16", "float32"]
    if arguments.side == "tac_rl":
        run_ours(
            arguments.model, precisions[0], arguments.updates, arguments.micro_batch_tokens, arguments.loss
        )
        return
    if arguments.side == "trl":
        run_trl(arguments.model, precisions[0], arguments.updates, arguments.trl_batch_size)
        return
    from tac_rl.learning.process import worker_environment

    trl_environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        parameters = save_model(Path(folder))
        print(json.dumps({"bench": "learner", "parameters": parameters, "rows": ROLLOUTS}), flush=True)
        for precision in precisions:
            for side, loss in (("tac_rl", "grpo"), ("tac_rl", "sft"), ("tac_rl", "dpo"), ("trl", "grpo")):
                command = [sys.executable, __file__, "--side", side, "--loss", loss, "--model", folder]
                command += ["--updates", str(arguments.updates)]
                subprocess.run(
                    [*command, "--precision", precision],
                    env=worker_environment(1) if side == "tac_rl" else trl_environment,
                    check=True,
                    timeout=600,
                )


if __name__ == "__main__":
    main()
