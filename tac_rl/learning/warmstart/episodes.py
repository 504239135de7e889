"""Demonstrations as token sequences, exactly as the gateway records an agent that works like this."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tac_rl.agents.prompt import SYSTEM_PROMPT, TOOLS
from tac_rl.gateway.renderer import Renderer
from tac_rl.learning.warmstart.demonstrations import Demonstration
from tac_rl.tasks.words import POOLS

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Episode:
    """One row of T tokens."""

    task: str
    token_ids: Ids
    """(T,)"""
    written: NDArray[np.bool_]
    """(T,) True where the policy writes the token: only these are learnt."""


def tool_call(name: str, arguments: Mapping[str, str]) -> str:
    """What the policy writes for one call, without the token that ends the turn."""
    body = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def conversation(demonstration: Demonstration, renderer: Renderer) -> tuple[list[int], list[bool]]:
    """A demonstration as the `toolcall` agent and the gateway would live it, `finish` included.

    Gives the token ids, and for each whether the policy writes it.
    """
    stop = renderer.stop_token_ids[0]
    ids = renderer.prompt_ids(
        [
            {"role": "system", "content": SYSTEM_PROMPT},
            {"role": "user", "content": demonstration.instruction},
        ],
        TOOLS,
    )
    written = [False] * len(ids)

    def write(text: str) -> None:
        turn = [*renderer.text_ids(text), stop]
        ids.extend(turn)
        written.extend([True] * len(turn))

    for command, observed in zip(demonstration.commands, demonstration.observations, strict=True):
        write(tool_call("bash", {"command": command}))
        answer = renderer.suffix_ids([{"role": "tool", "content": observed}], TOOLS, stop)
        ids.extend(answer)
        written.extend([False] * len(answer))
    write(tool_call("finish", {}))
    return ids, written


def to_episode(demonstration: Demonstration, renderer: Renderer) -> Episode:
    """The demonstration as a training row."""
    ids, written = conversation(demonstration, renderer)
    return Episode(demonstration.task, np.array(ids, np.int64), np.array(written))


class Renaming:
    """Exchanges names for others of their pool, the same way throughout an episode.

    A name is one token, so one played episode stands for thousands: the policy can't learn the names by
    heart and must copy them. Words that a package always uses (`data` in a path, say) keep their meaning.
    """

    def __init__(self, episodes: Sequence[Episode], token_of: Mapping[str, int], size: int) -> None:
        """`token_of` gives each pool word's single token; `size` is the vocabulary's."""
        self._identity = np.arange(size)
        self._free: dict[str, list[Ids]] = {}
        for task in sorted({episode.task for episode in episodes}):
            rows = [episode for episode in episodes if episode.task == task]
            count = Counter(token for row in rows for token in set(row.token_ids.tolist()))
            fixed = {token for token, n in count.items() if n > 0.9 * len(rows)}
            self._free[task] = [
                np.array([token_of[word] for word in pool if token_of[word] not in fixed], np.int64)
                for pool in POOLS.values()
            ]

    def __call__(self, episode: Episode, rng: random.Random) -> Episode:
        table = self._identity.copy()
        for free in self._free[episode.task]:
            table[free] = rng.sample(free.tolist(), len(free))
        return Episode(episode.task, table[episode.token_ids], episode.written)
