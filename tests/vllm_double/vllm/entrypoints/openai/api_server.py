"""A double of vLLM's server: no model, but the documented endpoints of LoRA loading and of sleep mode, faults included.

A version "answers" with the mark that its adapter carries (the first weight of its first tensor, a whole number), so
a test sees whose weights answered. As the real server it
- has /sleep, /wake_up and /is_sleeping only with VLLM_SERVER_DEV_MODE=1, and sleeps only with --enable-sleep-mode,
- aborts what is in flight when it is put to sleep without mode=wait,
- serves a name that is loaded again from what it remembers of that name (stale prefix cache),
- brings adapters back from sleep corrupt (their mark is off by 1000000),
and it fails requests that reach it asleep. `GET /double` tells what happened.
"""

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

from aiohttp import web
from safetensors.numpy import load_file


class Double:
    def __init__(self, *, can_sleep: bool, context: int) -> None:
        self.can_sleep = can_sleep
        self.context = context
        self.asleep = False
        self.marks: dict[str, int] = {"base": 0}
        self.remembered: dict[str, int] = {}
        self.in_flight = 0
        self.idle = asyncio.Condition()
        self.abort = asyncio.Event()
        self.seen = {"sleeps": 0, "wakes": 0, "completions": 0, "aborted": 0, "asked_asleep": 0}

    async def complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.asleep:
            self.seen["asked_asleep"] += 1
            return web.json_response({"error": "asleep"}, status=500)
        if body["model"] not in self.marks:
            return web.json_response({"error": "no such model"}, status=404)
        abort = self.abort
        self.in_flight += 1
        try:
            await asyncio.wait_for(abort.wait(), 0.002)
        except TimeoutError:
            pass  # the time that it takes
        finally:
            async with self.idle:
                self.in_flight -= 1
                self.idle.notify_all()
        if abort.is_set():
            self.seen["aborted"] += 1
            return web.json_response({"error": "aborted"}, status=500)
        self.seen["completions"] += 1
        mark = self.remembered.setdefault(body["model"], self.marks[body["model"]])
        choice: dict[str, Any] = {
            "token_ids": [mark] * body["max_tokens"],
            "logprobs": {"token_logprobs": [-0.5] * body["max_tokens"]},
            "finish_reason": "length",
        }
        if "prompt_logprobs" in body:
            scored = [{str(token): {"logprob": logprob(mark, token)}} for token in body["prompt"][1:]]
            choice["prompt_logprobs"] = [None, *scored]
        return web.json_response({"choices": [choice]})

    async def load(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["lora_name"] in self.marks:
            return web.json_response({"error": "this name is loaded"}, status=400)
        weights = load_file(Path(body["lora_path"]) / "adapter_model.safetensors")
        self.marks[body["lora_name"]] = round(float(weights[min(weights)].flat[0]))
        return web.Response(text="Success")

    async def unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        known = self.marks.pop(name, None) is not None
        return web.Response(text="Success" if known else "unknown", status=200 if known else 404)

    async def sleep(self, request: web.Request) -> web.Response:
        if not self.can_sleep:
            return web.json_response({"error": "sleep mode is not enabled"}, status=500)
        if request.query.get("mode", "abort") == "wait":
            async with self.idle:
                await self.idle.wait_for(lambda: not self.in_flight)
        self.abort.set()
        self.abort = asyncio.Event()
        self.asleep = True
        self.seen["sleeps"] += 1
        return web.json_response({"status": "sleeping"})

    async def wake(self, request: web.Request) -> web.Response:
        self.asleep = False
        self.seen["wakes"] += 1
        self.marks = {name: mark + 1000000 * (name != "base") for name, mark in self.marks.items()}
        self.remembered.clear()
        return web.json_response({"status": "awake"})

    def application(self, *, key: str, dev_mode: bool) -> web.Application:
        @web.middleware
        async def with_key(request: web.Request, handler: Any) -> Any:
            if request.path.startswith("/v1") and request.headers.get("Authorization") != f"Bearer {key}":
                return web.json_response({"error": "unauthorized"}, status=401)
            return await handler(request)

        async def answer(payload: Any) -> web.Response:
            return web.json_response(payload)

        app = web.Application(middlewares=[with_key])
        app.router.add_get("/health", lambda request: answer({}))
        app.router.add_get("/double", lambda request: answer({**self.seen, "asleep": self.asleep}))
        app.router.add_get(
            "/v1/models", lambda request: answer({"data": [{"max_model_len": self.context, "id": "base"}]})
        )
        app.router.add_post("/v1/completions", self.complete)
        app.router.add_post("/v1/load_lora_adapter", self.load)
        app.router.add_post("/v1/unload_lora_adapter", self.unload)
        if dev_mode:
            app.router.add_post("/sleep", self.sleep)
            app.router.add_post("/wake_up", self.wake)
            app.router.add_get("/is_sleeping", lambda request: answer({"is_sleeping": self.asleep}))
        return app


def logprob(mark: int, token: int) -> float:
    """What a version with this mark answers for a token: different for every mark."""
    return -1.0 - mark * 1e-3 - token * 1e-6


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--enable-sleep-mode", action="store_true")
    options, _ = parser.parse_known_args()
    double = Double(can_sleep=options.enable_sleep_mode, context=options.max_model_len)
    app = double.application(
        key=os.environ["VLLM_API_KEY"], dev_mode=os.environ.get("VLLM_SERVER_DEV_MODE") == "1"
    )
    web.run_app(app, host=options.host, port=options.port, print=None)
