"""The trainer's side of a gateway service: the engine and the gateway are another process's, perhaps elsewhere.

One connection carries both: to a publisher this is the engine, to rollouts the gateway. Agents talk to the
service's HTTP door as they would to a gateway of this process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tac_rl.config.engine import EngineSection
from tac_rl.config.gateway import GatewaySection
from tac_rl.errors import EngineError
from tac_rl.gateway.base import OpenSession
from tac_rl.gateway.recording import Recording
from tac_rl.gateway.renderer import Renderer
from tac_rl.parts import Part, Settings
from tac_rl.serving.base import BASE_VERSION, Completion, Sampling
from tac_rl.serving.calls import Calls
from tac_rl.serving.endpoint import Endpoint
from tac_rl.serving.links import Message, ServiceLink

_CONTROL_SECONDS = 60.0
"""Limit of what computes nothing: opening and closing sessions, health."""
_RECORDING = TypeAdapter(Recording)


def gateway_part(*, host: str, port: int, url: str | None) -> Part:
    """The gateway as a service; its HTTP door has one address, so one trainer at a time has it."""

    @contextmanager
    def prepare(settings: Settings) -> Iterator[Settings]:
        yield {**settings, "gateway": {**settings["gateway"], "port": port}, "host": host, "url": url}

    return Part("tac_rl.gateway.worker", prepare, alone=True)


class RemoteGateway:
    """A `SleepingEngine` and a `SessionDoor` over one connection to a gateway service.

    `start` after a death (or `stop`) starts both afresh, with the base only.
    """

    def __init__(self, model_path: Path, engine: EngineSection, gateway: GatewaySection) -> None:
        self.model_path = model_path
        self.kind = "gateway"
        """The engine's kind once it is started."""
        self._engine = engine
        self._gateway = gateway
        self._calls = Calls("the gateway", EngineError)
        self._versions = frozenset({BASE_VERSION})
        self._renderer: Renderer | None = None

    async def start(self) -> None:
        await self.stop()
        assert self._gateway.socket is not None
        settings = {
            "model": str(self.model_path.resolve()),
            "engine": self._engine.model_dump(mode="json"),
            "gateway": self._gateway.model_dump(mode="json"),
        }
        ready = await self._calls.open(
            ServiceLink(self._gateway.socket, "gateway.socket", EngineError),
            settings,
            limit_s=self._engine.start_timeout_s + _CONTROL_SECONDS,
            setting="engine.start_timeout_s",
        )
        self.kind = ready["kind"]
        self._versions = frozenset(ready["versions"])

    async def stop(self) -> None:
        await self._calls.close()

    # The engine ------------------------------------------------------------------------------------------

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        found = await self._compute(
            op="generate", prompt=list(prompt_ids), sampling=asdict(sampling), version=version
        )
        return Completion(tuple(found["token_ids"]), tuple(found["logprobs"]), found["finish_reason"])

    async def score(self, token_ids: Sequence[int], version: int) -> tuple[float, ...]:
        return tuple((await self._compute(op="score", tokens=list(token_ids), version=version))["logprobs"])

    async def load(self, adapter: Path, version: int) -> None:
        await self._compute(op="load", path=str(Path(adapter).resolve()), version=version)
        self._versions |= {version}

    async def retire(self, version: int) -> None:
        await self._compute(op="retire", version=version)
        self._versions -= {version}

    def loaded_versions(self) -> frozenset[int]:
        return self._versions

    async def check(self) -> None:
        await self._calls.request({"op": "check"}, _CONTROL_SECONDS)

    async def sleep(self) -> None:
        await self._compute(op="sleep")

    async def wake(self) -> None:
        await self._compute(op="wake")

    # The gateway -----------------------------------------------------------------------------------------

    async def open(
        self,
        rollout_id: str,
        *,
        version: int,
        sampling: Sampling,
        context_limit: int,
        max_calls: int | None = None,
    ) -> "RemoteSession":
        request: Message = {
            "op": "open",
            "rollout": rollout_id,
            "version": version,
            "sampling": asdict(sampling),
            "context_limit": context_limit,
            "max_calls": max_calls,
        }
        found = await self._calls.request(request, _CONTROL_SECONDS)
        return RemoteSession(found["session"], Endpoint(**found["endpoint"]), self._calls)

    async def close(self, session: OpenSession) -> Recording:
        return await session.close()

    async def base_endpoint(self, *, context_limit: int) -> Endpoint:
        request = {"op": "base_endpoint", "context_limit": context_limit}
        return Endpoint(**await self._calls.request(request, _CONTROL_SECONDS))

    def count_tokens(self, text: str) -> int:
        if self._renderer is None:
            self._renderer = Renderer.from_path(self.model_path)
        return self._renderer.count(text)

    async def _compute(self, **request: Any) -> dict[str, Any]:
        return await self._calls.request(request, self._engine.request_timeout_s + _CONTROL_SECONDS)


class RemoteSession:
    """A session of the service's gateway."""

    def __init__(self, session_id: str, endpoint: Endpoint, calls: Calls) -> None:
        self.id = session_id
        self.endpoint = endpoint
        self._calls = calls

    async def close(self) -> Recording:
        """Once. Raises `EngineError` where the gateway is gone, and with it what it recorded."""
        found = await self._calls.request({"op": "close", "session": self.id}, _CONTROL_SECONDS)
        return _RECORDING.validate_python(found["recording"])
