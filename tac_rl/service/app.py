"""The service's HTTP application.

    POST /v1/chat/completions   GET /v1/models   POST /solve   with a key
    GET  /health   GET /metrics                                without one

Errors have OpenAI's format. Keys are never logged; nothing of a request is.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from tac_rl.errors import EngineError
from tac_rl.gateway.http import Handler, json_answer, json_of, openai_errors, wrong_key
from tac_rl.gateway.keys import accepts
from tac_rl.gateway.plain_model import PlainModel
from tac_rl.gateway.protocol import ApiError, models_body
from tac_rl.service.metrics import Metrics
from tac_rl.service.solve import Solver, parse_task
from tac_rl.service.streaming import chunks
from tac_rl.serving.base import Engine

_OPEN = ("/health", "/metrics")


class Service:
    """One policy version and its base, for whoever has a key."""

    def __init__(
        self,
        engine: Engine,
        models: Sequence[PlainModel],
        solver: Solver,
        *,
        keys: Sequence[str],
        metrics: Metrics,
        max_solving: int,
        max_request_mb: int,
    ) -> None:
        """`models[0]` answers where a request names none. `max_solving`: tasks worked on at once; more get a 429."""
        self._engine = engine
        self._models: Mapping[str, PlainModel] = {model.name: model for model in models}
        self._solver = solver
        self._keys = tuple(keys)
        self._metrics = metrics
        self._max_solving = max_solving
        self._solving = 0
        self.app = web.Application(
            middlewares=[self._measured(), openai_errors, self._authenticated()],
            client_max_size=max_request_mb << 20,
        )
        self.app.router.add_post("/v1/chat/completions", self._chat)
        self.app.router.add_get("/v1/models", self._list_models)
        self.app.router.add_post("/solve", self._solve)
        self.app.router.add_get("/health", self._health)
        self.app.router.add_get("/metrics", self._show_metrics)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await json_of(request)
        if not isinstance(body, dict):
            raise ApiError.invalid("the request body is not a JSON object")
        streamed = bool(body.pop("stream", False))
        options = body.pop("stream_options", None)
        completion = await self._model_of(body).complete(body)
        for kind in ("prompt", "completion"):
            self._metrics.tokens.labels(kind).inc(completion["usage"][f"{kind}_tokens"])
        if not streamed:
            return json_answer(completion)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with suppress(ConnectionError):
            for chunk in chunks(completion, with_usage=bool((options or {}).get("include_usage"))):
                await response.write(chunk)
            await response.write_eof()
        return response

    def _model_of(self, body: Mapping[str, Any]) -> PlainModel:
        name = body.get("model") or next(iter(self._models))
        model = self._models.get(str(name))
        if model is None:
            known = ", ".join(self._models)
            raise ApiError(
                404, f"no model {name!r} here; there are {known}", code="model_not_found", param="model"
            )
        return model

    async def _list_models(self, request: web.Request) -> web.Response:
        return json_answer(models_body(list(self._models)))

    async def _solve(self, request: web.Request) -> web.StreamResponse:
        task = parse_task(await json_of(request))
        if task.company is not None and self._solver.workshop.office is None:
            raise ApiError.invalid("company: this server was started without an office (--office)", "company")
        with self._place():
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)
            # A client that goes away ends the work: the next line can't be written, and leaving `lines` ends it.
            async with aclosing(self._solver.solve(task)) as lines:
                with suppress(ConnectionError):
                    async for line in lines:
                        if line["event"] in ("finished", "failed"):
                            self._metrics.solved.labels(line.get("ending", line["event"])).inc()
                        await response.write(json.dumps(line).encode() + b"\n")
                    await response.write_eof()
            return response

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._solving >= self._max_solving:
            raise ApiError(
                429,
                f"{self._max_solving} tasks are being worked on; try again later",
                code="busy",
                kind="rate_limit_error",
            )
        self._solving += 1
        self._metrics.solving.set(self._solving)
        try:
            yield
        finally:
            self._solving -= 1
            self._metrics.solving.set(self._solving)

    async def _health(self, request: web.Request) -> web.Response:
        try:
            await self._engine.check()
        except EngineError as error:
            raise ApiError(
                503, f"the engine does not answer: {error}", code="engine_failed", kind="server_error"
            ) from error
        return json_answer({"status": "ok", "engine": self._engine.kind, "models": list(self._models)})

    async def _show_metrics(self, request: web.Request) -> web.Response:
        return self._metrics.page()

    def _authenticated(self) -> Middleware:
        @web.middleware
        async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
            header = request.headers.get("Authorization", "")
            if request.path not in _OPEN and not accepts(self._keys, header):
                raise wrong_key()
            return await handler(request)

        return authenticated

    def _measured(self) -> Middleware:
        @web.middleware
        async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
            # The resource, not the path: whoever asks for a thousand paths must not make a thousand counters.
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "other"
            started = time.perf_counter()
            response = await handler(request)
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
            self._metrics.requests.labels(route, str(response.status)).inc()
            return response

        return measured


@asynccontextmanager
async def listening(service: Service, host: str, port: int) -> AsyncIterator[int]:
    """Serve until the block ends; gives the port. `OSError` where it can't be listened on."""
    runner = web.AppRunner(service.app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
