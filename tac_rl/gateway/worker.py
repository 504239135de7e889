"""The process of a gateway service: `python -m tac_rl.gateway.worker FD PARENT_PID SETTINGS`.

Builds the engine and the gateway as a trainer would, and answers the trainer's requests on the socket FD (frames
as in `tac_rl.serving.links`): sessions are opened and closed, adapters published. It ends when that socket does.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tac_rl.config.engine import EngineSection
from tac_rl.config.gateway import GatewaySection
from tac_rl.errors import EngineError, GatewayError, TacRlError
from tac_rl.gateway.recording import Recording
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.gateway.session import Session
from tac_rl.parts import Settings, take_over
from tac_rl.serving.base import Engine, Sampling
from tac_rl.serving.build import build_engine
from tac_rl.serving.links import Message, frame, read_frame
from tac_rl.serving.vllm_engine import VllmEngine

RECORDING = TypeAdapter(Recording)
SAMPLING = TypeAdapter(Sampling)


class Desk:
    """Answers requests about one engine and the gateway on top of it."""

    def __init__(self, engine: Engine, gateway: Gateway) -> None:
        self._engine = engine
        self._gateway = gateway
        self._sessions: dict[str, Session] = {}
        self._operations: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "check": self._check,
            "generate": self._generate,
            "score": self._score,
            "load": self._load,
            "retire": self._retire,
            "open": self._open,
            "close": self._close,
            "base_endpoint": self._base_endpoint,
            "sleep": self._sleep,
            "wake": self._wake,
        }

    async def answer(self, request: Message) -> Message:
        """Do what one request asks; a failure is an answer too."""
        try:
            found = await self._operations[request["op"]](request)
        except TacRlError as error:
            return {"error": type(error).__name__, "message": str(error)}
        except Exception as error:
            logging.exception("request %s failed", request.get("op"))
            return {"error": GatewayError.__name__, "message": f"{type(error).__name__}: {error}"}
        return {"ok": found}

    async def _check(self, request: Message) -> Message:
        await self._engine.check()
        return {}

    async def _generate(self, request: Message) -> Message:
        sampling = SAMPLING.validate_python(request["sampling"])
        return asdict(await self._engine.generate(request["prompt"], sampling, request["version"]))

    async def _score(self, request: Message) -> Message:
        return {"logprobs": await self._engine.score(request["tokens"], request["version"])}

    async def _load(self, request: Message) -> Message:
        await self._engine.load(Path(request["path"]), request["version"])
        return {}

    async def _retire(self, request: Message) -> Message:
        await self._engine.retire(request["version"])
        return {}

    async def _open(self, request: Message) -> Message:
        session = await self._gateway.open(
            request["rollout"],
            version=request["version"],
            sampling=SAMPLING.validate_python(request["sampling"]),
            context_limit=request["context_limit"],
            max_calls=request["max_calls"],
        )
        self._sessions[session.id] = session
        return {"session": session.id, "endpoint": asdict(session.endpoint)}

    async def _close(self, request: Message) -> Message:
        session = self._sessions.pop(request["session"], None)
        if session is None:
            raise GatewayError(f"there is no open session {request['session']!r}")
        return {"recording": RECORDING.dump_python(await self._gateway.close(session), mode="json")}

    async def _base_endpoint(self, request: Message) -> Message:
        return asdict(await self._gateway.base_endpoint(context_limit=request["context_limit"]))

    async def _sleep(self, request: Message) -> Message:
        await self._sleeper().sleep()
        return {}

    async def _wake(self, request: Message) -> Message:
        await self._sleeper().wake()
        return {}

    def _sleeper(self) -> VllmEngine:
        if not isinstance(self._engine, VllmEngine):
            raise EngineError(f"the engine {self._engine.kind} has no sleep")
        return self._engine


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: Settings) -> None:
    """Until the trainer closes its end."""
    engine_section = EngineSection.model_validate(settings["engine"])
    model = Path(settings["model"])
    engine = build_engine(engine_section, model)
    gateway = Gateway(
        engine,
        Renderer.from_path(model),
        GatewaySection.model_validate(settings["gateway"]),
        host=settings["host"],
        url=settings["url"],
    )
    try:
        await engine.start()
        await gateway.start()
        ready = {"kind": engine.kind, "url": gateway.url, "versions": sorted(engine.loaded_versions())}
        writer.write(frame({"ready": ready}))
        await _answer_all(reader, writer, Desk(engine, gateway))
    finally:
        await gateway.stop()
        await engine.stop()


async def _answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, desk: Desk) -> None:
    working: dict[int, asyncio.Task[None]] = {}

    async def answer(request: Message) -> None:
        try:
            writer.write(frame({"id": request["id"], **await desk.answer(request)}))
        finally:
            working.pop(request["id"], None)

    while (request := await read_frame(reader)) is not None:
        if request["op"] != "cancel":
            working[request["id"]] = asyncio.create_task(answer(request))
        elif (task := working.get(request["target"])) is not None:
            task.cancel()
    for task in list(working.values()):
        task.cancel()


async def _main(arguments: list[str]) -> None:
    stream, settings = take_over(arguments)
    reader, writer = await asyncio.open_connection(sock=stream)
    try:
        await serve(reader, writer, settings)
    except TacRlError as error:
        await _say(writer, {"error": type(error).__name__, "message": str(error)})
    finally:
        writer.close()


async def _say(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(frame(message))
    await writer.drain()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(_main(sys.argv[1:]))
    os._exit(0)
