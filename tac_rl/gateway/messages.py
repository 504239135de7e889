"""Chat messages: checked, brought to one shape for the template, and to one meaning for comparison.

Harnesses send an assistant turn back differently from how it was generated: arguments dumped again
(spaces, key order, escapes, 1.0 as 1, nulls left out), content None or '' or in parts, reasoning dropped,
ids replaced. Two turns mean the same if their text agrees up to white space and reasoning, and their calls
agree in name and in arguments as parsed; arguments that can't be parsed must agree verbatim, unless the
session knows the call by its id (`session.py`). What the policy didn't write (system, user and tool
messages) must agree exactly.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tac_rl.gateway.protocol import ApiError
from tac_rl.gateway.toolcalls import nested_within, without_thinking

Message = dict[str, Any]
"""`role`, `content` (a string), and for assistants `tool_calls`, whose `arguments` are a dict where they
are a JSON object: the shape that chat templates expect."""

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


def normalise(raw: Any, index: int) -> Message:
    """The message at `index` of a request in the shape for templates; `ApiError` if it is malformed."""
    where = f"messages[{index}]"
    if not isinstance(raw, Mapping):
        raise ApiError.invalid(f"{where} is not an object", where)
    role = _ROLES.get(str(raw.get("role")))
    if role is None:
        raise ApiError.invalid(
            f"{where}.role is {raw.get('role')!r}; use one of {', '.join(_ROLES)}", f"{where}.role"
        )
    message: Message = {"role": role, "content": _text(raw.get("content"), f"{where}.content")}
    if role == "assistant" and (calls := raw.get("tool_calls")):
        if not isinstance(calls, list):
            raise ApiError.invalid(f"{where}.tool_calls is not a list", f"{where}.tool_calls")
        message["tool_calls"] = [
            _call(call, f"{where}.tool_calls[{number}]") for number, call in enumerate(calls)
        ]
    if role == "tool" and isinstance(raw.get("tool_call_id"), str):
        message["tool_call_id"] = raw["tool_call_id"]
    if isinstance(raw.get("name"), str):
        message["name"] = raw["name"]
    return message


def meaning(message: Message) -> Any:
    """What is compared of a normalised message: JSON values that are equal where the meaning is."""
    if message["role"] != "assistant":
        return [message["role"], message["content"], message.get("name")]
    calls = [
        [call["function"]["name"], _argument_meaning(call["function"]["arguments"])]
        for call in message.get("tool_calls", ())
    ]
    return ["assistant", " ".join(without_thinking(message["content"]).split()), calls]


def history_digests(messages: Sequence[Message], tools: Sequence[Any] | None) -> Iterator[bytes]:
    """For each i, a digest of the tools and of the meaning of `messages[: i + 1]`."""
    digest = _digest(b"", tools or [])
    for message in messages:
        digest = extend_digest(digest, message)
        yield digest


def with_calls(message: Message, known: Mapping[str, tuple[str, str]]) -> Message:
    """The message with the calls whose ids are in `known` as they were: name and arguments by id."""
    calls = message.get("tool_calls")
    if not calls or not any(call["id"] in known for call in calls):
        return message
    restored = []
    for call in calls:
        if (original := known.get(call["id"])) is not None:
            call = {**call, "function": {"name": original[0], "arguments": original[1]}}
        restored.append(call)
    return {**message, "tool_calls": restored}


def extend_digest(digest: bytes, message: Message) -> bytes:
    """The digest of a history that ends in `digest`, with `message` added."""
    return _digest(digest, meaning(message))


def _digest(before: bytes, value: Any) -> bytes:
    # ASCII JSON: lone surrogates, which JSON allows and UTF-8 does not, stay escaped.
    return hashlib.blake2b(before + json.dumps(value, sort_keys=True).encode(), digest_size=16).digest()


def _text(content: Any, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ApiError.invalid(f"{where} is neither a string nor a list of parts", where)
    texts = []
    for part in content:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            raise ApiError.invalid(f"{where} has a part that is not text; this model reads only text", where)
        texts.append(part["text"])
    return "".join(texts)


def _call(raw: Any, where: str) -> Message:
    function = raw.get("function") if isinstance(raw, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ApiError.invalid(f"{where}.function needs a name", f"{where}.function")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        parsed = _parse(arguments)
        if isinstance(parsed, dict):
            arguments = parsed
    elif not isinstance(arguments, Mapping):
        raise ApiError.invalid(f"{where}.function.arguments is not a string", f"{where}.function.arguments")
    return {
        "id": str(raw.get("id", "")),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def is_object(arguments: str) -> bool:
    """Whether a call's arguments are a JSON object, as every tool wants them."""
    return isinstance(_parse(arguments), dict)


def _argument_meaning(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return _without_nulls(arguments)
    parsed = _parse(arguments)
    return ["unparsed", arguments.strip()] if parsed is None else _without_nulls(parsed)


def _without_nulls(value: Any) -> Any:
    """Harnesses that parse arguments into models leave out what is null."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _parse(text: str) -> Any:
    """The JSON value, or None where it is not JSON (or null, or nested too deep)."""
    try:
        value = json.loads(text, parse_float=_number)
    except (ValueError, RecursionError):
        return None
    return value if nested_within(value) else None


def _number(text: str) -> int | float:
    """Whole floats as integers: JavaScript harnesses write 1.0 as 1."""
    value = float(text)
    return int(value) if value.is_integer() else value
