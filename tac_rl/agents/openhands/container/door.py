"""The agent-server's door to the model: a port in its sandbox that leads to this rollout's endpoint, nowhere else.

The key stays outside. What passes is counted, limited and told here, because everything in the sandbox, the
agent's own process included, is in the model's reach.
"""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tac_rl.agents.base import ENDINGS_BY_CODE, AgentLimits, AgentStep, Ending
from tac_rl.agents.calls import too_many
from tac_rl.errors import GatewayError
from tac_rl.sandboxes.base import ExecResult
from tac_rl.serving.endpoint import Endpoint

PORT = 4010
"""In sandboxes."""

_MOST_BYTES = 32 << 20
_EXIT_CODE = re.compile(r"\[[^\[\]]*exit code (-?\d+)[^\[\]]*\]\s*\Z")


class Door:
    """One conversation's. Call everything from the event loop's thread."""

    def __init__(self, endpoint: Endpoint, limits: AgentLimits, watch: Callable[[AgentStep], None]) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._watch = watch
        self._malformed = 0
        """Replies in a row that had a malformed call."""
        self._beginning: tuple[Any, Any] | None = None
        """Tools and first message of the agent's first call."""
        self._reply: dict[str, Any] | None = None
        """The newest reply, until it is known what came of it."""
        self._replied = 0.0
        self.turns = 0
        self.calls_last = False
        """Whether the newest reply has a tool call."""
        self.ending: Ending | None = None
        """How the attempt ended, where that was seen here."""
        self.detail = ""
        self.failure: GatewayError | None = None
        self.over = asyncio.Event()
        """Set where there is an ending or a failure: nothing passes any more."""

    @asynccontextmanager
    async def answering(self, listener: socket.socket, *, call_timeout_s: float) -> AsyncIterator[None]:
        """Pass on chat completions that arrive at a listening socket, which stays the caller's."""
        headers = {"Authorization": f"Bearer {self._endpoint.api_key}"}
        timeout = aiohttp.ClientTimeout(total=call_timeout_s)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as client:

            async def complete(request: web.Request) -> web.Response:
                return await self._complete(client, await request.read())

            app = web.Application(client_max_size=_MOST_BYTES)
            app.router.add_post("/v1/chat/completions", complete)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            try:
                await web.SockSite(runner, listener.dup()).start()
                yield
            finally:
                await asyncio.shield(runner.cleanup())

    def flush(self) -> None:
        """Tell about the newest reply, whose results no call has brought."""
        self._tell({})

    async def _complete(self, client: aiohttp.ClientSession, data: bytes) -> web.Response:
        try:
            asked = json.loads(data)
            tools, messages = asked.get("tools"), asked["messages"]
            beginning = (tools, messages[0])
        except (ValueError, TypeError, LookupError, AttributeError):
            return _refusal(400, "the body must be a chat completion request")
        if not tools or (self._beginning is not None and beginning != self._beginning):
            # A title, or a command that asks the model: no turn of the agent's.
            return _refusal(403, "only the agent's own turns are answered here")
        self._beginning = beginning
        self._tell(_results(messages))
        if self.over.is_set():
            return _refusal(410, "the attempt is over")
        if self.turns >= self._limits.max_turns:
            self._end(Ending.OUT_OF_TURNS, f"{self.turns} turns are used up")
            return _refusal(410, "the attempt is over")
        try:
            async with client.post(
                f"{self._endpoint.base_url}/chat/completions",
                data=data,
                headers={"Content-Type": "application/json"},
            ) as answer:
                content = await answer.read()
                self._note(answer.status, content, tools)
                return web.Response(status=answer.status, body=content, content_type="application/json")
        except (aiohttp.ClientError, TimeoutError) as error:
            self._fail(f"{self._endpoint.base_url}: {type(error).__name__}: {error}")
            return _refusal(502, "the endpoint did not answer")

    def _note(self, status: int, content: bytes, tools: Any) -> None:
        """Remember what the endpoint answered."""
        try:
            payload = json.loads(content)
            if status != 200:
                error = payload["error"]
                ending = ENDINGS_BY_CODE.get(str(error.get("code")))
                if ending is not None:
                    self._end(ending, str(error.get("message")))
                    return
                raise ValueError(str(error.get("message")))
            reply = payload["choices"][0]["message"]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            self._fail(f"{self._endpoint.base_url} answered {status}: {error}")
            return
        self.turns += 1
        self._reply, self._replied = reply, time.monotonic()
        calls = reply.get("tool_calls") or []
        self.calls_last = bool(calls)
        wrong = next((why for call in calls if (why := _malformed(call, tools))), "")
        if not calls and not (reply.get("content") or "").strip():
            wrong = "the reply is empty"
        self._malformed = self._malformed + 1 if wrong else 0
        if self._malformed >= self._limits.max_malformed:
            self._tell({})
            self._end(Ending.AGENT_FAILED, too_many(self._malformed, wrong))

    def _tell(self, results: dict[str, str]) -> None:
        """Tell about each call of the newest reply and what came of it, by the call's id."""
        reply, self._reply = self._reply, None
        if reply is None:
            return
        seconds = time.monotonic() - self._replied
        text = (reply.get("content") or "").strip()
        calls = reply.get("tool_calls") or []
        if not calls:
            self._watch(AgentStep(self.turns, text, "", "", None))
        for number, call in enumerate(calls):
            name, arguments = str(call["function"]["name"]), str(call["function"]["arguments"])
            result = None
            if (output := results.get(call.get("id"))) is not None:
                found = _EXIT_CODE.search(output)
                code = int(found[1]) if found else None
                result = ExecResult(output, code, False, code == -1, seconds / len(calls))
            self._watch(
                AgentStep(self.turns, text if number == 0 else "", name, _command(name, arguments), result)
            )

    def _end(self, ending: Ending, detail: str) -> None:
        if not self.over.is_set():
            self.ending, self.detail = ending, detail
            self.over.set()

    def _fail(self, why: str) -> None:
        if not self.over.is_set():
            self.failure = GatewayError(why)
            self.over.set()


def _results(messages: Any) -> dict[str, str]:
    """What the newest tool messages say, by their calls' ids."""
    found: dict[str, str] = {}
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role") == "assistant":
            break
        if message.get("role") == "tool":
            content = message.get("content")
            parts = [content] if isinstance(content, str) else [p.get("text", "") for p in content or ()]
            found[str(message.get("tool_call_id"))] = "".join(parts)
    return found


def _malformed(call: Any, tools: Any) -> str:
    """Why nobody can carry out a call; empty where it can be tried."""
    name = call["function"]["name"]
    if name not in [tool["function"]["name"] for tool in tools]:
        return f"there is no tool {name[:40]!r}"
    try:
        arguments = json.loads(call["function"]["arguments"])
    except (ValueError, RecursionError):
        return "the arguments are no JSON"
    return "" if isinstance(arguments, dict) else "the arguments are no object"


def _command(name: str, arguments: str) -> str:
    """The terminal's command; the arguments as they came for all others."""
    if name == "terminal":
        try:
            command = json.loads(arguments)["command"]
        except (ValueError, TypeError, LookupError, RecursionError):
            return arguments
        if isinstance(command, str):
            return command
    return arguments


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "invalid_request_error"}}, status=status)
