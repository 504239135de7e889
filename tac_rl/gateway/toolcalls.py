"""Hermes tool calls, as Qwen2.5 writes them: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.

A reply may hold several calls with text around them. The JSON is taken strictly (as vLLM's `hermes`
parser does), so a policy trained here also works behind another server. A block that can't be read stays
in the content as it is: nothing the model wrote is lost, and the agent can say what was wrong. A harness to
which text means the end of the work may ask for such blocks as calls instead, whose arguments can't be read.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MAX_NESTING = 64
"""Levels of lists and objects in arguments; deeper ones count as unreadable."""

_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_BLANK = re.compile(r"\s*")
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]+)"')
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class ToolCall:
    """One call that could be read."""

    name: str
    arguments: str
    """As OpenAI has it: JSON text. Where the model wrote a string instead of an object, that string; of a block that
    could not be read, all that is in it."""


@dataclass(frozen=True)
class Reply:
    """What a completion's text says."""

    content: str
    """Everything that is not a readable call, stripped; broken blocks and reasoning included."""
    calls: tuple[ToolCall, ...] = ()


def parse_reply(text: str, unreadable: str | None = None) -> Reply:
    """Split a completion into content and calls. Never raises: what can't be read is content.

    With `unreadable`, blocks that can't be read become calls too: of the tool that they seem to name, else of that one.
    A closing tag that is missing at the end of the text is forgiven; a call within `<think>` is no call.
    """
    if OPEN not in text:
        return Reply(text.strip())
    thought_until = _end_of_thinking(text)
    kept = [text[:thought_until]]
    calls: list[ToolCall] = []
    position = thought_until
    while (opened := text.find(OPEN, position)) >= 0:
        kept.append(text[position:opened])
        found = _read_call(text, opened + len(OPEN))
        if found is None:
            position = _end_of_broken(text, opened)
            if unreadable is None:
                kept.append(text[opened:position])
            else:
                calls.append(_unreadable_call(text[opened:position], unreadable))
        else:
            call, position = found
            calls.append(call)
    kept.append(text[position:])
    return Reply("".join(kept).strip(), tuple(calls))


def without_thinking(text: str) -> str:
    """`text` without its reasoning; also where the template, not the model, opened the `<think>`."""
    if "think>" not in text:
        return text
    return _THINKING.sub("", text).rpartition("</think>")[2]


def _end_of_thinking(text: str) -> int:
    """Where the visible part of a reply begins."""
    end = 0
    for match in _THINKING.finditer(text):
        if text[end : match.start()].strip():
            break  # a <think> in the middle of the visible part is text
        end = match.end()
    if end == 0 and "</think>" in text and "<think>" not in text:
        end = text.index("</think>") + len("</think>")
    return end


def _read_call(text: str, start: int) -> tuple[ToolCall, int] | None:
    """The call whose JSON begins at `start` and where its block ends, or None if it can't be read.

    The JSON is decoded from its start, so a closing tag within an argument does no harm.
    """
    try:
        value, end = _DECODER.raw_decode(text, _skip_blank(text, start))
    except (ValueError, RecursionError):
        return None
    end = _skip_blank(text, end)
    if text.startswith(CLOSE, end):
        end += len(CLOSE)
    elif end < len(text):
        return None
    call = _as_call(value)
    return None if call is None else (call, end)


def nested_within(value: Any, levels: int = MAX_NESTING) -> bool:
    """Whether a JSON value can be walked through without fear for the interpreter's stack."""
    if isinstance(value, dict):
        return levels > 0 and all(nested_within(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels > 0 and all(nested_within(item, levels - 1) for item in value)
    return True


def _as_call(value: Any) -> ToolCall | None:
    if not isinstance(value, dict) or not isinstance(name := value.get("name"), str):
        return None
    arguments = value.get("arguments", {})
    if not nested_within(arguments):
        return None
    if not isinstance(arguments, str):
        arguments = _dump(arguments)
    return ToolCall(name, arguments)


def _unreadable_call(block: str, default: str) -> ToolCall:
    named = _NAME.search(block)
    inside = block.removeprefix(OPEN).removesuffix(CLOSE).strip()
    return ToolCall(named[1] if named else default, inside)


def _dump(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # A lone surrogate ("\\ud800" is legal JSON) can't be sent as UTF-8: then everything stays escaped.
    return text if text.isascii() or _is_utf8(text) else json.dumps(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _end_of_broken(text: str, opened: int) -> int:
    """Where a broken block ends: after its closing tag, before the next opening one, or with the text."""
    closed = text.find(CLOSE, opened)
    following = text.find(OPEN, opened + len(OPEN))
    if closed >= 0 and (following < 0 or closed < following):
        return closed + len(CLOSE)
    return following if following >= 0 else len(text)


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position
