"""Token in, token out: what the engine sampled is what is trained on, whatever a harness does to the text."""

import asyncio
import json
import random
from typing import Any

import openai
import pytest
from gateway_fakes import TOKENIZERS, ScriptedEngine, call_text, cut, opened, reserialised
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tac_rl.agents.prompt import TOOLS
from tac_rl.gateway.messages import extend_digest, normalise
from tac_rl.gateway.protocol import ApiError, parse_request
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.gateway.session import Recording
from tac_rl.learning.base import Row
from tac_rl.serving.base import Sampling

RENDERER = Renderer(TOKENIZERS["tiny"]())

BEGIN: list[Any] = [{"role": "system", "content": "You work."}, {"role": "user", "content": "Do it."}]

AWKWARD = [
    call_text("bash", {"command": "ls"}),
    call_text("bash", {"command": "echo 'Grüße, 世界 🎉' > ü.txt", "again": None}),
    call_text("bash", {"z": {"b": [1, 2.0, {"c": "</tool_call>"}], "a": '\n\t"\\'}, "command": "x"}),
    '<tool_call>\n{"name": "bash", "arguments": {"command": "echo "hi""}}\n</tool_call>',
    '<tool_call>{"name": "bash", "arguments": "{not json"}</tool_call>',
    '<tool_call>{"name":"bash","arguments":{"command":"\\u00fc","command":"twice"}}</tool_call>',
    f"<think>I should look first.\nYes.</think>\n\n{call_text('bash', {'command': 'cat a'})}",
    "<think>only\nthoughts</think>",
    f"Two at once: {call_text('bash', {'command': 'a'})}\n\n  and {call_text('bash', {'command': 'b'})}",
    cut('Let me see <tool_call>\n{"name": "bash", "argu'),
    cut("<think>never"),
    "",
    "   plain   text \n\n with  odd   spaces  ",
    '<tool_call>{"name": "bash", "arguments": {"n": 1.0, "m": 1e400, "k": -0.0, "c": "\\ud800"}}</tool_call>',
    call_text("finish", {}),
    "<tool_call>",
    "<tool_call></tool_call></tool_call>",
    f"{call_text('bash', [1, 'list'])}",
    "Ends with <|endoftext|> inside",
    call_text("bash", {"command": "x" * 300}),
]


def answers(message: Any, turn: int) -> list[dict[str, Any]]:
    """What a harness says to an assistant message: a result for each call, or a word of its own."""
    calls = message.get("tool_calls") or []
    if not calls:
        return [{"role": "user", "content": f"go on, {turn}"}]
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": f"result {turn}.{number}\n"}
        for number, call in enumerate(calls)
    ]


async def converse(engine: ScriptedEngine, turns: int, rng: random.Random) -> Recording:
    """A harness that sends its history back in its own words, through the `openai` package."""
    async with opened(engine) as (gateway, session):
        async with openai.AsyncOpenAI(
            base_url=session.endpoint.base_url, api_key=session.endpoint.api_key, max_retries=0
        ) as client:
            history = list(BEGIN)
            for turn in range(turns):
                answer = await client.chat.completions.create(
                    model=session.endpoint.model,
                    messages=history,
                    tools=TOOLS,  # type: ignore[arg-type]
                )
                message = answer.choices[0].message.model_dump()
                history += [reserialised(message, rng), *answers(message, turn)]
        return await gateway.close(session)


async def converse_directly(engine: ScriptedEngine, turns: int, rng: random.Random) -> Recording:
    """The same without a socket between, for many examples."""
    gateway = Gateway(engine, RENDERER)
    async with asyncio.timeout(60):
        await gateway.start()
        session = await gateway.open(
            "r1", version=3, sampling=Sampling(max_tokens=4000), context_limit=100_000
        )
        history = list(BEGIN)
        for turn in range(turns):
            body = {"messages": history, "tools": list(TOOLS)}
            call = await session.complete(parse_request(json.loads(json.dumps(body))))
            call.delivered = True
            history += [reserialised(call.reply, rng), *answers(call.reply, turn)]
        recording = await gateway.close(session)
        await gateway.stop()
    return recording


