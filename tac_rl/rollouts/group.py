"""Groups: G rollouts of one instance, side by side, with bounded retries of what failed by our own doing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tac_rl.learning.base import GradedRollout, Group
from tac_rl.rewards.checkpoints import checkpoint_reward
from tac_rl.rollouts.outcomes import CONSEQUENCES
from tac_rl.rollouts.rollout import RolloutPlan, RolloutResult, Workshop, run_rollout


class Recorder(Protocol):
    """Who is told of rollouts as they go (the run directory, a progress bar)."""

    def begin(self, plan: RolloutPlan) -> None: ...

    def phase(self, plan: RolloutPlan, phase: str, turn: int) -> None: ...

    def drop(self, plan: RolloutPlan) -> None:
        """The rollout was cancelled."""
        ...

    def end(self, result: RolloutResult) -> None: ...


@dataclass(frozen=True)
class GroupResult:
    """The last try of each rollout of a group."""

    group_id: str
    task: str
    results: tuple[RolloutResult, ...]

    @property
    def counted(self) -> tuple[RolloutResult, ...]:
        """The rollouts that say something about the policy."""
        return tuple(r for r in self.results if CONSEQUENCES[r.outcome].counted and r.grade is not None)

    @property
    def scores(self) -> tuple[float, ...]:
        """TAC scores of the counted rollouts."""
        return tuple(r.grade.score for r in self.counted if r.grade is not None)

    def for_training(self) -> Group:
        """The rollouts that are trained on. Their rewards are compared with one another only."""
        return Group(
            group_id=self.group_id,
            task=self.task,
            rollouts=tuple(
                GradedRollout(r.plan.rollout_id, checkpoint_reward(r.grade), r.rows)
                for r in self.results
                if r.grade is not None and r.rows and CONSEQUENCES[r.outcome].trained_on
            ),
        )


async def run_group(
    plans: Sequence[RolloutPlan],
    workshop: Workshop,
    gate: asyncio.Semaphore,
    recorder: Recorder,
    retries: int,
) -> GroupResult:
    """Attempt every plan once it gets through `gate`, which all groups of an iteration share."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_with_retries(p, workshop, gate, recorder, retries)) for p in plans]
    return GroupResult(
        group_id=plans[0].group_id,
        task=plans[0].package.name,
        results=tuple(task.result() for task in tasks),
    )


async def _with_retries(
    plan: RolloutPlan, workshop: Workshop, gate: asyncio.Semaphore, recorder: Recorder, retries: int
) -> RolloutResult:
    result = await _once(plan, workshop, gate, recorder)
    for attempt in range(2, retries + 2):
        if not CONSEQUENCES[result.outcome].retried:
            break
        again = replace(plan, rollout_id=f"{plan.rollout_id}-try{attempt}")
        result = await _once(again, workshop, gate, recorder)
    return result


async def _once(
    plan: RolloutPlan, workshop: Workshop, gate: asyncio.Semaphore, recorder: Recorder
) -> RolloutResult:
    recorder.begin(plan)
    try:
        async with gate:
            result = await run_rollout(
                plan, workshop, on_phase=lambda phase, turn: recorder.phase(plan, phase, turn)
            )
    except BaseException:
        recorder.drop(plan)
        raise
    recorder.end(result)
    return result
