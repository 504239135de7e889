"""From draws to graded groups: makes instances and plans, runs them, tells the run directory."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

from tac_rl.agents.base import AgentLimits
from tac_rl.config.run import RunConfig
from tac_rl.curriculum.sampling import Draw
from tac_rl.monitor.progress import Progress
from tac_rl.rewards.checkpoints import checkpoint_reward
from tac_rl.rollouts.evaluation import EvaluationResult, summarise
from tac_rl.rollouts.group import GroupResult, run_group
from tac_rl.rollouts.outcomes import CONSEQUENCES
from tac_rl.rollouts.rollout import RolloutPlan, RolloutResult, Workshop
from tac_rl.runs.records import RolloutRecord, TrajectoryDocument
from tac_rl.runs.store import RunStore
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
        store: RunStore,
        progress: Progress,
    ) -> None:
        """`packages` are trained on and evaluated; `heldout_packages` only evaluated."""
        self.config = config
        self.packages = {package.name: package for package in packages}
        self.heldout_packages = {package.name: package for package in heldout_packages}
        self.workshop = workshop
        self.store = store
        self.progress = progress

    async def train(self, iteration: int, draws: Sequence[Draw], version: int) -> list[GroupResult]:
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
        return await self._run(
            groups, _StoreRecorder(self.store, self.progress, "train", iteration=iteration)
        )

    async def evaluate(
        self, evaluation: int, *, version: int, split: str, attempts: int, temperature: float
    ) -> EvaluationResult:
        """`attempts` single attempts, spread evenly over the packages; always the same instances."""
        packages = list((self.packages | self.heldout_packages).values())
        groups = [
            self._plans(
                group_id=f"ev{evaluation:04d}-g{position}",
                package=packages[position % len(packages)],
                seed=split_seed(split, position // len(packages)),
                count=1,
                version=version,
                temperature=temperature,
            )
            for position in range(attempts)
        ]
        recorder = _StoreRecorder(self.store, self.progress, split, evaluation=evaluation)
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
        self, groups: Sequence[Sequence[RolloutPlan]], recorder: "_StoreRecorder"
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


class _StoreRecorder:
    """Tells the run directory and the progress display of rollouts as they go."""

    def __init__(
        self,
        store: RunStore,
        progress: Progress,
        split: str,
        *,
        iteration: int | None = None,
        evaluation: int | None = None,
    ) -> None:
        self.store, self.progress, self.split = store, progress, split
        self.iteration, self.evaluation = iteration, evaluation

    def begin(self, plan: RolloutPlan) -> None:
        self.store.begin_rollout(
            plan.rollout_id,
            group_id=plan.group_id,
            task=plan.package.name,
            seed=plan.instance.seed,
            iteration=self.iteration,
            evaluation=self.evaluation,
        )

    def phase(self, plan: RolloutPlan, phase: str, turn: int) -> None:
        self.store.rollout_phase(plan.rollout_id, phase, turn=turn)

    def drop(self, plan: RolloutPlan) -> None:
        self.store.drop_rollout(plan.rollout_id)

    def end(self, result: RolloutResult) -> None:
        plan, grade = result.plan, result.grade
        trained = self.split == "train" and CONSEQUENCES[result.outcome].trained_on
        if not CONSEQUENCES[result.outcome].counted:
            self.store.event("infrastructure_failure", result.detail, rollout=plan.rollout_id)
        self.store.record_rollout(
            RolloutRecord(
                rollout_id=plan.rollout_id,
                group_id=plan.group_id,
                task=plan.package.name,
                seed=plan.instance.seed,
                split=self.split,
                outcome=result.outcome.value,
                version=plan.version,
                iteration=self.iteration,
                evaluation=self.evaluation,
                turns=result.turns,
                tokens=result.sampled_tokens,
                score=grade.score if grade else None,
                partial=grade.final_result / grade.final_total if grade else None,
                complete=grade.complete if grade else False,
                reward=checkpoint_reward(grade) if grade and trained else None,
                checkpoints=tuple((c.total, c.result) for c in grade.checkpoints) if grade else (),
                seconds=result.seconds,
                error=result.detail if grade is None else "",
            ),
            _trajectory(result),
        )
        self.progress.rollout_done(complete=bool(grade and grade.complete))


def _trajectory(result: RolloutResult) -> TrajectoryDocument:
    return {
        "instruction": result.plan.instance.instruction,
        "steps": [
            {
                "turn": step.turn,
                "text": step.text,
                "tool": step.tool,
                "arguments": step.arguments,
                "output": step.result.output if step.result else "",
                "exit_code": step.result.exit_code if step.result else None,
                "truncated": bool(step.result and step.result.truncated),
                "timed_out": bool(step.result and step.result.timed_out),
                "error": step.error,
            }
            for step in result.steps
        ],
        "checkpoints": [
            {"total": c.total, "result": c.result} for c in (result.grade.checkpoints if result.grade else ())
        ],
        "rows": [
            {"tokens": len(row.token_ids), "sampled": sum(row.sampled), "version": row.version}
            for row in result.rows
        ],
        "detail": result.detail,
    }
