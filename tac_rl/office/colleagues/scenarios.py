"""TAC's `scenarios.json`: who answers in a task, and what they were told to know and to do.

    {"First Last": {"extra_info": ..., "strategy_hint": ..., "clarification_hint": ...}}, each optional.

A language model gets the texts as persona and goal. For the rules, statements are taken from `extra_info`
alone: hints are instructions to an actor ("give a wrong answer first"), and no rule can follow those.
"""

import json
import re
from pathlib import Path
from typing import Any

from tac_rl.errors import OverlayError
from tac_rl.office.colleagues.words import sentences
from tac_rl.office.overlay import ColleagueOverlay, StatementOverlay

_KEYS = ("extra_info", "strategy_hint", "clarification_hint")

# What a sentence begins with that tells the actor what will happen or what to do.
_STAGE = re.compile(
    r"(someone|somebody|people|a colleague|the agent|an agent|they|he|she)(/\w+)?\s+(\w+\s+)?"
    r"(will|may|might|could|wants?|asks?)\b"
    r"|you\s+(will|may|might|should|must|can|could|need|only|do not|don't|never|always)\b"
    r"|(be prepared|expect|only|do not|don't|never|always|please|answer|respond|reply|mention|tell|say|ask|give|provide"
    r"|pretend|remember|make sure|approve|deny|express|just|if|when|once|first)\b"
    r"|.*\b(someone|somebody) (will|may|might) (ask|want|tell|send|inform)\b",
    re.IGNORECASE,
)
# The exception among conditions: one about who asks or what they need, not about how to act.
_ADVICE = re.compile(r"if you (need|want|have|are looking|get|see|can't|cannot)\b", re.IGNORECASE)
_SAY = re.compile(
    r"(?:when|if)\s+asked\s+.*?,\s*(?:you\s+(?:should|can)\s+)?(?:say|answer|reply|respond(?:\s+with)?)\s*:?\s*"
    r"['\"“](?P<say>.+)['\"”]\W*$",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"[A-Z][\w.'-]*(\s+[\w.'-]+){0,3}:\s+\S")
_OWN = (
    (re.compile(r"^You are\b"), "I am"),
    (re.compile(r"^You were\b"), "I was"),
    (re.compile(r"^You have\b"), "I have"),
    (re.compile(r"^You've\b"), "I've"),
    (re.compile(r"^You're\b"), "I'm"),
    (re.compile(r"^Your\b"), "My"),
    (re.compile(r"^You\b"), "I"),
)


def read_scenarios(path: Path) -> dict[str, ColleagueOverlay]:
    """The colleagues of a `scenarios.json`, by username; `OverlayError` where it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OverlayError(f"{path}: could not be read as JSON: {error}") from None
    return parse_scenarios(document, str(path))


def parse_scenarios(document: Any, source: str) -> dict[str, ColleagueOverlay]:
    """The same from a plain document; `source` names it in errors."""
    if not isinstance(document, dict):
        raise OverlayError(f'{source}: scenarios are a mapping of "First Last" to texts')
    return {_username(name, source): _colleague(name, texts, source) for name, texts in document.items()}


def statements_of(extra_info: str) -> tuple[StatementOverlay, ...]:
    """What a scenario's `extra_info` states, sentence by sentence, as the colleague would say it.

    Left out are sentences that tell the actor what will happen or what to do. What such a sentence says
    will be asked for is the topic of the statement after it; a heading (`...:`) is that of all that follow.
    """
    found: list[StatementOverlay] = []
    heading = expected = ""
    for part in _parts(extra_info):
        if (said := _SAY.match(part)) is not None:
            found.append(StatementOverlay(text=said["say"], topic=part))
        elif part.endswith(":"):
            heading = part
        elif _STAGE.match(part) and not _ADVICE.match(part):
            expected = f"{expected} {part}"
        else:
            found.append(StatementOverlay(text=_in_own_words(part), topic=f"{heading} {expected}".strip()))
            expected = ""
    return tuple(found)


def _parts(text: str) -> list[str]:
    """Sentences; a line that begins with a label (`Name: ...`) stays whole, or who it is about would be lost."""
    parts = []
    for line in filter(None, map(str.strip, text.splitlines())):
        labelled = _LABELLED.match(line) and not line.endswith(":")
        parts += [line] if labelled else sentences(line)
    return parts


def _in_own_words(sentence: str) -> str:
    """In the first person, where the sentence begins with what the colleague is or has."""
    for pattern, own in _OWN:
        if pattern.match(sentence):
            return pattern.sub(own, sentence)
    return sentence


def _username(name: str, source: str) -> str:
    words = name.lower().split()
    if not words or not all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", word) for word in words):
        raise OverlayError(f'{source}: {name!r} is no name of a colleague, such as "Mike Chen"')
    return "_".join(words)


def _colleague(name: str, texts: Any, source: str) -> ColleagueOverlay:
    if not isinstance(texts, dict):
        raise OverlayError(f"{source}: {name}: must be a mapping with some of {', '.join(_KEYS)}")
    for key, text in texts.items():
        if key not in _KEYS:
            raise OverlayError(f"{source}: {name}: unknown key {key!r} (known: {', '.join(_KEYS)})")
        if not isinstance(text, str):
            raise OverlayError(f"{source}: {name}: {key} must be a text, not {type(text).__name__}")
    info, *hints = (texts.get(key, "").strip() for key in _KEYS)
    return ColleagueOverlay(persona=info, goal="\n".join(filter(None, hints)), statements=statements_of(info))