def assert_is_what_the_engine_did(row: Row, engine: ScriptedEngine) -> None:
    """The row is the engine's last prompt and completion, and its sampled tokens are all it sampled."""
    assert row.token_ids == engine.prompts[-1] + engine.completions[-1]
    assert len(row.token_ids) == len(row.sampled) == len(row.logprobs)
    trained = tuple(token for token, sampled in zip(row.token_ids, row.sampled, strict=True) if sampled)
    assert trained == tuple(token for completion in engine.completions for token in completion)
    for prompt, completion in zip(engine.prompts, engine.completions, strict=True):
        assert row.token_ids[: len(prompt) + len(completion)] == prompt + completion
        assert row.sampled[len(prompt) : len(prompt) + len(completion)] == (True,) * len(completion)
    assert all(
        logprob == 0.0 for logprob, sampled in zip(row.logprobs, row.sampled, strict=True) if not sampled
    )
    assert len({logprob for logprob in row.logprobs if logprob}) == len(trained)  # each in its own place


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
@pytest.mark.parametrize("seed", range(3))
def test_twenty_awkward_turns_through_a_reserialising_client_make_one_exact_row(name: str, seed: int) -> None:
    engine = ScriptedEngine(TOKENIZERS[name](), AWKWARD)
    recording = asyncio.run(converse(engine, len(AWKWARD), random.Random(seed)))
    (row,) = recording.rows
    assert len(engine.prompts) == len(AWKWARD) == 20
    assert_is_what_the_engine_did(row, engine)
    assert row.version == 3
    assert [call.continues for call in recording.calls] == [None, *range(19)]
    assert {call.row for call in recording.calls} == {0}


reply_texts = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(["<tool_call>", "</tool_call>", "<think>", "</think>", "{", " "]), max_size=5
    ).map("".join),
    st.dictionaries(
        st.text(max_size=5), st.text(max_size=8) | st.integers() | st.floats(allow_nan=False)
    ).map(lambda arguments: call_text("bash", arguments)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(reply_texts, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_any_replies_stay_one_row(texts: list[str], rng: random.Random) -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), texts)
    (row,) = asyncio.run(converse_directly(engine, len(texts), rng)).rows
    assert_is_what_the_engine_did(row, engine)


def test_whole_floats_written_as_integers_mean_the_same() -> None:
    def digest(arguments: str) -> bytes:
        raw = {
            "role": "assistant",
            "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": arguments}}],
        }
        return extend_digest(b"", normalise(raw, 0))

    assert digest('{"a": 1.0, "b": [2e3]}') == digest('{"b":[2000],"a":1}')
    assert digest('{"a": 1.5}') != digest('{"a": 1}')
    assert digest('{"a": "1"}') != digest('{"a": 1}')
    assert digest("{broken ") == digest(" {broken") != digest("{broken!")


def run_calls(engine: ScriptedEngine, histories: Any) -> Recording:
    """Send histories one after another; a history may be a function of the replies so far."""

    async def run() -> Recording:
        async with opened(engine) as (gateway, session):
            client = openai.AsyncOpenAI(
                base_url=session.endpoint.base_url, api_key=session.endpoint.api_key, max_retries=0
            )
            replies: list[Any] = []
            for history in histories:
                answer = await client.chat.completions.create(
                    model="m", messages=history(replies) if callable(history) else history
                )
                replies.append(answer.choices[0].message.model_dump(exclude_none=True))
            await client.close()
            return await gateway.close(session)

    return asyncio.run(run())


def test_a_rewritten_history_begins_a_new_row() -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), ["one", "two", "three"])
    recording = run_calls(
        engine,
        [
            BEGIN,
            lambda r: [*BEGIN, r[0], {"role": "user", "content": "next"}],
            lambda r: [BEGIN[0], {"role": "user", "content": "Summary: so far so good. Go on."}],
        ],
    )
    first, second = recording.rows
    assert first.token_ids == engine.prompts[1] + engine.completions[1]
    assert second.token_ids == engine.prompts[2] + engine.completions[2]
    assert sum(first.sampled) + sum(second.sampled) == sum(map(len, engine.completions))
    assert [call.continues for call in recording.calls] == [None, 0, None]


