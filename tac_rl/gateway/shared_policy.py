"""One endpoint for all rollouts of a caller that doesn't tell them apart: code written for ART.

A session (`session.py`) knows its rollout and records it. Here the caller records: every choice carries what training
needs, the exact `prompt_token_ids` and `token_ids` with their log-probabilities. Token continuity holds all the same:
a history whose earlier turns were sampled here continues their tokens, whoever sends it. The same request sent twice is
two draws, since the rollouts of a group begin alike.
"""

import asyncio
import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from tac_rl.errors import EngineError
from tac_rl.gateway.messages import Message, extend_digest, history_digests, normalise
from tac_rl.gateway.plain_model import number_of
from tac_rl.gateway.protocol import (
    ApiError,
    ChatRequest,
    completion_body,
    models_body,
    parse_request,
    reply_message,
    room_for_reply,
)
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.toolcalls import Reply, parse_reply
from tac_rl.serving.base import Completion, Engine, Sampling

REMEMBERED_TOKENS = 20_000_000
"""Tokens of sampled turns that are kept for continuing them; the oldest go first."""
ALWAYS_GIVEN = ("logprobs", "top_logprobs", "return_token_ids")
"""Fields of a request that change nothing: a choice always has them (but for alternatives to the sampled token)."""


class SharedPolicy:
    """Policy versions by name, behind one URL and key."""

    def __init__(
        self, engine: Engine, renderer: Renderer, *, context_limit: int, call_timeout_s: float, seed: int
    ) -> None:
        """`context_limit`: tokens of prompt and reply together; `seed`: of all draws whose request has none."""
        self._engine = engine
        self._renderer = renderer
        self._context_limit = context_limit
        self._call_timeout_s = call_timeout_s
        self._seed = seed
        self._versions: dict[str, int] = {}
        self._numbers = itertools.count()
        self._turns: OrderedDict[bytes, list[tuple[frozenset[str], tuple[int, ...]]]] = OrderedDict()
        """By the digest of a history that ends with a sampled turn: its tool calls' ids, and all its tokens."""
        self._remembered = 0

    def serve(self, names: Mapping[str, int]) -> None:
        """From now on these are the models' names and their policy versions; all others are unknown."""
        self._versions = dict(names)

    def models(self) -> dict[str, Any]:
        """The list of models, as OpenAI has it."""
        return models_body(list(self._versions))

    async def complete(self, body: Any) -> dict[str, Any]:
        """Answer one chat request; `ApiError` for every other answer."""
        request = parse_request(_plain(body))
        name = body.get("model")
        version = self._versions.get(name)
        if version is None:
            raise ApiError(
                404,
                f"there is no model {str(name)[:80]!r}; served are {', '.join(self._versions)}. "
                "Ask the model for its inference name before every rollout: it changes with each step",
                code="model_not_found",
                param="model",
            )
        messages = [normalise(raw, index) for index, raw in enumerate(request.messages)]
        digests = list(history_digests(messages, request.tools))
        prompt_ids = self._prompt_ids(messages, digests, request)
        number = next(self._numbers)
        sampling = self._sampling(body, request, prompt_ids, number)
        try:
            async with asyncio.timeout(self._call_timeout_s):
                completion = await self._engine.generate(prompt_ids, sampling, version)
        except (EngineError, TimeoutError) as error:
            reason = str(error) or f"no completion within {self._call_timeout_s:g} s"
            raise ApiError(503, reason, code="engine_failed", kind="server_error") from error
        return self._answer(
            str(name), version, request, digests[-1], prompt_ids, sampling, completion, number
        )

    def _prompt_ids(
        self, messages: Sequence[Message], digests: Sequence[bytes], request: ChatRequest
    ) -> list[int]:
        prompt_ids: list[int] | None = None
        for position in range(len(messages) - 1, -1, -1):
            tokens = self._recall(digests[position], messages[position])
            if tokens is not None:
                new = self._renderer.suffix_ids(messages[position + 1 :], request.tools, tokens[-1])
                prompt_ids = [*tokens, *new]
                break
        if prompt_ids is None:
            prompt_ids = self._renderer.prompt_ids(messages, request.tools)
        return prompt_ids

    def _sampling(
        self, body: Mapping[str, Any], request: ChatRequest, prompt_ids: list[int], number: int
    ) -> Sampling:
        room = room_for_reply(prompt_ids, self._context_limit)
        seed = body.get("seed")
        if not isinstance(seed, int):
            digest = hashlib.blake2b(f"{self._seed}/{number}".encode(), digest_size=4).digest()
            seed = int.from_bytes(digest, "big") >> 1
        return Sampling(
            temperature=number_of(body, "temperature", 1.0, least=0.0, most=100.0),
            top_p=number_of(body, "top_p", 1.0, least=1e-6, most=1.0),
            max_tokens=min(room, request.max_tokens or room),
            stop_token_ids=self._renderer.stop_token_ids,
            seed=seed,
        )

    def _answer(
        self,
        name: str,
        version: int,
        request: ChatRequest,
        digest: bytes,
        prompt_ids: list[int],
        sampling: Sampling,
        completion: Completion,
        number: int,
    ) -> dict[str, Any]:
        text = self._renderer.text(completion.token_ids)
        reply = parse_reply(text) if request.tools_allowed else Reply(text.strip())
        message = reply_message(reply, [next(self._numbers) for _ in reply.calls])
        self._remember(
            extend_digest(digest, normalise(message, 0)), message, (*prompt_ids, *completion.token_ids)
        )
        finish = "length" if completion.finish_reason == "length" else "tool_calls" if reply.calls else "stop"
        body = completion_body(
            f"chatcmpl-{number}", name, message, finish, len(prompt_ids), len(completion.token_ids)  # type: ignore[arg-type]
        )  # fmt: skip
        choice = body["choices"][0]
        # The field names are vLLM's, where it has them.
        choice["logprobs"] = {
            "content": [
                {"token": f"token_id:{token}", "logprob": logprob, "bytes": None, "top_logprobs": []}
                for token, logprob in zip(completion.token_ids, completion.logprobs, strict=True)
            ],
            "refusal": None,
        }
        choice["token_ids"] = list(completion.token_ids)
        choice["prompt_token_ids"] = prompt_ids
        choice["policy_version"] = version
        choice["temperature"], choice["top_p"] = sampling.temperature, sampling.top_p
        return body

    def _recall(self, digest: bytes, message: Message) -> tuple[int, ...] | None:
        candidates = self._turns.get(digest)
        if not candidates:
            return None
        self._turns.move_to_end(digest)
        # Two rollouts may have said the same in other tokens; the ids of their calls tell them apart.
        ids = _call_ids(message)
        return next((tokens for known, tokens in reversed(candidates) if known == ids), candidates[-1][1])

    def _remember(self, digest: bytes, message: Message, tokens: tuple[int, ...]) -> None:
        self._turns.setdefault(digest, []).append((_call_ids(message), tokens))
        self._turns.move_to_end(digest)
        self._remembered += len(tokens)
        while self._remembered > REMEMBERED_TOKENS and len(self._turns) > 1:
            _, gone = self._turns.popitem(last=False)
            self._remembered -= sum(len(old) for _, old in gone)


def _plain(body: Any) -> Any:
    if not isinstance(body, Mapping):
        return body
    if body.get("top_logprobs"):
        raise ApiError.invalid("top_logprobs must be 0: only the sampled tokens' are known", "top_logprobs")
    if body.get("chat_template_kwargs"):
        raise ApiError.invalid("chat_template_kwargs are not supported", "chat_template_kwargs")
    return {name: value for name, value in body.items() if name not in ALWAYS_GIVEN}


def _call_ids(message: Message) -> frozenset[str]:
    return frozenset(str(call.get("id", "")) for call in message.get("tool_calls") or ())
