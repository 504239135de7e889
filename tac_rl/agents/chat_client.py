"""The built-in agent's side of the endpoint: one chat completion, and what its failures mean."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from tac_rl.agents.base import ENDINGS_BY_CODE, Ending
from tac_rl.errors import GatewayError
from tac_rl.serving.endpoint import Endpoint


class EndOfWork(Exception):
    """The endpoint's answer ends the attempt, and it is nobody's failure."""

    def __init__(self, ending: Ending, detail: str) -> None:
        super().__init__(detail)
        self.ending = ending
        self.detail = detail


@dataclass(frozen=True)
class ChatReply:
    """One answer of the model."""

    message: dict[str, Any]
    """OpenAI's assistant message, to be sent back as it is."""
    cut: bool
    """It ran into the token limit."""

    @property
    def text(self) -> str:
        return self.message.get("content") or ""

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        return self.message.get("tool_calls") or []


class ChatClient:
    """Use as an async context manager; one connection serves all calls of a rollout."""

    def __init__(self, endpoint: Endpoint, tools: Sequence[dict[str, Any]], *, call_timeout_s: float) -> None:
        self._endpoint = endpoint
        self._tools = list(tools)
        self._call_timeout_s = call_timeout_s
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ChatClient":
        self._http = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._endpoint.api_key}"},
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def complete(self, messages: Sequence[dict[str, Any]], *, seconds_left: float) -> ChatReply:
        """One call. Raises `EndOfWork` where context, calls or time are used up, `GatewayError` otherwise."""
        assert self._http is not None
        body = {"model": self._endpoint.model, "messages": list(messages), "tools": self._tools}
        limit = min(seconds_left, self._call_timeout_s)
        try:
            async with asyncio.timeout(limit):
                async with self._http.post(
                    f"{self._endpoint.base_url}/chat/completions", json=body
                ) as response:
                    status, payload = response.status, json.loads(await response.read())
        except TimeoutError as error:
            if limit < self._call_timeout_s:
                raise EndOfWork(Ending.TIMED_OUT, "the time was over during a model call") from error
            raise GatewayError(f"no answer from {self._endpoint.base_url} within {limit:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise GatewayError(f"{self._endpoint.base_url}: {type(error).__name__}: {error}") from error
        if status != 200:
            raise self._failure(status, payload)
        try:
            choice = payload["choices"][0]
            return ChatReply(dict(choice["message"]), cut=choice["finish_reason"] == "length")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise GatewayError(
                f"{self._endpoint.base_url} answered something else than a chat completion"
            ) from error

    def _failure(self, status: int, payload: Any) -> Exception:
        details = payload.get("error") if isinstance(payload, dict) else None
        details = details if isinstance(details, dict) else {}
        message = str(details.get("message", payload))
        ending = ENDINGS_BY_CODE.get(str(details.get("code")))
        if ending is not None:
            return EndOfWork(ending, message)
        return GatewayError(f"{self._endpoint.base_url} answered {status}: {message}")
