"""Rollouts of a scripted engine through a real gateway, for tests of what ART is given; ART is imported quietly."""

import asyncio
from typing import Any

import aiohttp
from gateway_fakes import ScriptedEngine, call_text, opened, qwen_style_tokenizer

from tac_rl.gateway.recording import Recording
from tac_rl.rewards.openpipe import load_art

load_art("tests")

TOOL = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}
START = [{"role": "system", "content": "Work."}, {"role": "user", "content": "Count."}]


async def say(session: Any, client: aiohttp.ClientSession, messages: list[dict[str, Any]]) -> dict[str, Any]:
    body = {"model": session.endpoint.model, "messages": messages, "tools": [TOOL]}
    headers = {"Authorization": f"Bearer {session.endpoint.api_key}"}
    async with client.post(
        f"{session.endpoint.base_url}/chat/completions", json=body, headers=headers
    ) as answer:
        assert answer.status == 200, await answer.text()
        message: dict[str, Any] = (await answer.json())["choices"][0]["message"]
        return message


def recorded(*, rewrite: bool) -> Recording:
    """Three turns with tool calls; with `rewrite` the third forgets the second, as a condenser does."""

    async def run() -> Recording:
        script = [call_text("bash", {"command": "ls"}), call_text("bash", {"command": "wc -l a"}), "It is 3."]
        engine = ScriptedEngine(qwen_style_tokenizer(), script)
        async with opened(engine) as (gateway, session), aiohttp.ClientSession() as client:
            first = await say(session, client, START)
            result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "a"}
            history = [*START, first, result]
            second = await say(session, client, history)
            result = {"role": "tool", "tool_call_id": second["tool_calls"][0]["id"], "content": "3 a"}
            summary = {"role": "user", "content": "So far: one file, 3 lines."}
            await say(session, client, [*history, summary] if rewrite else [*history, second, result])
            return await gateway.close(session)

    return asyncio.run(run())