def test_a_changed_reply_or_tool_result_is_a_rewrite() -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), ["one", "two", "three"])
    changed = {"role": "assistant", "content": "one!"}
    later = {"role": "user", "content": "next"}
    recording = run_calls(
        engine,
        [BEGIN, [*BEGIN, changed, later], lambda r: [*BEGIN, changed, {"role": "user", "content": "Next"}]],
    )
    assert [call.continues for call in recording.calls] == [None, None, None]
    assert len(recording.rows) == 3


def test_a_fork_shares_its_prefix_as_context_and_trains_it_once() -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), ["one", "two", "three"])
    recording = run_calls(
        engine,
        [
            BEGIN,
            lambda r: [*BEGIN, r[0], {"role": "user", "content": "left"}],
            lambda r: [*BEGIN, r[0], {"role": "user", "content": "right"}],
        ],
    )
    left, right = recording.rows
    assert left.token_ids == engine.prompts[1] + engine.completions[1]
    assert right.token_ids == engine.prompts[2] + engine.completions[2]
    assert sum(left.sampled) == len(engine.completions[0]) + len(engine.completions[1])
    assert sum(right.sampled) == len(engine.completions[2])
    assert [call.row for call in recording.calls] == [0, 0, 1]


def test_a_repeated_call_gets_the_same_answer_and_is_sampled_once() -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), ["one", "two"])
    recording = run_calls(
        engine, [BEGIN, BEGIN, lambda r: [*BEGIN, r[1], {"role": "user", "content": "next"}]]
    )
    assert len(engine.prompts) == 2
    assert_is_what_the_engine_did(recording.rows[0], engine)
    assert [call.requests for call in recording.calls] == [2, 1]


def test_other_tools_are_another_prompt() -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), ["one", "two"])

    async def run() -> Recording:
        async with opened(engine) as (gateway, session):
            async with openai.AsyncOpenAI(
                base_url=session.endpoint.base_url, api_key=session.endpoint.api_key
            ) as client:
                await client.chat.completions.create(model="m", messages=BEGIN)
                await client.chat.completions.create(model="m", messages=BEGIN, tools=TOOLS)  # type: ignore[arg-type]
            return await gateway.close(session)

    assert [call.continues for call in asyncio.run(run()).calls] == [None, None]
    assert engine.prompts[0] != engine.prompts[1]


def test_call_records_tell_the_trajectory() -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), [call_text("bash", {"command": "ls"}), "done"])
    recording = run_calls(engine, [BEGIN, lambda r: [*BEGIN, r[0], {"role": "user", "content": "next"}]])
    first, second = recording.calls
    assert [message["content"] for message in first.messages] == ["You work.", "Do it."]
    assert [message["content"] for message in second.messages] == ["next"]
    assert second.reply == {"role": "assistant", "content": "done"}
    assert second.finish_reason == "stop"
    assert second.prompt_tokens == len(engine.prompts[1])
    assert second.completion_tokens == len(engine.completions[1])
    assert recording.engine_seconds == first.engine_seconds + second.engine_seconds
    assert json.loads(json.dumps(first.messages)) == list(first.messages)


BASH = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object", "properties": {}}}}
UNREADABLE = [
    '<tool_call>\n{"name": "bash", "arguments": {"command": "echo "hi""}}\n</tool_call>',
    "<tool_call>",
    '<tool_call>{"name": "bash", "arguments": "{not json"}</tool_call>',
    call_text("bash", [1, "list"]),
    call_text("shell", {"command": "ls"}),
    f"{call_text('bash', {'command': 'a'})}<tool_call>{{</tool_call>",
]


def repaired(message: Any) -> Any:
    """As a harness sends back a reply whose last call it could not carry out: another name, other arguments."""
    sent = json.loads(json.dumps(message))
    sent["tool_calls"][-1]["function"] = {"name": "repaired", "arguments": '{"malformed": true}'}
    return sent


