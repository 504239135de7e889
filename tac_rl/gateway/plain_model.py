"""Chat completions for those who are no rollout: colleagues, judges, and users of `serve_part.py`.

Nothing said here is recorded or trained on, and calls have nothing to do with one another: each history is
rendered anew, sampled as its request asks, and forgotten.
"""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tac_rl.errors import EngineError
from tac_rl.gateway.messages import normalise
from tac_rl.gateway.protocol import (
    ApiError,
    ChatRequest,
    FinishReason,
    completion_body,
    parse_request,
    reply_message,
    room_for_reply,
)
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.toolcalls import Reply, parse_reply
from tac_rl.serving.base import Engine, Sampling


@dataclass(frozen=True)
class PlainModel:
    """One policy version as any OpenAI-compatible server offers a model."""

    engine: Engine
    renderer: Renderer
    version: int
    name: str
    """The model's name in answers."""
    context_limit: int
    """Tokens of prompt and reply together."""
    call_timeout_s: float
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def complete(self, body: Any) -> dict[str, Any]:
        """Answer one chat request; `ApiError` for every other answer."""
        request = parse_request(body)
        prompt_ids = self._prompt_ids(request)
        sampling = self._sampling(body, request, prompt_ids)
        try:
            async with asyncio.timeout(self.call_timeout_s):
                completion = await self.engine.generate(prompt_ids, sampling, self.version)
        except (EngineError, TimeoutError) as error:
            reason = str(error) or f"no completion within {self.call_timeout_s:g} s"
            raise ApiError(503, reason, code="engine_failed", kind="server_error") from error
        text = self.renderer.text(completion.token_ids)
        reply = parse_reply(text) if request.tools_allowed else Reply(text.strip())
        finish_reason: FinishReason = "tool_calls" if reply.calls else "stop"
        return completion_body(
            f"chatcmpl-{self.name}-{next(self._numbers)}",
            self.name,
            reply_message(reply, [next(self._numbers) for _ in reply.calls]),
            "length" if completion.finish_reason == "length" else finish_reason,
            len(prompt_ids),
            len(completion.token_ids),
        )

    def _prompt_ids(self, request: ChatRequest) -> list[int]:
        messages = [normalise(raw, index) for index, raw in enumerate(request.messages)]
        return self.renderer.prompt_ids(messages, request.tools)

    def _sampling(self, body: Mapping[str, Any], request: ChatRequest, prompt_ids: list[int]) -> Sampling:
        """As the request asks. Without a seed of its own, the same request gets the same answer all the same."""
        room = room_for_reply(prompt_ids, self.context_limit)
        seed = body.get("seed")
        if not isinstance(seed, int):
            digest = hashlib.blake2b(json.dumps(prompt_ids).encode(), digest_size=4).digest()
            seed = int.from_bytes(digest, "big") >> 1
        return Sampling(
            temperature=number_of(body, "temperature", 1.0, least=0.0, most=100.0),
            top_p=number_of(body, "top_p", 1.0, least=1e-6, most=1.0),
            max_tokens=min(room, request.max_tokens or room),
            stop_token_ids=self.renderer.stop_token_ids,
            seed=seed,
        )


def number_of(body: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    """The field of a request, or `default`; `ApiError` (400) where it is no number in these bounds."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ApiError.invalid(f"{name} must be a number from {least:g} to {most:g}", name)
    return float(value)
