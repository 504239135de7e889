"""The OpenAI-compatible server between every agent and the engine: one URL and one key per rollout.

    /r/<id>/v1/chat/completions    /r/<id>/v1/models    /base/v1/chat/completions    /health
    /policy/v1/chat/completions    /policy/v1/models

Colleagues and judges find the base model under `/base` (`plain_model.py`), code written for ART the policy's versions
under `/policy` (`shared_policy.py`). It listens on the loopback address, unless it is a service of its own
(`serve_part.py`). Clients get OpenAI's error format for everything, also for unknown paths. After `close` a rollout's
URL answers 410.
"""

import asyncio
import errno
import secrets

from aiohttp import web

from tac_rl.config.gateway import GatewaySection
from tac_rl.errors import ConfigError, EngineError, GatewayError
from tac_rl.gateway.base import OpenSession
from tac_rl.gateway.http import json_answer, json_of, openai_errors, wrong_key
from tac_rl.gateway.keys import accepts
from tac_rl.gateway.plain_model import PlainModel
from tac_rl.gateway.protocol import ApiError, completion_body, models_body, parse_request
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.session import Recording, Session
from tac_rl.gateway.shared_policy import SharedPolicy
from tac_rl.serving.base import BASE_VERSION, Engine, Sampling
from tac_rl.serving.endpoint import Endpoint

HOST = "127.0.0.1"
_HEALTH_TIMEOUT_S = 10.0


