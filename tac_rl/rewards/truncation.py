"""Trajectories cut to fit a judge's context, so that none has more room than another.

Every trajectory may have the same number of tokens, the largest for which all fit together: what short ones leave
is shared by the long ones alike. Within a trajectory the middles of long messages go first; only if that is not
enough do whole messages in the middle go.
"""

import json
from collections.abc import Callable, Sequence

Message = dict[str, str]
Count = Callable[[str], int]
"""Tokens of a text."""

SHORTEST = 48
"""Characters that are left of a message before whole messages are left out."""


def fit(trajectories: Sequence[Sequence[Message]], budget: int, count: Count) -> list[list[Message]]:
    """The trajectories, cut where together they have more than `budget` tokens (as JSON, as a judge reads them)."""
    sizes = [size(messages, count) for messages in trajectories]
    cap = fair_cap(sizes, budget)
    return [
        list(messages) if tokens <= cap else shorten(messages, cap, count)
        for messages, tokens in zip(trajectories, sizes, strict=True)
    ]


def fair_cap(sizes: Sequence[int], budget: int) -> int:
    """The largest cap for which `sizes`, each cut to it, add up to at most `budget`."""
    left, cap = budget, 0
    for position, tokens in enumerate(sorted(sizes)):
        cap = max(0, left // (len(sizes) - position))
        if tokens > cap:
            return cap
        left -= tokens
    return max([cap, *sizes])


def size(messages: Sequence[Message], count: Count) -> int:
    return count(json.dumps(list(messages)))


def shorten(messages: Sequence[Message], cap: int, count: Count) -> list[Message]:
    """At most `cap` tokens of a trajectory; if even its two ends have more, these, as short as they get."""
    longest = max((len(message["content"]) for message in messages), default=0)
    if size(_clipped(messages, SHORTEST), count) <= cap:
        low, high = SHORTEST, longest  # low fits
        while high - low > max(8, low // 16):
            middle = (low + high) // 2
            if size(_clipped(messages, middle), count) <= cap:
                low = middle
            else:
                high = middle
        return _clipped(messages, low)
    kept = len(messages)
    while kept > 2:
        kept = max(2, kept * 3 // 4)
        shortened = _clipped(_ends(messages, kept), SHORTEST)
        if size(shortened, count) <= cap:
            return shortened
    return _clipped(_ends(messages, 2), SHORTEST)


def _clipped(messages: Sequence[Message], length: int) -> list[Message]:
    return [{**message, "content": clip(message["content"], length)} for message in messages]


def clip(text: str, length: int) -> str:
    """`text` with its middle left out where it has more than `length` characters."""
    if len(text) <= length:
        return text
    head = length * 2 // 3
    tail = length - head
    return f"{text[:head]} [... {len(text) - length} characters left out ...] {text[len(text) - tail :]}"


def _ends(messages: Sequence[Message], kept: int) -> list[Message]:
    """The first and last messages of a trajectory, `kept` of them, and a note of what is not there."""
    if kept >= len(messages):
        return list(messages)
    head = kept // 2
    note = {"role": "user", "content": f"[{len(messages) - kept} messages left out]"}
    return [*messages[:head], note, *messages[len(messages) - (kept - head) :]]
