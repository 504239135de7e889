"""What the gateway costs: time added to a call, and the share of the engine's tokens per second that is left.

`added_latency`: an engine that answers at once (a fake, named so), so a call's whole time is client, HTTP,
rendering and recording. Short rollouts as the tiny policy's, and long ones (a prompt of thousands of
tokens, 40 turns) as those of a big harness.
`throughput`: the transformers engine with a random model of the tiny policy's shape; 16 rollouts at once
through the gateway, then the very same prompts handed to the engine directly (with one early token
exchanged, so that no cached prefix helps). Prints one JSON line per measurement. `python bench/gateway.py`
"""

import asyncio
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tac_rl.agents.chat_client import ChatClient
from tac_rl.agents.prompt import SYSTEM_PROMPT, TOOLS
from tac_rl.config.engine import EngineSection
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.serving.base import Completion, Engine, Sampling

TINY = Path(__file__).parents[1] / "tac_rl" / "policies" / "tiny"
ROLLOUTS, TURNS, ROUNDS = 16, 6, 5
WORDS = ("report", "sum", "amount", "notes.txt", "42", "cat", "orders", "done", "total:", "7.50")


@dataclass(frozen=True)
class Shape:
    """How long a rollout's messages are, in words."""

    name: str
    rollouts: int
    turns: int
    system: int
    output: int


SHAPES = (
    Shape("tiny", rollouts=40, turns=6, system=0, output=12),
    Shape("long", rollouts=4, turns=40, system=3000, output=200),
)


class InstantFakeEngine:
    """Answers at once, always with the same tool call."""

    kind = "instant fake"
    model_path = TINY

    def __init__(self, renderer: Renderer) -> None:
        call = {"name": "bash", "arguments": {"command": "cat notes.txt | sort > out.txt"}}
        text = f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
        prompt = renderer.prompt_ids([{"role": "user", "content": "."}], None)
        whole = renderer.prompt_ids(
            [{"role": "user", "content": "."}, {"role": "assistant", "content": text}], None
        )
        # The template's own tokens of the turn; the last of them open the next turn.
        end = whole.index(renderer.stop_token_ids[0], len(prompt))
        self._ids = tuple(whole[len(prompt) : end + 1])

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        return Completion(self._ids, (-0.1,) * len(self._ids), "stop")


class LoggingEngine:
    """Passes calls on to a real engine and keeps what it was asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.kind, self.model_path = engine.kind, engine.model_path
        self.calls: list[tuple[tuple[int, ...], Sampling]] = []

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        self.calls.append((tuple(prompt_ids), sampling))
        return await self._engine.generate(prompt_ids, sampling, version)


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


async def rollout(
    gateway: Gateway, shape: Shape, rng: random.Random, sampling: Sampling, latencies: list[float]
) -> int:
    """One rollout as the built-in agent would make it, without a sandbox; how many tokens were sampled."""
    session = await gateway.open(f"r{rng.random()}", version=0, sampling=sampling, context_limit=1 << 20)
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": f"{SYSTEM_PROMPT} {words(rng, shape.system)}".strip()},
        {"role": "user", "content": words(rng, 40)},
    ]
    async with ChatClient(session.endpoint, TOOLS, call_timeout_s=300) as client:
        for _ in range(shape.turns):
            started = time.perf_counter()
            reply = await client.complete(messages, seconds_left=300)
            latencies.append(time.perf_counter() - started)
            messages += [reply.message, {"role": "tool", "content": words(rng, shape.output)}]
    recording = await gateway.close(session)
    assert len(recording.rows) == 1, "continuity is broken"
    return sum(recording.rows[0].sampled)


async def added_latency(renderer: Renderer) -> None:
    gateway = Gateway(InstantFakeEngine(renderer), renderer)  # type: ignore[arg-type]
    await gateway.start()
    for shape in SHAPES:
        rng, latencies = random.Random(shape.name), list[float]()
        await rollout(gateway, shape, rng, Sampling(), [])
        for _ in range(shape.rollouts):
            await rollout(gateway, shape, rng, Sampling(), latencies)
        cuts = statistics.quantiles(latencies, n=100)
        tell(
            "added_latency", shape=shape.name, calls=len(latencies), p50_ms=ms(cuts[49]), p99_ms=ms(cuts[98])
        )
    await gateway.stop()


async def throughput(renderer: Renderer, engine: Engine) -> None:
    shape = Shape("tiny", rollouts=ROLLOUTS, turns=TURNS, system=0, output=12)
    shares = []
    for round_number in range(ROUNDS + 1):
        logging_engine = LoggingEngine(engine)
        gateway = Gateway(logging_engine, renderer)  # type: ignore[arg-type]
        await gateway.start()
        started = time.perf_counter()
        tokens = sum(
            await asyncio.gather(
                *(
                    rollout(
                        gateway,
                        shape,
                        random.Random(f"{round_number} {number // 8}"),  # groups of 8 share a prompt
                        Sampling(max_tokens=48, seed=1000 * round_number + number),
                        [],
                    )
                    for number in range(shape.rollouts)
                )
            )
        )
        through_gateway = tokens / (time.perf_counter() - started)
        await gateway.stop()
        direct = await replay(engine, logging_engine.calls)
        if round_number == 0:
            continue  # warming up
        shares.append(through_gateway / direct)
        tell(
            "throughput_round",
            engine=engine.kind,
            rollouts=ROLLOUTS,
            gateway_tokens_s=round(through_gateway),
            direct_tokens_s=round(direct),
            share=round(shares[-1], 3),
        )
    tell(
        "throughput", engine=engine.kind, rollouts=ROLLOUTS, median_share=round(statistics.median(shares), 3)
    )


async def replay(engine: Engine, calls: Sequence[tuple[tuple[int, ...], Sampling]]) -> float:
    """Tokens per second of the engine alone for these calls, each rollout's one after the other."""
    chains: list[list[tuple[tuple[int, ...], Sampling]]] = []
    for prompt, sampling in calls:
        for chain in chains:
            last = chain[-1][0]
            if prompt[: len(last)] == last and len(prompt) > len(last):
                chain.append((prompt, sampling))
                break
        else:
            chains.append([(prompt, sampling)])

    async def run(chain: Sequence[tuple[tuple[int, ...], Sampling]]) -> int:
        sampled = 0
        for prompt, sampling in chain:
            completion = await engine.generate((prompt[0], prompt[0], *prompt[2:]), sampling, 0)
            sampled += len(completion.token_ids)
        return sampled

    started = time.perf_counter()
    tokens = sum(await asyncio.gather(*(run(chain) for chain in chains)))
    return tokens / (time.perf_counter() - started)


def ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


def tell(measure: str, **numbers: object) -> None:
    print(json.dumps({"bench": "gateway", "measure": measure, **numbers}), flush=True)


def save_random_model(folder: Path) -> None:
    """A model of the tiny policy's shape with its tokenizer; what it says doesn't matter here."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shutil.copytree(TINY, folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    vocabulary = len(json.loads((TINY / "tokenizer.json").read_text())["model"]["vocab"]) + 64
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)


async def run_all(renderer: Renderer, model: Path) -> None:
    from tac_rl.serving.transformers_engine import TransformersEngine

    await added_latency(renderer)
    engine = TransformersEngine(model, EngineSection())
    try:
        await engine.start()
        await throughput(renderer, engine)
    finally:
        await engine.stop()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        save_random_model(model)
        asyncio.run(run_all(Renderer.from_path(model), model))


if __name__ == "__main__":
    main()
