"""Drills: rows of random names to be repeated or looked up, to teach copying before there is any work.

Attention heads that continue a pattern from its earlier occurrence ("induction heads", Olsson et al. 2022,
arXiv 2209.11895) are what copying a name rests on. They form many times faster on rows in which every
second token is a copy than on demonstrations, in which one in forty is.
"""

import random
from collections.abc import Sequence

import numpy as np

from tac_rl.gateway.renderer import Renderer
from tac_rl.learning.warmstart.episodes import Episode
from tac_rl.learning.warmstart.tokenizer import TURN_END, TURN_START

SEPARATORS = (" ", "\n", ",", ", ", "/", ".txt ", " done\n", ".csv\n")


class Drills:
    """Draws drill rows; `names` are the pool words' token ids."""

    def __init__(self, renderer: Renderer, names: Sequence[int]) -> None:
        self._names = list(names)
        self._separators = [renderer.text_ids(text) for text in SEPARATORS]
        self._open = renderer.text_ids(f"{TURN_START}user\n")
        self._turn = renderer.text_ids(f"{TURN_END}\n{TURN_START}assistant\n")

    def __call__(self, rng: random.Random) -> Episode:
        return self._repeat(rng) if rng.random() < 0.5 else self._look_up(rng)

    def _repeat(self, rng: random.Random) -> Episode:
        """A list of names and separators, and the same again."""
        listed: list[int] = []
        for name in rng.sample(self._names, rng.randint(8, 24)):
            listed += [name, *rng.choice(self._separators)]
        return self._row([(token, False) for token in listed], [(token, True) for token in listed])

    def _look_up(self, rng: random.Random) -> Episode:
        """Pairs of names, and the same pairs in another order: the second name of each is learnt."""
        count = rng.randint(4, 12)
        names = rng.sample(self._names, 2 * count)
        pairs = list(zip(names[:count], names[count:], strict=True))
        between, behind = rng.choice(self._separators), rng.choice(self._separators)

        def lines(learnt: bool) -> list[tuple[int, bool]]:
            return [
                item
                for key, value in pairs
                for item in (
                    (key, False),
                    *((token, False) for token in between),
                    (value, learnt),
                    *((token, False) for token in behind),
                )
            ]

        listed = lines(False)
        rng.shuffle(pairs)
        return self._row(listed, lines(True))

    def _row(self, listed: list[tuple[int, bool]], again: list[tuple[int, bool]]) -> Episode:
        frame = [(token, False) for token in self._open], [(token, False) for token in self._turn]
        row = [*frame[0], *listed, *frame[1], *again]
        return Episode("drill", np.array([t for t, _ in row], np.int64), np.array([w for _, w in row]))
