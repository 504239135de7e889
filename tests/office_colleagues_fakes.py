"""A fake language model behind an OpenAI-compatible URL: it answers what a script says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Script = Callable[[dict[str, Any]], Any]
"""Given a request's body: a text to say, an int (a status), or bytes (a body as it is)."""


@dataclass
class FakeOpenAI:
    """The server's side of the conversation, kept for the test to look at."""

    script: Script
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """Where set: answers wait for it."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        said = self.script(body)
        if isinstance(said, int):
            return web.Response(status=said, text="scripted failure")
        if isinstance(said, bytes):
            return web.Response(body=said, content_type="application/json")
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        return web.Response(text=json.dumps({"choices": [choice]}), content_type="application/json")


@asynccontextmanager
async def fake_openai(script: Script) -> AsyncIterator[FakeOpenAI]:
    """Serve the fake on loopback until the block ends."""
    fake = FakeOpenAI(script)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", fake._complete)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield fake
    finally:
        if fake.gate is not None:
            fake.gate.set()
        await runner.cleanup()
