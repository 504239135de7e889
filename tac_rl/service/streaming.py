"""A finished completion in the form of OpenAI's stream: for clients that ask for `stream: true`.

The engine hands out whole completions, so the stream has one chunk with everything; it is for compatibility, not
for speed.
"""

import json
from collections.abc import Iterator
from typing import Any


def chunks(completion: dict[str, Any], *, with_usage: bool) -> Iterator[bytes]:
    """Server-sent events."""
    choice = completion["choices"][0]
    delta = {key: value for key, value in choice["message"].items() if value is not None}
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(delta["tool_calls"])]
    head = {key: completion[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    yield _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if with_usage:
        yield _event({**head, "choices": [], "usage": completion["usage"]})
    yield b"data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
