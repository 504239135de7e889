"""A language model behind an OpenAI-compatible URL that plays colleagues.

The prompt is made of who they are, what they want and what they know. What the model can't be held to
(that it tells nothing which wasn't asked for) it is asked for; `rules.py` guarantees it.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

import aiohttp

from tac_rl.office.colleagues.base import MindError, Said, Turn
from tac_rl.office.overlay import FactOverlay

SILENCE = "NO_REPLY"
"""What the model writes where a colleague says nothing."""
ANSWER_MAX = 4000
"""Characters of an answer; what is longer is cut."""
_RESPONSE_MAX = 1_000_000
_THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class LlmSettings:
    """Where the model is and how it is called."""

    base_url: str
    """Ending in `/v1`; `/chat/completions` is added."""
    model: str
    api_key: str = ""
    temperature: float = 0.0
    max_tokens: int = 200
    seconds: float = 60.0
    """For one answer, with all its tries."""
    retries: int = 2
    """After a failed connection, and statuses 408, 429 and 5xx."""
    pause_s: float = 0.5
    """Before the first retry; doubles each time."""
    calls_at_once: int = 8


class LlmMind:
    """Calls the model; `MindError` where it gives no answer. Make it on the event loop that uses it."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._turns = asyncio.Semaphore(settings.calls_at_once)
        self._http: aiohttp.ClientSession | None = None

    async def answer(self, turn: Turn) -> str | None:
        body = {
            "model": self._settings.model,
            "messages": prompt(turn),
            "temperature": self._settings.temperature,
            "max_tokens": self._settings.max_tokens,
        }
        try:
            async with self._turns, asyncio.timeout(self._settings.seconds):
                return read_answer(await self._complete(body), turn.colleague.name)
        except TimeoutError:
            raise MindError(
                f"{self._settings.base_url}: no answer within {self._settings.seconds:g} s"
            ) from None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _complete(self, body: dict[str, Any]) -> str:
        """The text that the model wrote."""
        for attempt in range(self._settings.retries + 1):
            if attempt:
                await asyncio.sleep(self._settings.pause_s * 2 ** (attempt - 1))
            try:
                status, payload = await self._post(body)
            except (aiohttp.ClientError, OSError) as error:
                failure = f"{type(error).__name__}: {error}"
                continue
            if status == 200:
                return self._text(payload)
            failure = f"answered {status}: {payload[:200].decode(errors='replace')}"
            if status not in (408, 429) and status < 500:
                break
        raise MindError(f"{self._settings.base_url}: {failure}")

    async def _post(self, body: dict[str, Any]) -> tuple[int, bytes]:
        if self._http is None:
            key = self._settings.api_key
            self._http = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        url = f"{self._settings.base_url.rstrip('/')}/chat/completions"
        async with self._http.post(url, json=body, allow_redirects=False) as response:
            payload = bytearray()
            async for chunk in response.content.iter_chunked(65536):
                payload += chunk
                if len(payload) > _RESPONSE_MAX:
                    raise MindError(f"{url}: an answer of more than {_RESPONSE_MAX} bytes")
            return response.status, bytes(payload)

    def _text(self, payload: bytes) -> str:
        try:
            text = json.loads(payload)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            text = 0
        if text is not None and not isinstance(text, str):
            raise MindError(
                f"{self._settings.base_url} answered something else than a chat completion: "
                f"{payload[:200].decode(errors='replace')}"
            )
        return text or ""


def prompt(turn: Turn) -> list[dict[str, str]]:
    """OpenAI's messages: who to be first, then the conversation, in which user and assistant take turns."""
    said = list(turn.history)
    unasked: list[str] = []
    while said and not said[0].by_asker:
        unasked.append(said.pop(0).text)
    messages = [{"role": "system", "content": _instructions(turn, unasked)}]
    for line in (*said, Said(True, turn.text)):
        role = "user" if line.by_asker else "assistant"
        if messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n{line.text}"
        else:
            messages.append({"role": role, "content": line.text})
    return messages


def read_answer(text: str, name: str) -> str | None:
    """What the model wrote as a chat message: without thoughts and without their own name before it."""
    spoken = _THOUGHT.sub("", text).strip()
    spoken = re.sub(rf"\A{re.escape(name)}:\s*", "", spoken, flags=re.IGNORECASE)
    if not spoken or SILENCE in spoken:
        return None
    return spoken if len(spoken) <= ANSWER_MAX else spoken[: ANSWER_MAX - 1] + "…"


def _instructions(turn: Turn, unasked: list[str]) -> str:
    who, scenario = turn.colleague, turn.scenario
    title = f", {who.title}" if who.title else ""
    parts = [
        f"You are {who.name}{title}, a person who works at The Agent Company. A colleague, {turn.asker.name}, "
        "writes to you in the company's chat, and you answer."
    ]
    if scenario.persona or who.bio:
        parts.append("About you and your situation:\n" + "\n".join(filter(None, (who.bio, scenario.persona))))
    if scenario.goal:
        parts.append("How you act in this conversation:\n" + scenario.goal)
    known = [_knowledge(fact, turn) for fact in scenario.facts]
    known += [s.text for s in scenario.statements if s.text not in scenario.persona]
    if known:
        parts.append("What you know:\n" + "\n".join(f"- {line}" for line in known))
    if unasked:
        parts.append("You have already written to them:\n" + "\n".join(unasked))
    rules = [
        "Answer with one short chat message, in plain text, as yourself.",
        "Tell only what they ask for, nothing beside it.",
        "Never invent facts, names, numbers or links: where you don't know, say that you don't.",
        f"Where you should not answer at all, write {SILENCE} and nothing else.",
    ]
    if scenario.fallback:
        rules.append(f"Where nothing above helps them, say: {scenario.fallback}")
    if not turn.spoken_to:
        rules.append(f"They wrote to many people. Unless you know something they ask for, write {SILENCE}.")
    parts.append("Rules:\n" + "\n".join(f"- {rule}" for rule in rules))
    return "\n\n".join(parts)


def _knowledge(fact: FactOverlay, turn: Turn) -> str:
    line = f"When asked about {' / '.join(fact.about)}:"
    if fact.needs:
        back = f"ask back: {fact.ask}" if fact.ask else "ask them for that"
        line += f" only after they have mentioned {' or '.join(fact.needs)} (until then {back})"
    if fact.answer:
        line += f" say: {fact.answer}"
    if fact.refer_to is not None:
        line += f" send them to {turn.names.get(fact.refer_to, fact.refer_to)} (@{fact.refer_to})"
    return line
