"""The endpoint for callers that don't tell rollouts apart: choices with tokens, continuity, names of versions."""

import asyncio
from typing import Any

import aiohttp
from gateway_fakes import ScriptedEngine, call_text, opened, qwen_style_tokenizer

from tac_rl.gateway.shared_policy import SharedPolicy
from tac_rl.serving.endpoint import Endpoint

TOOL = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}
START = [{"role": "user", "content": "Count."}]


async def ask(endpoint: Endpoint, *, key: str | None = None, **fields: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {key or endpoint.api_key}"}
    body = {"model": "clerk", "messages": START, "tools": [TOOL], **fields}
    async with aiohttp.ClientSession(headers=headers) as client:
        async with client.post(f"{endpoint.base_url}/chat/completions", json=body) as answer:
            return answer.status, await answer.json()


def talk(conversation: Any, *script: Any) -> ScriptedEngine:
    engine = ScriptedEngine(qwen_style_tokenizer(), script)

    async def run() -> None:
        async with opened(engine) as (gateway, _):
            policy, endpoint = gateway.shared_policy(context_limit=4096)
            policy.serve({"clerk": 5})
            await conversation(policy, endpoint)

    asyncio.run(run())
    return engine


def test_a_choice_carries_its_exact_tokens_and_the_next_turn_continues_them() -> None:
    async def conversation(_: SharedPolicy, endpoint: Endpoint) -> None:
        _, first = await ask(endpoint)
        choice = first["choices"][0]
        assert [entry["token"] for entry in choice["logprobs"]["content"]] == [
            f"token_id:{token}" for token in choice["token_ids"]
        ]
        message = choice["message"]
        # Sent back by a harness that dumps arguments its own way.
        message["tool_calls"][0]["function"]["arguments"] = '{"command":   "ls"}'
        answer = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "a"}
        _, second = await ask(endpoint, messages=[*START, message, answer])
        next_choice = second["choices"][0]
        so_far = [*choice["prompt_token_ids"], *choice["token_ids"]]
        assert next_choice["prompt_token_ids"][: len(so_far)] == so_far
        assert (next_choice["policy_version"], next_choice["temperature"]) == (5, 1.0)

    engine = talk(conversation, call_text("bash", {"command": "ls"}), "One.")
    assert engine.versions == [5, 5]
    assert engine.samplings[0].seed != engine.samplings[1].seed


def test_the_same_request_is_two_draws_and_each_is_continued_by_its_own_tokens() -> None:
    text = call_text("bash", {"command": "ls"})

    async def conversation(_: SharedPolicy, endpoint: Endpoint) -> None:
        drawn = [(await ask(endpoint))[1]["choices"][0] for _ in range(2)]
        assert drawn[0]["token_ids"] != drawn[1]["token_ids"]
        for choice in drawn:
            message = choice["message"]
            answer = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "a"}
            _, after = await ask(endpoint, messages=[*START, message, answer])
            so_far = [*choice["prompt_token_ids"], *choice["token_ids"]]
            assert after["choices"][0]["prompt_token_ids"][: len(so_far)] == so_far

    engine = talk(conversation, text, text + " ", "One.", "Two.")
    assert engine.samplings[0].seed != engine.samplings[1].seed


def test_names_of_old_versions_wrong_keys_and_wishes_that_change_the_meaning_are_refused() -> None:
    async def conversation(policy: SharedPolicy, endpoint: Endpoint) -> None:
        policy.serve({"clerk@6": 6})
        status, body = await ask(endpoint)
        assert (status, body["error"]["code"]) == (404, "model_not_found")
        assert "served are clerk@6" in body["error"]["message"]
        assert (await ask(endpoint, key="tac-wrong", model="clerk@6"))[0] == 401
        for wish in ({"top_logprobs": 3}, {"n": 2}, {"chat_template_kwargs": {"a": 1}}, {"stream": True}):
            assert (await ask(endpoint, model="clerk@6", **wish))[0] == 400
        status, _ = await ask(endpoint, model="clerk@6", logprobs=True, top_logprobs=0, return_token_ids=True)
        assert status == 200

    talk(conversation)
