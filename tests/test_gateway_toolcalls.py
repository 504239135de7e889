"""Hermes tool calls in completions: read where they can be read, kept as text where not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tac_rl.gateway.toolcalls import Reply, ToolCall, parse_reply, without_thinking

LS = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
CALL = ToolCall("bash", '{"command": "ls"}')

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_text_without_a_call_is_content() -> None:
    assert parse_reply("  All done.\n") == Reply("All done.")


def test_a_call_is_read() -> None:
    assert parse_reply(LS) == Reply("", (CALL,))


def test_several_calls_with_text_around_them_are_read_in_order() -> None:
    finish = '<tool_call>{"name": "finish", "arguments": {}}</tool_call>'
    reply = parse_reply(f"First I look.\n{LS}\nthen\n{finish}\nbye")
    assert reply.calls == (CALL, ToolCall("finish", "{}"))
    assert reply.content.split() == ["First", "I", "look.", "then", "bye"]


def test_a_closing_tag_within_an_argument_is_part_of_the_argument() -> None:
    command = "echo '</tool_call> <tool_call>'"
    body = json.dumps({"name": "bash", "arguments": {"command": command}})
    (call,) = parse_reply(f"<tool_call>\n{body}\n</tool_call>").calls
    assert json.loads(call.arguments) == {"command": command}


def test_a_missing_closing_tag_at_the_end_is_forgiven() -> None:
    assert parse_reply(LS.removesuffix("\n</tool_call>")).calls == (CALL,)


def test_missing_arguments_are_an_empty_object_and_string_arguments_stay_verbatim() -> None:
    assert parse_reply('<tool_call>{"name": "finish"}</tool_call>').calls == (ToolCall("finish", "{}"),)
    (call,) = parse_reply('<tool_call>{"name": "bash", "arguments": "{oops"}</tool_call>').calls
    assert call.arguments == "{oops"


@pytest.mark.parametrize(
    "block",
    [
        '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}\n</tool_call>',
        '<tool_call>\n{"name": "bash", "arguments": {"command": "a\nb"}}\n</tool_call>',
        '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}}\n</tool_call>',
        '<tool_call>\n{"name": "bash", "argum',
        "<tool_call>\nls -l\n</tool_call>",
        "<tool_call></tool_call>",
        "<tool_call>",
        "<tool_call>[1, 2]</tool_call>",
        '<tool_call>{"name": 7, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "bash", "arguments": ' + "[" * 5000 + "</tool_call>",
        '<tool_call>{"name": "bash", "arguments": ' + "[" * 90 + "]" * 90 + "}</tool_call>",
        '<tool_call>{"name": "bash", "arguments": ' + "9" * 5000 + "}</tool_call>",
    ],
)
def test_a_block_that_cannot_be_read_stays_in_the_content(block: str) -> None:
    assert parse_reply(block) == Reply(block)
    mixed = parse_reply(f"{block}\n{LS}")
    assert block in mixed.content
    assert mixed.calls == (CALL,)


def test_a_call_within_reasoning_is_no_call() -> None:
    assert parse_reply(f"<think>maybe {LS}</think>no").calls == ()
    assert parse_reply(f"<think>maybe {LS}").calls == ()
    assert parse_reply(f"the template opened it {LS}</think>{LS}").calls == (CALL,)
    assert parse_reply(f"<think>hm</think>{LS}").calls == (CALL,)


def test_reasoning_is_removed_for_comparison() -> None:
    assert without_thinking("<think>a</think>b") == "b"
    assert without_thinking("a</think>b") == "b"
    assert without_thinking("b<think>a") == "b"
    assert without_thinking("i think> so") == "i think> so"


def test_arguments_with_a_lone_surrogate_stay_escaped() -> None:
    (call,) = parse_reply(
        '<tool_call>{"name": "bash", "arguments": {"command": "\\ud800"}}</tool_call>'
    ).calls
    call.arguments.encode()
    assert json.loads(call.arguments) == {"command": "\ud800"}


@given(st.text())
def test_no_text_makes_the_parser_fail_or_lose_anything_but_white_space(text: str) -> None:
    reply = parse_reply(text)
    if not reply.calls:
        assert reply.content == text.strip()


@given(
    st.lists(
        st.sampled_from(
            ["<tool_call>", "</tool_call>", "<think>", "</think>", '{"name": "a"}', "{", "x", "\n"]
        )
    )
)
def test_no_arrangement_of_tags_makes_the_parser_fail(parts: list[str]) -> None:
    parse_reply("".join(parts))


@given(st.text(), st.dictionaries(st.text(), json_values, max_size=4))
def test_what_was_dumped_is_read_back(name: str, arguments: dict[str, object]) -> None:
    text = f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
    (call,) = parse_reply(text).calls
    assert (call.name, json.loads(call.arguments)) == (name, arguments)
