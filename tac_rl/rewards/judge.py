"""One question to a judge: asked through litellm, checked, asked again within bounds, and accounted for.

`Judge` is ART's judge: litellm hands it the question that ART's RULER wrote (`PROVIDER` is registered as a custom
provider of litellm), and it answers with JSON that is complete and in the order in which ART will read it. ART itself
matches scores by position, takes any number for a score, and never asks twice.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from tac_rl.rewards.answers import BadAnswerError, Score, read_answer
from tac_rl.rewards.openpipe import load_litellm

PROVIDER = "tac-rl-judge"
PAUSE_S = 0.5
"""Before a judge that could not be reached is asked again; doubled each time."""
HOPELESS = (400, 401, 403, 404, 405, 410, 413, 422)
"""HTTP answers that a second try doesn't change."""
MESSAGE_LENGTH = 300


@dataclass(frozen=True)
class JudgeModel:
    """Where the judge is, in litellm's words."""

    model: str
    """Such as `openai/NAME` for an endpoint with `api_base`."""
    parameters: Mapping[str, Any]
    """`api_base`, `api_key`, `temperature`, `max_tokens`."""
    structured: bool
    """Whether it understands `response_format`."""
    own: bool = False
    """It is the run's own engine."""


@dataclass
class Verdict:
    """What one question came to: scores, or why not; and what it cost."""

    ids: tuple[str, ...]
    """The trajectories' ids in the question."""
    scores: dict[str, Score] = field(default_factory=dict)
    failure: str = ""
    """Kind of the last failure, such as `timeout` or `not_json`; empty where there are scores."""
    message: str = ""
    calls: int = 0
    tokens: int = 0
    """Of all its questions and answers together, as far as the judge told."""
    cost_usd: float = 0.0
    """By litellm's price list; 0 for models that it doesn't know."""


_verdict: ContextVar[Verdict] = ContextVar("verdict")
"""The verdict that the current task is waiting for."""


class Judge:
    """Asks a judge model; used by any number of tasks at once."""

    def __init__(self, model: JudgeModel, *, retries: int, seconds: float) -> None:
        """`seconds`: of one answer. Imports litellm: `ConfigError` where that isn't there."""
        self._litellm = load_litellm("rewards.ruler")
        self._model = model
        self._retries = retries
        self._seconds = seconds
        self.name = f"{PROVIDER}/{id(self):x}"
        """The judge's name for litellm in this process."""
        self._provider = {"provider": PROVIDER, "custom_handler": _handler(self._litellm)}
        _JUDGES[self.name.partition("/")[2]] = self
        if not any(entry["provider"] == PROVIDER for entry in self._litellm.custom_provider_map):
            self._litellm.custom_provider_map.append(self._provider)

    def close(self) -> None:
        """Forget this judge."""
        _JUDGES.pop(self.name.partition("/")[2], None)

    async def answer(self, messages: Sequence[Mapping[str, Any]], response_format: Any) -> str:
        """The checked answer to ART's question, as JSON; raises `BadAnswerError` after the last try.

        Fills in the current task's verdict.
        """
        verdict = _verdict.get()
        correction = ""
        for attempt in range(self._retries + 1):
            verdict.calls += 1
            try:
                text = await self._ask(_with(messages, correction), response_format, verdict)
                verdict.scores = read_answer(text, verdict.ids)
                verdict.failure = verdict.message = ""
                return _canonical(verdict)
            except BadAnswerError as error:
                verdict.failure, verdict.message = error.kind, str(error)
                correction = f"Your last answer could not be used: {error}."
                if error.kind == "refused":
                    break
                if error.kind in ("unreachable", "server_error", "timeout") and attempt < self._retries:
                    correction = ""
                    await asyncio.sleep(PAUSE_S * 2**attempt)
        raise BadAnswerError(verdict.failure, verdict.message)

    async def _ask(
        self, messages: Sequence[Mapping[str, Any]], response_format: Any, verdict: Verdict
    ) -> str | None:
        parameters = dict(self._model.parameters)
        if self._model.structured and response_format is not None:
            parameters["response_format"] = response_format
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._litellm.acompletion(
                    model=self._model.model,
                    messages=list(messages),
                    timeout=self._seconds,
                    num_retries=0,
                    max_retries=0,
                    caching=False,
                    **parameters,
                )
        except TimeoutError:
            raise BadAnswerError("timeout", f"no answer within {self._seconds:g} s") from None
        except Exception as error:  # litellm raises what the provider's client raised, and some of its own
            raise _failure(error, self._seconds) from error
        usage = getattr(response, "usage", None)
        verdict.tokens += int(getattr(usage, "total_tokens", 0) or 0)
        verdict.cost_usd += self._cost(response)
        if not response.choices:
            raise BadAnswerError("empty", "the answer has no choices")
        text: str | None = response.choices[0].message.content
        return text

    def _cost(self, response: Any) -> float:
        if self._model.own:
            return 0.0
        try:
            return float(self._litellm.completion_cost(response) or 0.0)
        except Exception:  # a model without a price
            return 0.0


_JUDGES: dict[str, Judge] = {}
"""Judges by the second half of their names: litellm knows handlers by provider only."""


def expect(verdict: Verdict) -> None:
    """The question that the current task is about to have ART ask belongs to `verdict`."""
    _verdict.set(verdict)


def _handler(litellm: Any) -> Any:
    """What litellm calls for models of our provider."""

    class Handler(litellm.CustomLLM):  # the base class is only there once litellm is
        async def acompletion(self, model: str, messages: list[Any], *_: Any, **given: Any) -> Any:
            judge = _JUDGES[model]
            response_format = (given.get("optional_params") or {}).get("response_format")
            text = await judge.answer(messages, response_format)
            return litellm.ModelResponse(
                model=model, choices=[{"message": {"role": "assistant", "content": text}}]
            )

    return Handler()


def _with(messages: Sequence[Mapping[str, Any]], correction: str) -> list[Mapping[str, Any]]:
    if not correction:
        return list(messages)
    *before, last = messages
    return [*before, {**last, "content": f"{last['content']}\n\n{correction}"}]


def _canonical(verdict: Verdict) -> str:
    return json.dumps(
        {
            "scores": [
                {"trajectory_id": name, "explanation": score.explanation, "score": score.score}
                for name, score in verdict.scores.items()
            ]
        }
    )


def _failure(error: Exception, seconds: float) -> BadAnswerError:
    status = getattr(error, "status_code", None)
    message = " ".join(str(error).split())[:MESSAGE_LENGTH]
    if type(error).__name__ == "Timeout":
        return BadAnswerError("timeout", f"no answer within {seconds:g} s")
    if type(error).__name__ == "ContextWindowExceededError" or "context_length_exceeded" in str(error):
        return BadAnswerError("refused", f"the question is too long: {message}")
    if status in HOPELESS:
        return BadAnswerError("refused", message)
    # litellm calls a refused connection an internal server error of the judge's.
    if type(error).__name__ == "APIConnectionError" or "Connection error" in message:
        return BadAnswerError("unreachable", message)
    return BadAnswerError("server_error", message or type(error).__name__)