class Gateway:
    """Serves sessions on top of one engine. `start` before `open`, `stop` when done."""

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        config: GatewaySection | None = None,
        *,
        host: str = HOST,
        url: str | None = None,
    ) -> None:
        """`host`: the address to listen on; `url`: how agents reach it, where that differs."""
        self._host = host
        self._url = url
        self._engine = engine
        self._renderer = renderer
        self._config = config or GatewaySection()
        self._sessions: dict[str, Session] = {}
        self._closed: set[str] = set()
        self._base: tuple[PlainModel, Endpoint] | None = None
        self._shared: tuple[SharedPolicy, Endpoint] | None = None
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """How agents reach the server, without a path."""
        return self._url or f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen; raises `ConfigError` where the configured port is taken."""
        app = web.Application(middlewares=[openai_errors], client_max_size=self._config.max_request_mb << 20)
        app.router.add_post("/r/{session}/v1/chat/completions", self._chat)
        app.router.add_get("/r/{session}/v1/models", self._models)
        app.router.add_post("/base/v1/chat/completions", self._base_chat)
        app.router.add_post("/policy/v1/chat/completions", self._shared_chat)
        app.router.add_get("/policy/v1/models", self._shared_models)
        app.router.add_get("/health", self._health)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._config.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise ConfigError(
                    f"gateway.port: {self._host}:{self._config.port} can't be listened on ({error.strerror}); "
                    "choose another port, or 0 for a free one"
                ) from error
            raise GatewayError(f"the gateway can't listen on {self._host}: {error}") from error
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every session and the server. Safe to call twice."""
        for session in list(self._sessions.values()):
            await self.close(session)
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def open(
        self,
        rollout_id: str,
        *,
        version: int,
        sampling: Sampling,
        context_limit: int,
        max_calls: int | None = None,
    ) -> Session:
        """An endpoint for one rollout, pinned to policy `version` and to `sampling`.

        `context_limit` is in tokens, prompt and reply together. Without stop tokens in `sampling`, those of
        the model's template are used. `sampling.seed` gives every call a seed of its own.
        """
        if self._runner is None:
            raise GatewayError("the gateway is not running; call start() before open()")
        session = Session(
            self._engine,
            self._renderer,
            rollout_id=rollout_id,
            version=version,
            sampling=sampling,
            context_limit=context_limit,
            max_calls=max_calls or self._config.max_calls,
            call_timeout_s=self._config.call_timeout_s,
            model=f"policy-{version}",
            url_of=lambda session_id: f"{self.url}/r/{session_id}/v1",
        )
        self._sessions[session.id] = session
        return session

    def plain_model(self, version: int, name: str, *, context_limit: int) -> PlainModel:
        """A version for callers of our own process that are no rollout; see `PlainModel`."""
        return PlainModel(
            self._engine, self._renderer, version, name, context_limit, self._config.call_timeout_s
        )

    def base_model(self, *, context_limit: int) -> Endpoint:
        """An endpoint on the base model for whoever is no rollout; it lasts as long as the gateway.

        Always the base: a colleague doesn't change its mind because the policy learnt something.
        `context_limit` is in tokens, prompt and reply together.
        """
        if self._runner is None:
            raise GatewayError("the gateway is not running; call start() before base_model()")
        if self._base is None:
            model = self.plain_model(BASE_VERSION, "base", context_limit=context_limit)
            endpoint = Endpoint(f"{self.url}/base/v1", f"tac-{secrets.token_urlsafe(24)}", model.name)
            self._base = model, endpoint
        return self._base[1]

    def shared_policy(self, *, context_limit: int, seed: int = 0) -> tuple[SharedPolicy, Endpoint]:
        """One endpoint for all rollouts of a caller that doesn't tell them apart; see `SharedPolicy`.

        It lasts as long as the gateway. The endpoint's model is empty: names come and go by `SharedPolicy.serve`.
        """
        if self._runner is None:
            raise GatewayError("the gateway is not running; call start() before shared_policy()")
        if self._shared is None:
            policy = SharedPolicy(
                self._engine,
                self._renderer,
                context_limit=context_limit,
                call_timeout_s=self._config.call_timeout_s,
                seed=seed,
            )
            self._shared = policy, Endpoint(f"{self.url}/policy/v1", f"tac-{secrets.token_urlsafe(24)}", "")
        return self._shared

    def count_tokens(self, text: str) -> int:
        """Tokens of a text for the engine's model."""
        return self._renderer.count(text)

    async def base_endpoint(self, *, context_limit: int) -> Endpoint:
        """Where `base_model` answers."""
        return self.base_model(context_limit=context_limit)

    async def close(self, session: OpenSession) -> Recording:
        """End a session (calls in flight are given up) and hand out what it recorded."""
        if self._sessions.pop(session.id, None) is not None:
            self._closed.add(session.id)
        return await session.close()

    def _session_of(self, request: web.Request) -> Session:
        session_id = request.match_info["session"]
        session = self._sessions.get(session_id)
        if session is None:
            if session_id in self._closed:
                raise ApiError(410, "this rollout is over; its endpoint is closed", code="rollout_closed")
            raise ApiError(404, "there is no such rollout", code="rollout_not_found")
        if not session.accepts(request.headers.get("Authorization", "")):
            raise wrong_key()
        return session

    async def _chat(self, request: web.Request) -> web.Response:
        session = self._session_of(request)
        body = await json_of(request)
        try:
            call = await session.complete(parse_request(body))
        except (ApiError, RecursionError):
            raise
        except Exception as error:
            session.fail(f"the gateway failed: {type(error).__name__}: {error}")
            raise
        assert call.finish_reason is not None
        if request.transport is not None and not request.transport.is_closing():
            call.delivered = True
        return json_answer(
            completion_body(
                f"chatcmpl-{session.id[:8]}-{call.index}",
                session.endpoint.model,
                call.reply,
                call.finish_reason,
                call.prompt_tokens(),
                len(call.completion_ids),
            )
        )

    async def _base_chat(self, request: web.Request) -> web.Response:
        if self._base is None:
            raise ApiError(404, "this gateway serves the base model to nobody")
        model, endpoint = self._base
        if not accepts((endpoint.api_key,), request.headers.get("Authorization", "")):
            raise wrong_key()
        return json_answer(await model.complete(await json_of(request)))

    def _shared_of(self, request: web.Request) -> SharedPolicy:
        if self._shared is None:
            raise ApiError(404, "this gateway serves the policy to rollouts only")
        policy, endpoint = self._shared
        if not accepts((endpoint.api_key,), request.headers.get("Authorization", "")):
            raise wrong_key()
        return policy

    async def _shared_chat(self, request: web.Request) -> web.Response:
        policy = self._shared_of(request)
        return json_answer(await policy.complete(await json_of(request)))

    async def _shared_models(self, request: web.Request) -> web.Response:
        return json_answer(self._shared_of(request).models())

    async def _models(self, request: web.Request) -> web.Response:
        return json_answer(models_body([self._session_of(request).endpoint.model]))

    async def _health(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT_S):
                await self._engine.check()
        except (EngineError, TimeoutError) as error:
            raise ApiError(
                503, f"the engine does not answer: {error}", code="engine_failed", kind="server_error"
            ) from error
        return json_answer({"status": "ok", "engine": self._engine.kind, "sessions": len(self._sessions)})
