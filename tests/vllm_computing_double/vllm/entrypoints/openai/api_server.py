"""A double of vLLM's server that computes: its endpoints over our transformers engine, on the CPU.

Unlike `vllm_double` it answers with the log-probabilities of the weights that it was given, so that a publish is proved
as with the real server. It can sleep. After `POST /double/stale` the next adapter that is loaded answers as the one
before it. `GET /double` tells what it was asked.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from aiohttp import web

from tac_rl.config.engine import EngineSection
from tac_rl.serving.base import Sampling
from tac_rl.serving.transformers_engine import TransformersEngine


class ComputingDouble:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        settings = EngineSection(
            placement="in_process", dtype=options.dtype, max_model_len=options.max_model_len
        )
        self.engine = TransformersEngine(Path(options.model), settings)
        self.versions = {options.served_model_name: 0}
        self.asleep = False
        self.loads: list[dict[str, Any]] = []
        self.stale = False
        self.seen = {"sleeps": 0, "wakes": 0, "asked_asleep": 0, "completions": 0}

    async def complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.asleep:
            self.seen["asked_asleep"] += 1
            return web.json_response({"error": "asleep"}, status=500)
        if body["model"] not in self.versions:
            return web.json_response({"error": "no such model"}, status=404)
        self.seen["completions"] += 1
        version, prompt = self.versions[body["model"]], body["prompt"]
        sampling = Sampling(
            body["temperature"],
            max_tokens=body["max_tokens"],
            stop_token_ids=tuple(body.get("stop_token_ids", ())),
            seed=body.get("seed"),
        )
        completion = await self.engine.generate(prompt, sampling, version)
        choice: dict[str, Any] = {
            "token_ids": completion.token_ids,
            "logprobs": {"token_logprobs": completion.logprobs},
            "finish_reason": completion.finish_reason,
        }
        if "prompt_logprobs" in body:
            scored = await self.engine.score(prompt, version)
            entries = [
                {str(token): {"logprob": value}} for token, value in zip(prompt[1:], scored, strict=True)
            ]
            choice["prompt_logprobs"] = [None, *entries]
        return web.json_response({"choices": [choice]})

    async def load(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["lora_name"] in self.versions:
            return web.json_response({"error": "this name is loaded"}, status=400)
        path = self.loads[-1]["lora_path"] if self.stale else body["lora_path"]
        self.loads.append(body)
        self.stale = False
        await self.engine.load(Path(path), len(self.loads))
        self.versions[body["lora_name"]] = len(self.loads)
        return web.Response(text="Success")

    async def unload(self, request: web.Request) -> web.Response:
        version = self.versions.pop((await request.json())["lora_name"], None)
        if version is None:
            return web.Response(status=404)
        await self.engine.retire(version)
        return web.Response(text="Success")

    async def go_stale(self, _: web.Request) -> web.Response:
        self.stale = True
        return web.json_response({})

    async def sleep(self, request: web.Request) -> web.Response:
        if not self.options.enable_sleep_mode or request.query.get("mode") != "wait":
            return web.json_response(
                {"error": "sleep mode is not enabled, or in-flight requests"}, status=400
            )
        self.asleep = True
        self.seen["sleeps"] += 1
        return web.json_response({})

    async def wake(self, _: web.Request) -> web.Response:
        self.asleep = False
        self.seen["wakes"] += 1
        return web.json_response({})

    def application(self) -> web.Application:
        key = os.environ["VLLM_API_KEY"]

        @web.middleware
        async def with_key(request: web.Request, handler: Any) -> Any:
            if request.path.startswith("/v1") and request.headers.get("Authorization") != f"Bearer {key}":
                return web.json_response({"error": "unauthorized"}, status=401)
            return await handler(request)

        def answer(payload: Any) -> Any:
            async def handler(_: web.Request) -> web.Response:
                return web.json_response(payload())

            return handler

        async def engine(_: web.Application) -> Any:
            await self.engine.start()
            yield
            await self.engine.stop()

        app = web.Application(middlewares=[with_key])
        app.cleanup_ctx.append(engine)
        model = {"id": self.options.served_model_name, "max_model_len": self.options.max_model_len}
        app.router.add_get("/health", answer(dict))
        app.router.add_get(
            "/double", answer(lambda: {**self.seen, "loads": self.loads, "asleep": self.asleep})
        )
        app.router.add_post("/double/stale", self.go_stale)
        app.router.add_get("/v1/models", answer(lambda: {"data": [model]}))
        app.router.add_post("/v1/completions", self.complete)
        app.router.add_post("/v1/load_lora_adapter", self.load)
        app.router.add_post("/v1/unload_lora_adapter", self.unload)
        app.router.add_post("/sleep", self.sleep)
        app.router.add_post("/wake_up", self.wake)
        app.router.add_get("/is_sleeping", answer(lambda: {"is_sleeping": self.asleep}))
        return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("model", "host", "dtype", "served-model-name"):
        parser.add_argument(f"--{name}")
    for name in ("port", "max-model-len"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--enable-sleep-mode", action="store_true")
    options, _ = parser.parse_known_args()
    web.run_app(ComputingDouble(options).application(), host=options.host, port=options.port, print=None)
