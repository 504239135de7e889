"""From draws to graded groups: makes instances and plans, and runs them."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from math import ceil

from tac_rl.agents.base import AgentLimits
from tac_rl.config.run import RunConfig
from tac_rl.curriculum.sampling import Draw
from tac_rl.rollouts.evaluation import EvaluationResult, summarise
from tac_rl.rollouts.group import GroupResult, Recorder, run_group
from tac_rl.rollouts.rollout import RolloutPlan, Workshop
from tac_rl.serving.base import Sampling
from tac_rl.tasks.packages import TaskPackage, split_seed


class Attempts:
    """Runs groups of rollouts for the loop and for evaluations."""

    def __init__(
        self,
        config: RunConfig,
        packages: Sequence[TaskPackage],
        heldout_packages: Sequence[TaskPackage],
        workshop: Workshop,
    ) -> None:
        """`packages` are trained on and evaluated; `heldout_packages` only evaluated."""
        self.config = config
        self.packages = {package.name: package for package in packages}
        self.heldout_packages = {package.name: package for package in heldout_packages}
        self.workshop = workshop

    async def train(
        self, iteration: int, draws: Sequence[Draw], version: int, recorder: Recorder
    ) -> list[GroupResult]:
        """One group for each draw, of the training split."""
        groups = [
            self._plans(
                group_id=f"it{iteration:04d}-g{position}",
                package=self.packages[draw.task],
                seed=split_seed("train", draw.instance_index),
                count=self.config.rollouts.group_size,
                version=version,
                temperature=self.config.rollouts.temperature,
            )
            for position, draw in enumerate(draws)
        ]
        return await self._run(groups, recorder)

    async def evaluate(
        self,
        label: str,
        *,
        version: int,
        split: str,
        attempts: int,
        temperature: float,
        recorder: Recorder,
        attempts_per_instance: int = 1,
    ) -> EvaluationResult:
        """`attempts` in all, spread evenly over the packages; always the same instances of `split`.

        `label` starts the rollouts' ids. With several attempts per instance, pass@k is told for k > 1.
        """
        packages = list((self.packages | self.heldout_packages).values())
        groups = [
            self._plans(
                group_id=f"{label}-g{position}",
                package=packages[position % len(packages)],
                seed=split_seed(split, position // len(packages)),
                count=attempts_per_instance,
                version=version,
                temperature=temperature,
            )
            for position in range(ceil(attempts / attempts_per_instance))
        ]
        results = await self._run(groups, recorder)
        roles: Mapping[str, str] = {package.name: package.role for package in packages}
        return summarise(results, roles, split=split, version=version)

    def _plans(
        self,
        *,
        group_id: str,
        package: TaskPackage,
        seed: int,
        count: int,
        version: int,
        temperature: float,
    ) -> list[RolloutPlan]:
        instance = package.instantiate(seed)
        rollouts, agent = self.config.rollouts, self.config.agent
        return [
            RolloutPlan(
                rollout_id=f"{group_id}-r{number}",
                group_id=group_id,
                package=package,
                instance=instance,
                version=version,
                sampling=Sampling(
                    temperature=temperature,
                    top_p=rollouts.top_p,
                    max_tokens=rollouts.max_tokens,
                    seed=_stream(self.config.seed, f"{group_id}-r{number}"),
                ),
                limits=AgentLimits(
                    max_turns=package.max_turns or agent.max_turns,
                    seconds=agent.seconds,
                    max_malformed=agent.max_malformed,
                ),
            )
            for number in range(count)
        ]

    async def _run(
        self, groups: Sequence[Sequence[RolloutPlan]], recorder: Recorder
    ) -> list[GroupResult]:
        gate = asyncio.Semaphore(self.config.rollouts.concurrency)
        retries = self.config.rollouts.retries
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(run_group(plans, self.workshop, gate, recorder, retries))
                for plans in groups
            ]
        return [task.result() for task in running]


def _stream(seed: int, name: str) -> int:
    """The seed of one rollout's random stream: a resumed run draws what an uninterrupted one would have."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")
