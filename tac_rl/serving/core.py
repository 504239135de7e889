"""The transformers engine's core: commands in, replies out, around one `BatchLoop`.

It runs in a process of its own (`worker.py`) or in a thread, with the same commands. A command is a
JSON-able dict with `op` and `id`; its reply has the same `id` and either `ok` or `error` and `message`.
"""

import queue
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tac_rl.errors import AdapterError, EngineError
from tac_rl.serving.adapters import check_adapter, read_deltas
from tac_rl.serving.base import Completion, Sampling
from tac_rl.serving.batching import BatchLoop
from tac_rl.serving.compact import CompactModel, is_supported
from tac_rl.serving.forward import ForwardModel, kv_geometry
from tac_rl.serving.generic import GenericModel
from tac_rl.serving.model_folder import linear_shapes

Message = dict[str, Any]
Inbox = queue.SimpleQueue[Message | None]
"""Commands; None ends the core."""


@dataclass(frozen=True)
class CoreSettings:
    """What the core needs to know, as plain values (it crosses a process border); see `config.engine`."""

    model_path: str
    length: int
    """Tokens of prompt and completion together."""
    device: str = "auto"
    dtype: str = "float32"
    threads: int = 1
    max_batch: int = 64
    cache_slots: int = 160
    kv_cache_mb: int = 2048
    prefill_tokens: int = 1024


def load_model(settings: CoreSettings) -> tuple[ForwardModel, int]:
    """The model and how many slots it has. Raises `EngineError` naming the fix."""
    from transformers import AutoModelForCausalLM

    path = Path(settings.model_path)
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=getattr(torch, settings.dtype), local_files_only=True
        )
        model = model.to(device).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineError(f"{path}: the model can't be loaded: {error}") from error
    layers, kv_heads, head_dim = kv_geometry(model.config)
    slot_bytes = 2 * layers * kv_heads * head_dim * settings.length * next(model.parameters()).element_size()
    slots = min(settings.cache_slots, (settings.kv_cache_mb << 20) // slot_bytes)
    if slots < 1:
        raise EngineError(
            f"engine.kv_cache_mb is {settings.kv_cache_mb}, but one sequence of {settings.length} tokens needs "
            f"{slot_bytes / 2**20:.0f} MiB; raise it or lower engine.max_model_len"
        )
    kind = CompactModel if is_supported(model.config) else GenericModel
    return kind(model, slots, settings.length), slots


class Core:
    """Answers commands until told to stop."""

    def __init__(self, settings: CoreSettings) -> None:
        torch.set_num_threads(settings.threads)
        model, slots = load_model(settings)
        self._shapes = linear_shapes(Path(settings.model_path))
        self._loop = BatchLoop(
            model,
            slots=slots,
            length=settings.length,
            max_batch=settings.max_batch,
            prefill_tokens=settings.prefill_tokens,
        )
        self.ready: Message = {
            "slots": slots,
            "forward": type(model).__name__,
            "device": str(model.storage.kv.device),
        }
        """What the core says about itself once it can take commands."""

    def run(self, inbox: Inbox, reply: Callable[[Message], None]) -> None:
        """Serve until the inbox gives None; waits without computing while there is no work."""
        while True:
            commands = [] if self._loop.has_work else [inbox.get()]
            while True:
                try:
                    commands.append(inbox.get_nowait())
                except queue.Empty:
                    break
            for command in commands:
                if command is None:
                    return
                self._answer(command, reply)
            if self._loop.has_work:
                for key, result in self._loop.step():
                    if isinstance(result, EngineError):
                        reply(_failure(key, result))
                    elif isinstance(result, Completion):
                        reply({"id": key, "ok": asdict(result)})
                    else:
                        reply({"id": key, "ok": {"logprobs": result}})

    def _answer(self, command: Message, reply: Callable[[Message], None]) -> None:
        key, op = command["id"], command["op"]
        try:
            if op == "generate":
                self._loop.generate(
                    key, command["prompt"], Sampling(**command["sampling"]), command["version"]
                )
                return
            if op == "score":
                self._loop.score(key, command["tokens"], command["version"])
                return
            if op == "cancel":
                self._loop.cancel(command["target"])
            elif op == "load":
                spec = check_adapter(Path(command["path"]), self._shapes)
                self._loop.add_version(command["version"], read_deltas(spec))
            elif op == "retire":
                self._loop.retire(command["version"])
            elif op != "ping":
                raise EngineError(f"unknown command {op!r}")
            reply({"id": key, "ok": {}})
        except (EngineError, AdapterError) as error:
            reply(_failure(key, error))


def _failure(key: int, error: Exception) -> Message:
    return {"id": key, "error": type(error).__name__, "message": str(error)}
