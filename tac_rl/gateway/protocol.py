"""OpenAI's chat completions on the wire: requests checked, replies and errors in OpenAI's shapes.

The session's sampling is what training needs, so `temperature`, `top_p`, `seed` and the penalties of a
request are ignored. What would change the meaning of the answer and is not supported is refused, never
ignored: streaming, `n` > 1, stop strings, log-probabilities, response formats, forced tool choices.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tac_rl.gateway.toolcalls import Reply

FinishReason = Literal["stop", "length", "tool_calls"]


class ApiError(Exception):
    """An answer other than 200, in OpenAI's error format."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    @classmethod
    def invalid(cls, message: str, param: str | None = None, code: str | None = None) -> "ApiError":
        return cls(400, message, param=param, code=code)

    @property
    def headers(self) -> dict[str, str]:
        """Tells OpenAI's clients, which repeat 5xx answers on their own, that it would be in vain."""
        return {"x-should-retry": "false"} if self.status >= 500 else {}


@dataclass(frozen=True)
class ChatRequest:
    """What a request asks of the gateway."""

    messages: tuple[Any, ...]
    """As they came."""
    tools: tuple[dict[str, Any], ...] | None
    tools_allowed: bool
    """False for `tool_choice: "none"`: the tools stay in the prompt, calls stay text."""
    max_tokens: int | None
    unreadable_as_calls: bool = False
    """Tool calls that can't be read are delivered as calls with those arguments, not as text."""

    def tool_for_unreadable(self) -> str | None:
        """The tool that an unreadable call is delivered to where it names none; None where it stays text."""
        if not (self.unreadable_as_calls and self.tools_allowed and self.tools):
            return None
        return str(self.tools[0]["function"].get("name", ""))


def parse_request(body: Any) -> ChatRequest:
    """Check a request's JSON; `ApiError` (400) names the field and the fix."""
    if not isinstance(body, Mapping):
        raise ApiError.invalid("the request body is not a JSON object")
    _refuse_unsupported(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError.invalid("messages must be a list with at least one message", "messages")
    tools = body.get("tools") or None
    if tools is not None and (
        not isinstance(tools, list)
        or not all(isinstance(tool, dict) and isinstance(tool.get("function"), dict) for tool in tools)
    ):
        raise ApiError.invalid("tools must be a list of {type: function, function: {...}}", "tools")
    return ChatRequest(
        messages=tuple(messages),
        tools=None if tools is None else tuple(tools),
        tools_allowed=tools is not None and _tools_allowed(body.get("tool_choice")),
        max_tokens=_max_tokens(body),
        unreadable_as_calls=_unreadable_as_calls(body.get("unreadable_calls")),
    )


def _unreadable_as_calls(wanted: Any) -> bool:
    if wanted in (None, "text", "calls"):
        return bool(wanted == "calls")
    raise ApiError.invalid(f"unreadable_calls is {wanted!r}; use 'text' or 'calls'", "unreadable_calls")


def room_for_reply(prompt_ids: Sequence[int], context_limit: int) -> int:
    """Tokens that a reply may have; `ApiError` (400) where the prompt leaves none."""
    room = context_limit - len(prompt_ids)
    if room < 1:
        raise ApiError.invalid(
            f"the prompt has {len(prompt_ids)} tokens; the context holds {context_limit}, "
            "and the reply needs at least one",
            "messages",
            "context_length_exceeded",
        )
    return room


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    if body.get("stream"):
        raise ApiError.invalid(
            "streaming is not supported: every call is recorded as one completion; send stream=false",
            "stream",
            "streaming_not_supported",
        )
    if body.get("n") not in (None, 1):
        raise ApiError.invalid("n must be 1: a rollout is one line of events", "n", "unsupported_value")
    for name, why in (
        ("stop", "stop strings would cut the reply that is trained on"),
        ("logprobs", "log-probabilities are recorded by the gateway, not sent"),
        ("top_logprobs", "log-probabilities are recorded by the gateway, not sent"),
        ("functions", "use tools"),
        ("function_call", "use tool_choice"),
    ):
        if body.get(name):
            raise ApiError.invalid(f"{name} is not supported: {why}", name, "unsupported_parameter")
    wanted = body.get("response_format")
    if wanted is not None and not (isinstance(wanted, Mapping) and wanted.get("type") == "text"):
        raise ApiError.invalid(
            "response_format other than text is not supported: constrained decoding is not what the policy samples",
            "response_format",
            "unsupported_parameter",
        )


def _tools_allowed(choice: Any) -> bool:
    if choice in (None, "auto"):
        return True
    if choice == "none":
        return False
    raise ApiError.invalid(
        f"tool_choice {choice!r} is not supported: use 'auto' or 'none'", "tool_choice", "unsupported_value"
    )


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ApiError.invalid(f"{name} must be a positive integer", name)
        return value
    return None


def reply_message(reply: Reply, numbers: Sequence[int]) -> dict[str, Any]:
    """A reply as OpenAI's assistant message. `numbers`, one a call, make the calls' ids: 9 letters and
    digits, which is what the narrowest chat templates accept."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.content or None}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": f"call{number:05d}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in zip(numbers, reply.calls, strict=True)
        ]
    elif message["content"] is None:
        message["content"] = ""
    return message


def completion_body(
    completion_id: str,
    model: str,
    message: Mapping[str, Any],
    finish_reason: FinishReason,
    prompt_tokens: int,
    completion_tokens: int,
) -> dict[str, Any]:
    """A chat completion with one choice."""
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def models_body(names: Sequence[str]) -> dict[str, Any]:
    """The list of models, as OpenAI has it."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "tac-rl"} for name in names],
    }
