"""The `transformers` engine: the embedded default, fast for small models on a CPU.

This side holds no weights. It numbers requests, waits for replies with a limit, and turns the death of
the core into an `EngineError` for every caller at once.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tac_rl.config.engine import EngineSection
from tac_rl.errors import AdapterError, EngineError
from tac_rl.serving.base import BASE_VERSION, Completion, Sampling
from tac_rl.serving.links import Message, ProcessLink, ThreadLink
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
        self._link: ProcessLink | ThreadLink | None = None
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._numbers = itertools.count(1)
        self._versions = {BASE_VERSION}
        self._dead = "the engine is not started"

    async def start(self) -> None:
        if self._link is not None:
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
        link = ProcessLink(self._logs) if config.placement == "process" else ThreadLink()
        try:
            async with asyncio.timeout(config.start_timeout_s):
                ready = await link.open(settings, self._on_reply, self._on_death)
        except TimeoutError as error:
            raise EngineError(
                f"the transformers engine did not start within {config.start_timeout_s:.0f} s "
                "(engine.start_timeout_s)"
            ) from error
        _LOG.info("engine: %s on %s, %s KV slots", ready["forward"], ready["device"], ready["slots"])
        self.context_length = length
        self._link, self._dead = link, ""
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
        link, self._link = self._link, None
        self._fail("the engine was stopped")
        if link is not None:
            await link.close()

    @property
    def process_id(self) -> int | None:
        """The engine's own process; None in a thread, or when not started."""
        return self._link.pid if isinstance(self._link, ProcessLink) else None

    # Requests ----------------------------------------------------------------------------------------

    async def _request(self, message: Message, limit_s: float | None = None) -> dict[str, Any]:
        if self._dead or self._link is None:
            raise EngineError(self._dead)
        key = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        limit_s = limit_s or self._config.request_timeout_s
        try:
            self._link.send({**message, "id": key})
            async with asyncio.timeout(limit_s):
                reply = await future
        except (TimeoutError, asyncio.CancelledError) as error:
            self._cancel(key)
            if isinstance(error, TimeoutError):
                raise EngineError(
                    f"the engine did not answer {message['op']!r} within {limit_s:.0f} s"
                ) from error
            raise
        finally:
            self._waiting.pop(key, None)
        if "error" in reply:
            raise (AdapterError if reply["error"] == "AdapterError" else EngineError)(reply["message"])
        answer: dict[str, Any] = reply["ok"]
        return answer

    def _cancel(self, key: int) -> None:
        """Free what a request holds that nobody waits for any more."""
        if self._link is not None and not self._dead:
            with contextlib.suppress(OSError):
                self._link.send({"op": "cancel", "id": next(self._numbers), "target": key})

    def _on_reply(self, message: Message) -> None:
        future = self._waiting.get(message["id"])
        if future is not None and not future.done():
            future.set_result(message)

    def _on_death(self, reason: str) -> None:
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self._dead = reason
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineError(reason))
