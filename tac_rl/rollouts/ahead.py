"""Which rollouts are under way: one iteration's, or, where the run is asynchronous, those of the next ones too.

A batch is what an iteration learns from. With a staleness of S the batches of the S iterations after the current
one are begun as soon as there is a version for them, so agents work while the learner steps and while the last
rollouts of a batch are still under way. A batch keeps the version that it was begun with, which is at most S
versions older than the one that is trained on it; the recorded log-probabilities are of that version, so the
loss's importance weights correct for the difference (bounded staleness as in AReaL, Fu et al. 2025; truncated
importance sampling as in IMPALA, Espeholt et al. 2018).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tac_rl.curriculum.sampling import Curriculum, Draw
from tac_rl.rollouts.attempts import Attempts
from tac_rl.rollouts.group import GroupResult
from tac_rl.rollouts.recording import StoreRecorder
from tac_rl.runs.store import RunStore
from tac_rl.serving.publishing import Publisher


@dataclass(frozen=True)
class Batch:
    """The rollouts of one iteration, under way or done."""

    version: int
    """The policy version that is at work in them."""
    weights: Mapping[str, float]
    """The curriculum's, by task, when the batch was drawn."""
    groups: asyncio.Task[list[GroupResult]]


class Batches:
    """Begins batches and hands them out in the order of their iterations."""

    def __init__(
        self,
        curriculum: Curriculum,
        attempts: Attempts,
        publisher: Publisher,
        store: RunStore,
        *,
        groups: int,
        staleness: int,
        has_rollouts: Callable[[int], bool],
    ) -> None:
        """`staleness`: 0 begins a batch when it is wanted. `has_rollouts(n)`: whether there is an iteration `n`
        that learns from new rollouts."""
        self._curriculum = curriculum
        self._attempts = attempts
        self._publisher = publisher
        self._store = store
        self._groups = groups
        self._staleness = staleness
        self._has_rollouts = has_rollouts
        self._begun: dict[int, Batch] = {}

    def of(self, n: int, version: int) -> Batch:
        """The batch of iteration `n`, and those after it begun with the newest version, `version`."""
        for iteration in range(n, n + self._staleness + 1):
            if iteration not in self._begun and self._has_rollouts(iteration):
                self._begun[iteration] = self._begin(iteration, version)
        return self._begun.pop(n)

    async def cancel(self) -> None:
        """Give up what is under way; no trace of it stays."""
        tasks = [batch.groups for batch in self._begun.values()]
        self._begun.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, n: int, version: int) -> Batch:
        weights = self._curriculum.weights(n)
        draws = self._curriculum.draw(n, self._groups)
        attempting = asyncio.create_task(self._attempt(n, draws, version), name=f"batch {n}")
        return Batch(version, weights, attempting)

    async def _attempt(self, n: int, draws: Sequence[Draw], version: int) -> list[GroupResult]:
        recorder = StoreRecorder(self._store, "train", iteration=n)
        async with self._publisher.lease(version):
            return await self._attempts.train(n, draws, version, recorder)
