"""The endpoint as OpenAI clients see it: answers, refusals, errors, life cycle."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import openai
import pytest
from gateway_fakes import ScriptedEngine, call_text, cut, opened, tiny_tokenizer

from tac_rl.agents.prompt import TOOLS
from tac_rl.config.gateway import GatewaySection
from tac_rl.errors import ConfigError, EngineError, GatewayError
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.gateway.session import Session
from tac_rl.serving.base import Sampling

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


def engine_saying(*script: Any) -> ScriptedEngine:
    return ScriptedEngine(tiny_tokenizer(), script)


def with_session(
    engine: ScriptedEngine, use: Callable[[Gateway, Session], Awaitable[Any]], **options: Any
) -> Any:
    async def run() -> Any:
        async with opened(engine, **options) as (gateway, session):
            return await use(gateway, session)

    return asyncio.run(run())


def client_of(session: Session, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=session.endpoint.base_url, api_key=session.endpoint.api_key, **options)


async def post(session: Session, body: Any, *, key: str | None = None, path: str = "chat/completions") -> Any:
    """One request by hand: status, headers and JSON."""
    headers = {"Authorization": f"Bearer {key or session.endpoint.api_key}"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{session.endpoint.base_url}/{path}", data=data) as response:
            return response.status, response.headers, await response.json()


def status_and_error(engine: ScriptedEngine, body: Any, **options: Any) -> tuple[int, dict[str, Any]]:
    status, _, payload = with_session(engine, lambda _, session: post(session, body), **options)
    return status, payload["error"]


def test_the_openai_client_gets_tool_calls() -> None:
    async def use(gateway: Gateway, session: Session) -> Any:
        async with client_of(session) as client:
            return await client.chat.completions.create(
                model=session.endpoint.model,
                messages=HELLO,
                tools=TOOLS,
                tool_choice="auto",  # type: ignore[call-overload]
            )

    engine = engine_saying(f"Looking. {call_text('bash', {'command': 'ls'})}{call_text('finish', {})}")
    answer = with_session(engine, use)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Looking."
    assert [call.function.name for call in choice.message.tool_calls] == ["bash", "finish"]
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"command": "ls"}
    assert len({call.id for call in choice.message.tool_calls}) == 2
    assert answer.usage.prompt_tokens == len(engine.prompts[0])
    assert answer.usage.completion_tokens == len(engine.completions[0])


def test_the_synchronous_openai_client_works_too() -> None:
    async def use(gateway: Gateway, session: Session) -> Any:
        def ask() -> Any:
            with openai.OpenAI(
                base_url=session.endpoint.base_url, api_key=session.endpoint.api_key
            ) as client:
                models = [model.id for model in client.models.list()]
                return models, client.chat.completions.create(model=models[0], messages=HELLO)

        return await asyncio.to_thread(ask)

    models, answer = with_session(engine_saying("Hi there"), use)
    assert models == ["policy-3"]
    assert answer.choices[0].message.content == "Hi there"
    assert answer.choices[0].finish_reason == "stop"


def test_the_sessions_sampling_overrides_the_requests() -> None:
    sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=50, seed=7)
    body = {"messages": HELLO, "temperature": 0.0, "top_p": 0.1, "seed": 1, "max_tokens": 9}
    engine = engine_saying("ok", "ok")

    async def use(gateway: Gateway, session: Session) -> None:
        await post(session, body)
        await post(session, {"messages": [*HELLO, *HELLO], "max_completion_tokens": 900})

    with_session(engine, use, sampling=sampling)
    first, second = engine.samplings
    assert (first.temperature, first.top_p, first.max_tokens) == (1.0, 0.9, 9)
    assert second.max_tokens == 50
    assert first.stop_token_ids == Renderer(engine.tokenizer).stop_token_ids
    assert first.seed not in (None, 1, 7) and second.seed not in (None, first.seed)
    assert engine.versions == [3, 3]


def test_tool_choice_none_leaves_calls_in_the_text() -> None:
    text = call_text("bash", {"command": "ls"})
    body = {"messages": HELLO, "tools": list(TOOLS), "tool_choice": "none"}
    _, _, payload = with_session(engine_saying(text), lambda _, session: post(session, body))
    assert payload["choices"][0]["message"] == {"role": "assistant", "content": text}
    assert payload["choices"][0]["finish_reason"] == "stop"


def test_a_reply_at_the_token_limit_says_length() -> None:
    body = {"messages": HELLO, "tools": list(TOOLS)}
    _, _, payload = with_session(engine_saying(cut("and so on")), lambda _, session: post(session, body))
    assert payload["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("change", "param", "hint"),
    [
        ({"stream": True}, "stream", "streaming is not supported"),
        ({"n": 2}, "n", "n must be 1"),
        ({"stop": ["x"]}, "stop", "stop strings"),
        ({"logprobs": True}, "logprobs", "recorded"),
        ({"tool_choice": "required"}, "tool_choice", "'auto' or 'none'"),
        ({"tool_choice": {"type": "function"}}, "tool_choice", "'auto' or 'none'"),
        ({"response_format": {"type": "json_object"}}, "response_format", "constrained"),
        ({"max_tokens": 0}, "max_tokens", "positive integer"),
        ({"max_tokens": "many"}, "max_tokens", "positive integer"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": "hi"}, "messages", "list"),
        ({"messages": ["hi"]}, "messages[0]", "not an object"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "messages[0].role", "judge"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "string"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content", "text"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]},
            "messages[0].tool_calls[0].function",
            "name",
        ),
        ({"tools": [{"name": "bash"}]}, "tools", "function"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(change: dict[str, Any], param: str, hint: str) -> None:
    engine = engine_saying()
    status, error = status_and_error(engine, {"messages": HELLO, "tools": list(TOOLS), **change})
    assert status == 400
    assert error["param"] == param
    assert hint in error["message"]
    assert error["type"] == "invalid_request_error"
    assert engine.prompts == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000, b'"x"'])
def test_a_body_that_is_not_a_json_object_is_refused(body: bytes) -> None:
    status, error = status_and_error(engine_saying(), body)
    assert status == 400
    assert "JSON" in error["message"]


def test_tools_nested_too_deep_are_refused_and_harm_nothing() -> None:
    deep: Any = {}
    for _ in range(700):
        deep = {"a": deep}
    status, _ = status_and_error(engine_saying(), {"messages": HELLO, "tools": [{"function": deep}]})
    assert status in (200, 400)


def test_a_body_too_large_is_refused() -> None:
    body = b" " * (2 << 20)
    status, error = status_and_error(engine_saying(), body, config=GatewaySection(max_request_mb=1))
    assert status == 413
    assert error["message"]


def test_streaming_raises_a_readable_error_in_the_openai_client() -> None:
    async def use(gateway: Gateway, session: Session) -> None:
        async with client_of(session) as client:
            with pytest.raises(openai.BadRequestError, match="streaming is not supported"):
                await client.chat.completions.create(model="m", messages=HELLO, stream=True)

    with_session(engine_saying(), use)


def test_context_overflow_has_openais_code_and_fails_nothing() -> None:
    async def use(gateway: Gateway, session: Session) -> Any:
        async with client_of(session) as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(model="m", messages=HELLO)
        return caught.value.code, await gateway.close(session)

    code, recording = with_session(engine_saying(), use, context_limit=5)
    assert code == "context_length_exceeded"
    assert recording.infrastructure_error is None
    assert recording.rows == ()


def test_a_reply_never_grows_past_the_context() -> None:
    engine = engine_saying()
    length = len(Renderer(engine.tokenizer).prompt_ids(HELLO, None))
    with_session(engine, lambda _, session: post(session, {"messages": HELLO}), context_limit=length + 2)
    assert engine.samplings[0].max_tokens == 2


def test_calls_past_the_sessions_limit_are_refused() -> None:
    async def use(gateway: Gateway, session: Session) -> Any:
        await post(session, {"messages": HELLO})
        return await post(session, {"messages": [*HELLO, *HELLO]})

    status, _, payload = with_session(engine_saying(), use, max_calls=1)
    assert (status, payload["error"]["code"]) == (400, "max_calls_exceeded")


@pytest.mark.parametrize("failure", [EngineError("the engine died"), KeyError("bug")])
def test_an_engine_failure_is_503_at_once_and_marks_the_session(failure: Exception) -> None:
    async def use(gateway: Gateway, session: Session) -> Any:
        async with client_of(session, max_retries=5) as client:  # our header keeps it from retrying
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(model="m", messages=HELLO)
            assert caught.value.status_code == 503
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model="m", messages=[*HELLO, *HELLO])
        return await gateway.close(session)

    engine = engine_saying(failure)
    recording = with_session(engine, use)
    assert type(failure).__name__ in recording.infrastructure_error
    assert recording.rows == ()
    assert engine.prompts == []


def test_an_engine_that_does_not_answer_is_an_infrastructure_failure() -> None:
    engine = engine_saying()

    async def use(gateway: Gateway, session: Session) -> Any:
        engine.gate = asyncio.Event()
        status, _, _ = await post(session, {"messages": HELLO})
        return status, await gateway.close(session)

    status, recording = with_session(engine, use, config=GatewaySection(call_timeout_s=0.05))
    assert status == 503
    assert "0.05 s" in recording.infrastructure_error


def test_a_wrong_key_is_refused() -> None:
    async def use(gateway: Gateway, session: Session) -> None:
        other = await gateway.open("r2", version=0, sampling=Sampling(), context_limit=100)
        for key in ("wrong", other.endpoint.api_key, "ü"):
            status, _, payload = await post(session, {"messages": HELLO}, key=key)
            assert (status, payload["error"]["code"]) == (401, "invalid_api_key")

    engine = engine_saying()
    with_session(engine, use)
    assert engine.prompts == []


def test_unknown_rollouts_and_paths_are_404_in_openais_format() -> None:
    async def use(gateway: Gateway, session: Session) -> None:
        async with aiohttp.ClientSession() as http:
            for path in ("/r/guess/v1/models", "/v1/models", "/"):
                async with http.get(gateway.url + path) as response:
                    assert response.status == 404
                    assert (await response.json())["error"]["message"]
        status, _, _ = await post(session, {}, path="embeddings")
        assert status == 404

    with_session(engine_saying(), use)


def test_after_close_the_url_is_gone() -> None:
    async def use(gateway: Gateway, session: Session) -> None:
        await gateway.close(session)
        async with client_of(session) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(model="m", messages=HELLO)
        assert caught.value.status_code == 410

    with_session(engine_saying(), use)


def test_closing_gives_up_a_call_in_flight() -> None:
    engine = engine_saying("never")

    async def use(gateway: Gateway, session: Session) -> Any:
        engine.gate = asyncio.Event()
        asking = asyncio.create_task(post(session, {"messages": HELLO}))
        await engine.begun.wait()
        recording = await gateway.close(session)
        status, _, _ = await asking
        return status, recording

    status, recording = with_session(engine, use)
    assert status == 410
    assert recording.rows == ()
    assert recording.infrastructure_error is None


def test_a_client_that_hangs_up_and_calls_again_gets_the_answer_it_missed() -> None:
    engine = engine_saying("late", "other")

    async def use(gateway: Gateway, session: Session) -> Any:
        engine.gate = asyncio.Event()
        impatient = asyncio.create_task(post(session, {"messages": HELLO}))
        await engine.begun.wait()
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        again = asyncio.create_task(post(session, {"messages": HELLO}))
        engine.gate.set()
        _, _, payload = await again
        return payload, await gateway.close(session)

    payload, recording = with_session(engine, use)
    assert payload["choices"][0]["message"]["content"] == "late"
    assert len(engine.prompts) == 1
    (row,) = recording.rows
    assert sum(row.sampled) == len(engine.completions[0])


def test_an_answer_that_nobody_took_is_in_no_row() -> None:
    engine = engine_saying("missed")

    async def use(gateway: Gateway, session: Session) -> Any:
        engine.gate = asyncio.Event()
        host = socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
        body = json.dumps({"messages": HELLO})
        path = session.endpoint.base_url.removeprefix(gateway.url)
        host.sendall(
            f"POST {path}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {session.endpoint.api_key}\r\n\r\n{body}".encode()
        )
        await engine.begun.wait()
        host.close()
        # The server reads the end of the connection before it serves the next request of another one.
        async with aiohttp.ClientSession() as http, http.get(f"{gateway.url}/health") as response:
            assert response.status == 200
        engine.gate.set()
        await asyncio.wait([call.task for call in session._calls if call.task])
        return await gateway.close(session)

    recording = with_session(engine, use)
    assert recording.rows == ()
    (call,) = recording.calls
    assert (call.row, call.completion_tokens) == (None, len(engine.completions[0]))


def test_concurrent_sessions_do_not_mix() -> None:
    engine = ScriptedEngine(tiny_tokenizer())

    async def rollout(gateway: Gateway, number: int, client: openai.AsyncOpenAI) -> Any:
        session = await gateway.open(f"r{number}", version=number, sampling=Sampling(), context_limit=10_000)
        own = client.with_options(base_url=session.endpoint.base_url, api_key=session.endpoint.api_key)
        history: list[Any] = [{"role": "user", "content": f"I am {number}"}]
        for _ in range(3):
            answer = await own.chat.completions.create(model="m", messages=history)
            history += [answer.choices[0].message.model_dump(), {"role": "user", "content": f"{number}"}]
        return await gateway.close(session)

    async def use(gateway: Gateway, session: Session) -> Any:
        async with client_of(session) as client:
            return await asyncio.gather(*(rollout(gateway, number, client) for number in range(16)))

    for number, recording in enumerate(with_session(engine, use)):
        (row,) = recording.rows
        assert (recording.rollout_id, row.version, len(recording.calls)) == (f"r{number}", number, 3)
        assert f"I am {number}<" in engine.tokenizer.decode(row.token_ids)


def test_health_tells_of_the_engine() -> None:
    engine = engine_saying()

    async def use(gateway: Gateway, session: Session) -> Any:
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{gateway.url}/health") as response:
                assert (response.status, (await response.json())["status"]) == (200, "ok")

            async def dead() -> None:
                raise EngineError("gone")

            engine.check = dead  # type: ignore[method-assign]
            async with http.get(f"{gateway.url}/health") as response:
                assert response.status == 503
                assert "gone" in (await response.json())["error"]["message"]

    with_session(engine, use)


def test_a_port_already_taken_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = Gateway(engine_saying(), Renderer(tiny_tokenizer()), GatewaySection(port=port))
        with pytest.raises(ConfigError, match=rf"gateway\.port.*{port}.*0 for a free one"):
            asyncio.run(gateway.start())


def test_the_gateway_must_run_before_sessions_are_opened() -> None:
    async def run() -> None:
        gateway = Gateway(engine_saying(), Renderer(tiny_tokenizer()))
        with pytest.raises(GatewayError, match="start"):
            await gateway.open("r", version=0, sampling=Sampling(), context_limit=10)
        await gateway.stop()

    asyncio.run(run())


def test_nothing_is_left_running_after_stop() -> None:
    before = threading.active_count()

    async def use(gateway: Gateway, session: Session) -> str:
        await post(session, {"messages": HELLO})
        await gateway.stop()
        await gateway.stop()
        return gateway.url

    url = with_session(engine_saying(), use)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5)
    assert threading.active_count() <= before + 1
