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
from tac_rl.tasks.contract import Package
from tac_rl.tasks.packages import split_seed


class Attempts:
    """Runs groups of rollouts for the loop and for evaluations."""

    def __init__(
        self,
        config: RunConfig,
        packages: Sequence[Package],
        heldout_packages: Sequence[Package],
        workshop: Workshop,
    ) -> None:
        """`packages` are trained on and evaluated; `heldout_packages` only evaluated."""
        self.config = config
        self.packages = {package.name: package for package in packages}
        self.heldout_packages = {package.name: package for package in heldout_packages}
        self.workshop = workshop
        self._gate = asyncio.Semaphore(config.rollouts.concurrency)
        """Batches and evaluations that overlap share the places."""

    async def train(
        self, iteration: int, draws: Sequence[Draw], version: int, recorder: Recorder
    ) -> list[GroupResult]:
        """One group for each draw, of the training split."""
        groups = [
            [
                self.plan(
                    self.packages[draw.task],
                    split_seed("train", draw.instance_index),
                    version=version,
                    temperature=self.config.rollouts.temperature,
                    group_id=f"it{iteration:04d}-g{position}",
                    number=number,
                )
                for number in range(self.config.rollouts.group_size)
            ]
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
            [
                self.plan(
                    packages[position % len(packages)],
                    split_seed(split, position // len(packages)),
                    version=version,
                    temperature=temperature,
                    group_id=f"{label}-g{position}",
                    number=number,
                )
                for number in range(attempts_per_instance)
            ]
            for position in range(ceil(attempts / attempts_per_instance))
        ]
        results = await self._run(groups, recorder)
        roles: Mapping[str, str] = {package.name: package.role for package in packages}
        return summarise(results, roles, split=split, version=version)

    def plan(
        self,
        package: Package,
        seed: int,
        *,
        version: int,
        temperature: float,
        group_id: str = "attempt",
        number: int = 0,
    ) -> RolloutPlan:
        """One rollout of the package's instance `seed`; its random stream follows from its id."""
        rollouts, agent = self.config.rollouts, self.config.agent
        rollout_id = f"{group_id}-r{number}"
        return RolloutPlan(
            rollout_id=rollout_id,
            group_id=group_id,
            package=package,
            instance=package.instantiate(seed),
            version=version,
            sampling=Sampling(
                temperature=temperature,
                top_p=rollouts.top_p,
                max_tokens=rollouts.max_tokens,
                seed=_stream(self.config.seed, rollout_id),
            ),
            limits=AgentLimits(
                max_turns=package.max_turns or agent.max_turns,
                seconds=agent.seconds,
                max_malformed=agent.max_malformed,
            ),
        )

    async def _run(self, groups: Sequence[Sequence[RolloutPlan]], recorder: Recorder) -> list[GroupResult]:
        retries = self.config.rollouts.retries
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(run_group(plans, self.workshop, self._gate, recorder, retries))
                for plans in groups
            ]
        return [task.result() for task in running]


def _stream(seed: int, name: str) -> int:
    """The seed of one rollout's random stream: a resumed run draws what an uninterrupted one would have."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")
