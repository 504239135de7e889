"""A judge's answer: read with patience for its form, and without any for its content.

A fence, a sentence before the JSON or a bare list are forgiven. What is not: scores for other trajectories than those
that were shown, none or two for one of them, and numbers that are no numbers from 0 to 1. A 7.5 is refused and not
clamped, since nobody can tell which scale it was meant on.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STARTS = 40
"""Places where JSON might begin that are tried in one answer."""
EXPLANATION_LENGTH = 1000


class BadAnswerError(Exception):
    """The answer can't be used; the message is meant for the judge as much as for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """A word for statistics, such as `not_json` or `out_of_range`."""


@dataclass(frozen=True)
class Score:
    """What the judge says of one trajectory."""

    score: float
    """In [0, 1]."""
    explanation: str


def read_answer(text: str | None, ids: Sequence[str]) -> dict[str, Score]:
    """The scores by trajectory id, one for each of `ids` and in their order; `BadAnswerError` otherwise."""
    if text is None or not text.strip():
        raise BadAnswerError("empty", "the answer is empty")
    found: dict[str, Score] = {}
    for entry in _entries(text):
        if not isinstance(entry, dict):
            raise BadAnswerError("wrong_shape", "an entry of scores is not an object")
        name = str(entry.get("trajectory_id", "")).strip()
        if name not in ids:
            raise BadAnswerError(
                "unknown_id", f"trajectory_id {name[:40]!r} was not shown; the ids are {', '.join(ids)}"
            )
        if name in found:
            raise BadAnswerError("duplicate_id", f"trajectory {name} has two scores")
        found[name] = Score(_score(entry.get("score"), name), _explanation(entry.get("explanation")))
    missing = [name for name in ids if name not in found]
    if missing:
        raise BadAnswerError("missing_id", f"there is no score for trajectory {', '.join(missing)}")
    return {name: found[name] for name in ids}


def _entries(text: str) -> list[Any]:
    decoder = json.JSONDecoder()
    at, fallback = -1, None
    for _ in range(STARTS):
        at = min((p for p in (text.find("{", at + 1), text.find("[", at + 1)) if p >= 0), default=-1)
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        entries = value.get("scores") if isinstance(value, dict) else value
        if isinstance(entries, list) and any(isinstance(entry, dict) for entry in entries):
            return entries
        fallback = value
        at = end - 1
    if fallback is None:
        raise BadAnswerError("not_json", "the answer holds no JSON")
    raise BadAnswerError(
        "wrong_shape", "the answer's JSON has no list called scores with an object for each trajectory"
    )


def _score(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadAnswerError("not_a_number", f"the score of trajectory {name} is not a number")
    if not 0 <= value <= 1:
        raise BadAnswerError(
            "out_of_range", f"the score of trajectory {name} is {value:g}; scores are from 0 to 1"
        )
    return float(value)


def _explanation(value: Any) -> str:
    return value[:EXPLANATION_LENGTH] if isinstance(value, str) else ""
