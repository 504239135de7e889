"""The `transformers` engine: the embedded default, fast for small models on a CPU.

This side holds no weights. The core is reached over a link (`links.py`); its death is an `EngineError` for every
caller at once (`calls.py`).
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tac_rl.config.engine import EngineSection
from tac_rl.errors import EngineError
from tac_rl.serving.base import BASE_VERSION, Completion, Sampling
from tac_rl.serving.calls import Calls
from tac_rl.serving.links import Link, Message, ProcessLink, ServiceLink, ThreadLink
from tac_rl.serving.model_folder import context_length

_LOG = logging.getLogger(__name__)
_CHECK_SECONDS = 30.0


class TransformersEngine:
    """An `Engine` over a model folder; see `tac_rl.serving.base` for the methods.

    `start` after a death (or `stop`) starts afresh, with the base only. `logs`: the folder in which the
    engine's process writes `engine.log`.
    """

    kind = "transformers"

    def __init__(
        self, model_path: Path, config: EngineSection | None = None, logs: Path | None = None
    ) -> None:
        self.model_path = Path(model_path)
        self._logs = logs
        self._config = config or EngineSection()
        self.context_length = 0
        """Tokens of prompt and completion together; known after `start`."""
        self._calls = Calls("the engine", EngineError)
        self._versions = {BASE_VERSION}

    async def start(self) -> None:
        await self.stop()
        config = self._config
        length = context_length(self.model_path, config.max_model_len)
        settings = {
            "model_path": str(self.model_path.resolve()),
            "device": config.device,
            "dtype": config.dtype,
            "threads": config.threads,
            "length": length,
            "max_batch": config.max_batch,
            "cache_slots": config.cache_slots,
            "kv_cache_mb": config.kv_cache_mb,
            "prefill_tokens": config.prefill_tokens,
        }
        ready = await self._calls.open(
            self._make_link(), settings, limit_s=config.start_timeout_s, setting="engine.start_timeout_s"
        )
        _LOG.info("engine: %s on %s, %s KV slots", ready["forward"], ready["device"], ready["slots"])
        self.context_length = length
        self._versions = {BASE_VERSION}

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        reply = await self._request(
            {"op": "generate", "prompt": list(prompt_ids), "sampling": asdict(sampling), "version": version}
        )
        return Completion(tuple(reply["token_ids"]), tuple(reply["logprobs"]), reply["finish_reason"])

    async def score(self, token_ids: Sequence[int], version: int) -> tuple[float, ...]:
        reply = await self._request({"op": "score", "tokens": list(token_ids), "version": version})
        return tuple(reply["logprobs"])

    async def load(self, adapter: Path, version: int) -> None:
        await self._request({"op": "load", "path": str(Path(adapter).resolve()), "version": version})
        self._versions.add(version)

    async def retire(self, version: int) -> None:
        await self._request({"op": "retire", "version": version})
        self._versions.discard(version)

    def loaded_versions(self) -> frozenset[int]:
        return frozenset(self._versions)

    async def check(self) -> None:
        await self._request({"op": "ping"}, limit_s=_CHECK_SECONDS)

    async def stop(self) -> None:
        await self._calls.close()

    @property
    def process_id(self) -> int | None:
        """The engine's own process; None in a thread or a service, or when not started."""
        return self._calls.link.pid if isinstance(self._calls.link, ProcessLink) else None

    def _make_link(self) -> Link:
        if self._config.socket is not None:
            return ServiceLink(self._config.socket, "engine.socket", EngineError)
        return ProcessLink(self._logs) if self._config.placement == "process" else ThreadLink()

    async def _request(self, message: Message, limit_s: float | None = None) -> dict[str, Any]:
        return await self._calls.request(message, limit_s or self._config.request_timeout_s)