def test_unreadable_calls_reach_those_who_ask_as_calls_and_are_known_however_they_come_back() -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), UNREADABLE)

    async def run() -> tuple[Recording, list[Any]]:
        async with opened(engine) as (gateway, session):
            async with openai.AsyncOpenAI(
                base_url=session.endpoint.base_url, api_key=session.endpoint.api_key
            ) as client:
                history, replies = list(BEGIN), []
                for turn in range(len(UNREADABLE)):
                    answer = await client.chat.completions.create(
                        model="m",
                        messages=history,
                        tools=[BASH],  # type: ignore[list-item]
                        extra_body={"unreadable_calls": "calls"},
                    )
                    replies.append(answer.choices[0].message.model_dump())
                    history += [repaired(replies[-1]), *answers(replies[-1], turn)]
            return await gateway.close(session), replies

    recording, replies = asyncio.run(run())
    assert [reply["tool_calls"][-1]["function"]["name"] for reply in replies] == [
        *("bash", "bash", "bash", "bash", "shell", "bash")
    ]
    assert [reply["content"] for reply in replies] == [None] * len(UNREADABLE)
    assert replies[0]["tool_calls"][0]["function"]["arguments"].startswith('{"name": "bash"')
    assert replies[1]["tool_calls"][0]["function"]["arguments"] == ""
    assert len(replies[5]["tool_calls"]) == 2
    (row,) = recording.rows
    assert_is_what_the_engine_did(row, engine)


def test_a_readable_call_that_comes_back_changed_is_a_rewrite_whatever_its_id() -> None:
    engine = ScriptedEngine(TOKENIZERS["tiny"](), [call_text("bash", {"command": "a"}), "two"])

    async def run() -> Recording:
        async with opened(engine) as (gateway, session):
            call = await session.complete(parse_request({"messages": BEGIN, "tools": [BASH]}))
            changed = repaired(call.reply)
            history = [*BEGIN, changed, *answers(changed, 0)]
            await session.complete(parse_request({"messages": history, "tools": [BASH]}))
            return await gateway.close(session)

    assert [call.continues for call in asyncio.run(run()).calls] == [None, None]


def test_calls_without_tools_beside_an_agent_with_tools_reach_no_row() -> None:
    script = ["a title", call_text("bash", {"command": "a"}), "a summary", "done"]
    engine = ScriptedEngine(TOKENIZERS["tiny"](), script)

    async def run() -> Recording:
        async with opened(engine) as (gateway, session):

            async def ask(history: list[Any], **more: Any) -> Any:
                call = await session.complete(parse_request({"messages": history, **more}))
                call.delivered = True
                return call.reply

            await ask([{"role": "user", "content": "Make a title."}])
            reply = await ask(BEGIN, tools=[BASH])
            await ask([*BEGIN, reply, {"role": "user", "content": "Sum it up."}])
            await ask([*BEGIN, reply, *answers(reply, 0)], tools=[BASH])
            return await gateway.close(session)

    recording = asyncio.run(run())
    assert [call.row for call in recording.calls] == [None, 0, None, 0]
    (row,) = recording.rows
    assert row.token_ids == engine.prompts[3] + engine.completions[3]
    assert sum(row.sampled) == len(engine.completions[1]) + len(engine.completions[3])


def test_nulls_that_a_harness_leaves_out_change_nothing() -> None:
    def digest(arguments: str) -> bytes:
        raw = {
            "role": "assistant",
            "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": arguments}}],
        }
        return extend_digest(b"", normalise(raw, 0))

    assert digest('{"a": 1, "b": null, "c": {"d": null}}') == digest('{"a": 1, "c": {}}')
    assert digest('{"a": [null]}') != digest('{"a": []}')


def test_an_unknown_wish_for_unreadable_calls_is_refused() -> None:
    with pytest.raises(ApiError, match="unreadable_calls"):
        parse_request({"messages": BEGIN, "unreadable_calls": "drop"})
