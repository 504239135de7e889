"""One rollout's conversation with one policy version: token continuity, retries, limits, recording."""

import asyncio
import hashlib
import itertools
import secrets
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace

from tac_rl.errors import EngineError
from tac_rl.gateway.keys import accepts
from tac_rl.gateway.messages import extend_digest, history_digests, is_object, normalise, with_calls
from tac_rl.gateway.protocol import ApiError, ChatRequest, reply_message, room_for_reply
from tac_rl.gateway.recording import Call, CallRecord, Recording, record
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.toolcalls import Reply, parse_reply
from tac_rl.serving.base import Completion, Engine, Sampling
from tac_rl.serving.endpoint import Endpoint

__all__ = ["CallRecord", "Recording", "Session"]


class Session:
    """Made by `Gateway.open`; an agent sees only its `endpoint`.

    A history that continues a recorded reply continues its tokens; any other begins a new row. The same
    call sent again is the same call: it gets the same answer, and while that is being made it waits for
    it. So a client that repeats a call after a broken connection never has a token sampled twice.
    """

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        *,
        rollout_id: str,
        version: int,
        sampling: Sampling,
        context_limit: int,
        max_calls: int,
        call_timeout_s: float,
        model: str,
        url_of: Callable[[str], str],
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        self.rollout_id = rollout_id
        self.version = version
        self.endpoint = Endpoint(
            base_url=url_of(self.id), api_key=f"tac-{secrets.token_urlsafe(24)}", model=model
        )
        self.infrastructure_error: str | None = None
        self.closed = False
        self._engine = engine
        self._renderer = renderer
        self._sampling = sampling
        self._context_limit = context_limit
        self._max_calls = max_calls
        self._call_timeout_s = call_timeout_s
        self._calls: list[Call] = []
        self._by_request: dict[tuple[bytes, bool, int | None, bool], Call] = {}
        self._by_reply: dict[bytes, Call] = {}
        """Calls by the digest of the history that ends with their reply."""
        self._impossible: dict[str, tuple[str, str]] = {}
        """Name and arguments, by id, of calls that no harness can carry out as they are (arguments that are no JSON
        object, a tool that isn't offered). Harnesses repair or replace them in later histories, each in its own way,
        so these calls are known by the id that they got here."""
        self._next_tool_call = itertools.count()

    def accepts(self, authorization: str) -> bool:
        """Whether an `Authorization` header carries this session's key."""
        return accepts((self.endpoint.api_key,), authorization)

    async def complete(self, request: ChatRequest) -> Call:
        """Answer one chat request: the call, with its reply. Raises `ApiError` for every other answer."""
        self._check_alive()
        call = self._find_or_begin(request)
        task = call.task
        assert task is not None
        try:
            # A client that hangs up doesn't end the call: when it comes back, the answer is there.
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
        self._check_alive()
        return call

    async def close(self) -> Recording:
        """Refuse further calls, give up those in flight, and say what was recorded."""
        self.closed = True
        waiting = [call.task for call in self._calls if call.task is not None and not call.task.done()]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return record(self.rollout_id, self.version, self._calls, self.infrastructure_error)

    def _check_alive(self) -> None:
        if self.closed:
            raise ApiError(410, "this rollout is over; its endpoint is closed", code="rollout_closed")
        if self.infrastructure_error is not None:
            raise ApiError(503, self.infrastructure_error, code="engine_failed", kind="server_error")

    def _find_or_begin(self, request: ChatRequest) -> Call:
        messages = [normalise(raw, index) for index, raw in enumerate(request.messages)]
        told = [with_calls(message, self._impossible) for message in messages]
        digests = list(history_digests(told, request.tools))
        key = (digests[-1], request.tools_allowed, request.max_tokens, request.unreadable_as_calls)
        known = self._by_request.get(key)
        if known is not None:
            known.requests += 1
            return known
        if len(self._calls) >= self._max_calls:
            raise ApiError.invalid(
                f"this rollout has made its {self._max_calls} model calls", code="max_calls_exceeded"
            )
        parent: Call | None = None
        begin = 0
        for position in range(len(messages) - 1, -1, -1):
            if (found := self._by_reply.get(digests[position])) is not None:
                parent, begin = found, position + 1
                break
        if parent is None:
            new_ids = self._renderer.prompt_ids(messages, request.tools)
        else:
            parent.delivered = True
            last = parent.completion_ids[-1] if parent.completion_ids else None
            new_ids = self._renderer.suffix_ids(messages[begin:], request.tools, last)
        call = Call(
            index=len(self._calls),
            parent=parent,
            messages=tuple(messages[begin:]),
            new_ids=tuple(new_ids),
            prompt_digest=digests[-1],
            seed=None,
            offers_tools=request.tools is not None,
        )
        prompt_ids = call.prompt_ids()
        call.seed = _seed_of(self._sampling.seed, prompt_ids)
        room = room_for_reply(prompt_ids, self._context_limit)
        sampling = replace(
            self._sampling,
            max_tokens=min(room, self._sampling.max_tokens, request.max_tokens or room),
            stop_token_ids=self._sampling.stop_token_ids or self._renderer.stop_token_ids,
            seed=call.seed,
        )
        self._calls.append(call)
        self._by_request[key] = call
        call.task = asyncio.create_task(
            self._generate(call, prompt_ids, sampling, request),
            name=f"{self.rollout_id} call {call.index}",
        )
        return call

    async def _generate(
        self, call: Call, prompt_ids: list[int], sampling: Sampling, request: ChatRequest
    ) -> None:
        """Fill in `call`. A failure fails the session: nobody can tell what the policy would have done."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._call_timeout_s):
                completion = await self._engine.generate(prompt_ids, sampling, self.version)
            call.engine_seconds = time.perf_counter() - started
            _check(completion)
            self._finish(call, completion, request)
        except TimeoutError:
            self.fail(f"the engine took more than {self._call_timeout_s:g} s for one call")
        except Exception as error:
            self.fail(f"{type(error).__name__}: {error}")
        finally:
            call.engine_seconds = call.engine_seconds or time.perf_counter() - started

    def _finish(self, call: Call, completion: Completion, request: ChatRequest) -> None:
        call.completion_ids = tuple(completion.token_ids)
        call.logprobs = tuple(completion.logprobs)
        text = self._renderer.text(call.completion_ids)
        reply = (
            parse_reply(text, request.tool_for_unreadable()) if request.tools_allowed else Reply(text.strip())
        )
        call.reply = reply_message(reply, [next(self._next_tool_call) for _ in reply.calls])
        offered = {tool["function"].get("name") for tool in request.tools or ()}
        for told, asked in zip(call.reply.get("tool_calls", ()), reply.calls, strict=True):
            if asked.name not in offered or not is_object(asked.arguments):
                self._impossible[told["id"]] = (asked.name, asked.arguments)
        call.finish_reason = "tool_calls" if reply.calls else "stop"
        if completion.finish_reason == "length":
            call.finish_reason = "length"
        digest = extend_digest(call.prompt_digest, normalise(call.reply, 0))
        self._by_reply[digest] = call

    def fail(self, reason: str) -> None:
        """Mark the rollout as failed by a part of ours; further calls are answered 503."""
        if self.infrastructure_error is None:
            self.infrastructure_error = reason


def _check(completion: Completion) -> None:
    if len(completion.token_ids) != len(completion.logprobs):
        raise EngineError(
            f"the engine sent {len(completion.token_ids)} tokens with {len(completion.logprobs)} log-probabilities"
        )


def _seed_of(seed: int | None, prompt_ids: Sequence[int]) -> int | None:
    """The seed of one call: turns of one rollout draw independently, and repeating a run repeats it.

    It follows from the prompt's tokens, so harnesses that show the policy the same draw the same.
    """
    if seed is None:
        return None
    mixed = hashlib.blake2b(array("q", prompt_ids).tobytes(), digest_size=4, key=str(seed).encode()).digest()
    return int.from_bytes(mixed, "big") >> 1
