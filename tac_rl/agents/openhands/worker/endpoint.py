"""OpenHands' LLM on the gateway: one kept connection a conversation, and failures as what they are.

Messages, tools and replies are the SDK's own; only the bytes take another way than through litellm, which
makes a new client for every rollout's URL and folds the gateway's error codes into guesses from their text.
"""

import contextlib
import http.client
import json
import re
from typing import Any
from urllib.parse import urlsplit

from litellm import ModelResponse
from openhands.sdk import LLM
from pydantic import PrivateAttr

from tac_rl.agents.base import ENDINGS_BY_CODE, Ending

_THINKING = re.compile(r"\s*<think>(.*?)</think>(.*)", re.DOTALL)


class EndpointError(Exception):
    """The gateway's answer was no completion."""

    def __init__(self, message: str, ending: Ending | None = None) -> None:
        super().__init__(message)
        self.ending = ending
        """What it means for the attempt; None where a part of ours failed."""


class EndpointLLM(LLM):
    """For one conversation, which makes one call at a time."""

    splits_thinking: bool = False
    """Reasoning at the beginning of a reply is told apart from its text, as litellm does."""
    _http: http.client.HTTPConnection | None = PrivateAttr(default=None)

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def _transport_call(
        self,
        *,
        messages: list[dict[str, Any]],
        enable_streaming: bool = False,
        on_token: Any = None,
        **options: Any,
    ) -> ModelResponse:
        body: dict[str, Any] = {"model": self.model.removeprefix("openai/"), "messages": messages}
        if options.get("tools"):
            body["tools"] = options["tools"]
        body |= self.litellm_extra_body
        status, payload = self._post(json.dumps(body).encode())
        if status != 200:
            raise _failure(f"{self.base_url} answered {status}", payload)
        try:
            if self.splits_thinking:
                _split_thinking(payload["choices"][0]["message"])
            return ModelResponse(**payload)
        except Exception as error:
            raise EndpointError(f"{self.base_url} answered something else than a chat completion") from error

    def _post(self, body: bytes) -> tuple[int, Any]:
        assert self.base_url is not None
        url = urlsplit(self.base_url)
        if self._http is None:
            self._http = http.client.HTTPConnection(url.hostname or "", url.port, timeout=self.timeout)
        key: Any = self.api_key
        headers = {
            "Authorization": f"Bearer {key.get_secret_value()}",
            "Content-Type": "application/json",
        }
        try:
            self._http.request("POST", f"{url.path}/chat/completions", body, headers)
            response = self._http.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            with contextlib.suppress(OSError):
                self.close()
            raise EndpointError(f"{self.base_url}: {type(error).__name__}: {error}") from error


def _split_thinking(message: dict[str, Any]) -> None:
    if (found := _THINKING.match(message.get("content") or "")) is not None:
        message["reasoning_content"], message["content"] = found[1], found[2]


def _failure(what: str, payload: Any) -> EndpointError:
    details = payload.get("error") if isinstance(payload, dict) else None
    details = details if isinstance(details, dict) else {}
    message = str(details.get("message", payload))
    ending = ENDINGS_BY_CODE.get(str(details.get("code")))
    return EndpointError(message if ending else f"{what}: {message}", ending)
