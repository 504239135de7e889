"""Fakes for tests of the gateway and of agents: an engine that says what a script tells it, and clients."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from tac_rl.config.gateway import GatewaySection
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.gateway.session import Session
from tac_rl.serving.base import Completion, Sampling

TINY = Path(__file__).parents[1] / "tac_rl" / "policies" / "tiny"

# The structure of Qwen2.5's template: a default system prompt, tools after it, the calls of a turn in
# <tool_call> tags, and the answers of neighbouring tool messages together in one user turn.
QWEN_STYLE_TEMPLATE = """\
{%- set first = messages[0] %}
{{- '<|im_start|>system\\n' + (first.content if first.role == 'system' else 'You help.') }}
{%- if tools %}
{{- '\\n\\nTools:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nCall them in <tool_call></tool_call> tags.' }}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- for message in messages %}
{%- set plain = message.role == 'assistant' and not message.tool_calls %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) or plain %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
{%- for call in message.tool_calls %}
{%- set call = call.function %}
{{- '\\n<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
{{- call.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

CORPUS = [
    "<tool_call> name arguments command bash echo ls cat the file report done 0123456789",
    '{"name": "bash", "arguments": {"command": "cat notes.txt | sort > out.txt"}}',
    "user assistant system tool response: write the sum of the column amount to total.txt",
]


@cache
def qwen_style_tokenizer() -> Any:
    """A byte-level BPE made on the spot, with the special tokens of Qwen2.5."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS * 4, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens(
        [
            AddedToken(t, special=True, normalized=False)
            for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
        ]
    )
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("<tool_call>", "</tool_call>")])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    wrapped.chat_template = QWEN_STYLE_TEMPLATE
    return wrapped


@cache
def tiny_tokenizer() -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(str(TINY), local_files_only=True)


TOKENIZERS: dict[str, Callable[[], Any]] = {"qwen_style": qwen_style_tokenizer, "tiny": tiny_tokenizer}


def letter_by_letter(tokenizer: Any, text: str) -> list[int]:
    """A tokenisation of `text` that no tokenizer would choose: it survives only if nothing re-tokenises."""
    ids: list[int] = []
    for letter in text:
        ids.extend(tokenizer.encode(letter, add_special_tokens=False))
    return ids


class ScriptedEngine:
    """A fake engine: answers the n-th request with the n-th text of its script, one token a letter.

    A script item is a text (ended by the end-of-turn token), `cut(text)`, or an exception to raise. An
    empty script repeats `otherwise`.
    """

    kind = "scripted fake"
    model_path = TINY

    def __init__(self, tokenizer: Any, script: Sequence[Any] = (), otherwise: str = "done") -> None:
        self.tokenizer = tokenizer
        self.script = list(script)
        self.otherwise = otherwise
        self.prompts: list[tuple[int, ...]] = []
        self.completions: list[tuple[int, ...]] = []
        self.samplings: list[Sampling] = []
        self.versions: list[int] = []
        self.gate: asyncio.Event | None = None
        """If set, `generate` waits for it."""
        self.begun = asyncio.Event()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        item = self.script.pop(0) if self.script else self.otherwise
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(item, Exception):
            raise item
        text, was_cut = (item.text, True) if isinstance(item, cut) else (item, False)
        ids = letter_by_letter(self.tokenizer, text)
        if not was_cut:
            ids.append(self.tokenizer.convert_tokens_to_ids("<|im_end|>"))
        finish = "length" if was_cut or len(ids) > sampling.max_tokens else "stop"
        ids = ids[: sampling.max_tokens]
        self.prompts.append(tuple(prompt_ids))
        self.completions.append(tuple(ids))
        self.samplings.append(sampling)
        self.versions.append(version)
        logprobs = tuple(-0.001 * (len(self.completions) * 1000 + i) for i in range(len(ids)))
        return Completion(tuple(ids), logprobs, finish)  # type: ignore[arg-type]

    async def check(self) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def score(self, token_ids: Sequence[int], version: int) -> tuple[float, ...]:
        raise NotImplementedError

    async def load(self, adapter: Path, version: int) -> None:
        raise NotImplementedError

    async def retire(self, version: int) -> None:
        raise NotImplementedError

    def loaded_versions(self) -> frozenset[int]:
        return frozenset({0})


class cut:
    """A reply that ran into the token limit."""

    def __init__(self, text: str) -> None:
        self.text = text


@asynccontextmanager
async def opened(
    engine: ScriptedEngine,
    *,
    context_limit: int = 100_000,
    sampling: Sampling | None = None,
    max_calls: int | None = None,
    config: GatewaySection | None = None,
) -> AsyncIterator[tuple[Gateway, Session]]:
    """A running gateway with one session."""
    gateway = Gateway(engine, Renderer(engine.tokenizer), config)
    await gateway.start()
    try:
        session = await gateway.open(
            "r1",
            version=3,
            sampling=sampling or Sampling(max_tokens=4000),
            context_limit=context_limit,
            max_calls=max_calls,
        )
        yield gateway, session
    finally:
        await gateway.stop()


def call_text(name: str, arguments: Any) -> str:
    """A tool call as Qwen2.5 writes it."""
    dumped = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{dumped}\n</tool_call>"


def reserialised(message: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """An assistant message as another harness would send it back: same meaning, other text."""
    sent: dict[str, Any] = {"role": "assistant", "content": message.get("content")}
    text = sent["content"] or ""
    reasoned_first = text.rfind("<think>") <= len(text) - len(text.lstrip())
    if "</think>" in text and reasoned_first and rng.random() < 0.7:
        text = text.rpartition("</think>")[2].strip()
    if rng.random() < 0.5:
        text = text.strip() + rng.choice(["", " ", "\n"])
    choices: list[Any] = [text, [{"type": "text", "text": text}]]
    if not text.strip():
        choices = ["", None, text]
    sent["content"] = rng.choice(choices)
    if message.get("tool_calls"):
        sent["tool_calls"] = []
        for call in message["tool_calls"]:
            arguments = call["function"]["arguments"]
            try:
                value = json.loads(arguments)
            except ValueError:
                pass  # what it can't parse, it sends back verbatim
            else:
                arguments = json.dumps(
                    value,
                    sort_keys=rng.random() < 0.5,
                    indent=rng.choice([None, 2]),
                    ensure_ascii="\\ud8" in arguments
                    or rng.random() < 0.5,  # no client sends a lone surrogate
                )
            sent["tool_calls"].append(
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["function"]["name"], "arguments": arguments},
                }
            )
    elif rng.random() < 0.3:
        sent["tool_calls"] = []
    return sent
