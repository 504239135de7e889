"""The endpoint for those who are no rollout: the base model's weights, a key of its own, and nothing recorded."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
from gateway_fakes import ScriptedEngine, call_text, opened, qwen_style_tokenizer

from tac_rl.errors import EngineError
from tac_rl.serving.base import BASE_VERSION
from tac_rl.serving.endpoint import Endpoint

ROOT = Path(__file__).parents[1]
ASKED = [{"role": "system", "content": "You are Sofia."}, {"role": "user", "content": "the budget?"}]


async def ask(door: Endpoint, *, key: str | None = None, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of one request."""
    headers = {"Authorization": f"Bearer {door.api_key if key is None else key}"}
    body = {"model": door.model, "messages": ASKED, **fields}
    async with aiohttp.ClientSession(headers=headers) as client:
        async with client.post(f"{door.base_url}/chat/completions", json=body) as answer:
            return answer.status, await answer.json()


def engine_saying(*script: Any) -> ScriptedEngine:
    return ScriptedEngine(qwen_style_tokenizer(), script)


def test_the_base_model_answers_as_asked_and_no_rollout_records_it() -> None:
    async def run() -> None:
        engine = engine_saying("It is 42.", "It is 42.")
        async with opened(engine) as (gateway, session):
            door = gateway.base_model(context_limit=4096)
            status, body = await ask(door, temperature=0.25, top_p=0.5, max_tokens=77, seed=5)
            assert (status, body["choices"][0]["message"]["content"]) == (200, "It is 42.")
            assert engine.versions == [BASE_VERSION]
            used = engine.samplings[0]
            assert (used.temperature, used.top_p, used.max_tokens, used.seed) == (0.25, 0.5, 77, 5)
            await ask(door)
            await ask(door)
            assert engine.samplings[1].seed == engine.samplings[2].seed is not None
            assert (await gateway.close(session)).rows == ()

    asyncio.run(run())


def test_its_key_is_its_own() -> None:
    async def run() -> None:
        async with opened(engine_saying()) as (gateway, session):
            door = gateway.base_model(context_limit=4096)
            assert gateway.base_model(context_limit=4096) is door
            for key in ("", "tac-wrong", session.endpoint.api_key):
                assert (await ask(door, key=key))[0] == 401
            assert not session.accepts(f"Bearer {door.api_key}")

    asyncio.run(run())


def test_what_cant_be_answered_is_an_error_in_openai_s_format() -> None:
    async def run() -> None:
        async with opened(engine_saying(EngineError("out of memory"))) as (gateway, _):
            door = gateway.base_model(context_limit=60)
            status, body = await ask(door)
            assert status == 503 and "out of memory" in body["error"]["message"]
            status, body = await ask(door, messages=[{"role": "user", "content": "long " * 100}])
            assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
            status, body = await ask(door, temperature="warm")
            assert (status, body["error"]["param"]) == (400, "temperature")

    asyncio.run(run())


def test_calls_that_the_model_makes_reach_who_offered_tools() -> None:
    tool = {"type": "function", "function": {"name": "score", "parameters": {"type": "object"}}}

    async def run() -> None:
        async with opened(engine_saying(call_text("score", {"a": 1}))) as (gateway, _):
            _, body = await ask(gateway.base_model(context_limit=4096), tools=[tool])
            choice = body["choices"][0]
            assert choice["finish_reason"] == "tool_calls"
            assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"a": 1}

    asyncio.run(run())


def test_the_run_s_own_engine_plays_a_colleague(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("chat ask sofia What is the budget of marten?\n")
    command = [sys.executable, "tac_rl/rollout.py", "--task", "tasks/finance-ask-budget"]
    done = subprocess.run(
        [*command, "--agent", f"script:{script}", "--set", "office.colleagues.mind=engine", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The tiny policy speaks in tool calls, whoever it is asked to be; by rules Sofia would have told the budget.
    assert "sofia wrote to theagentcompany" in done.stderr
    assert "tool_call" in done.stderr and "the budget of marten is" not in done.stderr
