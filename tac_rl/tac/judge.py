"""The LLM judge's door: a port in a sandbox without a network that leads to one model, and nowhere else.

Whoever asks there gets that model, whatever it asked for, and never sees the key.
"""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from tac_rl.config.office import JudgeSection
from tac_rl.errors import ConfigError

PORT = 4000
"""In sandboxes."""

_MOST_BYTES = 32 << 20  # A judge may be shown pictures.
_log = logging.getLogger(__name__)


def variables(section: JudgeSection) -> dict[str, str]:
    """What TAC's `config.py` reads."""
    model = section.model.removeprefix("openai/")
    return {
        "LITELLM_BASE_URL": f"http://127.0.0.1:{PORT}/v1",
        "LITELLM_MODEL": f"openai/{model}",  # The protocol, in litellm's words.
        "LITELLM_API_KEY": "held-by-the-office",
    }


@asynccontextmanager
async def answering(section: JudgeSection, listener: socket.socket) -> AsyncIterator[None]:
    """Pass on chat completions that arrive at a listening socket, which stays the caller's."""
    headers = {"Authorization": f"Bearer {_key(section)}"} if section.api_key_file else {}
    url = f"{section.base_url.rstrip('/')}/chat/completions"
    timeout = aiohttp.ClientTimeout(total=section.seconds)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as client:

        async def complete(request: web.Request) -> web.Response:
            try:
                asked = json.loads(await request.read())
                body = {**asked, "model": section.model, "stream": False}
            except (ValueError, TypeError):
                return _refusal(400, "the body must be a JSON object")
            try:
                async with client.post(url, json=body) as answer:
                    content = await answer.read()
                    return web.Response(status=answer.status, body=content, content_type="application/json")
            except (aiohttp.ClientError, TimeoutError) as error:
                _log.warning("the judge at %s: %s", section.base_url, error or type(error).__name__)
                return _refusal(502, f"the judge did not answer: {type(error).__name__}")

        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/v1/chat/completions", complete)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, listener.dup()).start()
            yield
        finally:
            await asyncio.shield(runner.cleanup())


def _key(section: JudgeSection) -> str:
    assert section.api_key_file is not None
    try:
        return section.api_key_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"office.judge.api_key_file: {error}") from None


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "judge"}}, status=status)
