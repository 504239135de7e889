"""The loop: one iteration is `TrainingLoop.iterate`, and reads like the eight steps of the design.

It decides nothing about algorithms: the curriculum draws, the workshop attempts, the learner learns, the
publisher serves, the store remembers. It keeps the order, the clock, and the promise that a run killed at
any moment goes on from its last finished iteration.
"""

import asyncio
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean

from tac_rl.config.run import RunConfig
from tac_rl.curriculum.sampling import Curriculum
from tac_rl.errors import RunError
from tac_rl.learning.base import Group, Learner
from tac_rl.learning.recorded import RowKeeper, Traces
from tac_rl.learning.stages import stage_at, stages_of
from tac_rl.rollouts.ahead import Batches
from tac_rl.rollouts.attempts import Attempts
from tac_rl.rollouts.evaluation import EvaluationResult
from tac_rl.rollouts.group import GroupResult
from tac_rl.rollouts.recording import StoreRecorder
from tac_rl.rollouts.rewarding import Rewarder
from tac_rl.rollouts.rollout import PHASES
from tac_rl.runs.store import RunStore
from tac_rl.serving.publishing import Publisher

HEARTBEAT_S = 2.0
"""How often the run directory hears that the loop lives."""

HOPELESS_ITERATIONS = 3
"""Iterations in a row without one rollout that worked, after which the run stops."""


class TrainingLoop:
    """Drives a run from its resume point to its last iteration."""

    def __init__(
        self,
        config: RunConfig,
        store: RunStore,
        curriculum: Curriculum,
        attempts: Attempts,
        rewarder: Rewarder,
        learner: Learner,
        publisher: Publisher,
        *,
        rows: RowKeeper | None = None,
        traces: Mapping[int, Traces] | None = None,
    ) -> None:
        """`rows` keeps what the learner is given; `traces`: by number of stage, for those that learn from an
        earlier run."""
        self.config = config
        self.stages = stages_of(config)
        self.rows = rows
        self.traces = traces or {}
        self.store = store
        self.curriculum = curriculum
        self.attempts = attempts
        self.rewarder = rewarder
        self.learner = learner
        self.publisher = publisher
        self.batches = Batches(
            curriculum,
            attempts,
            publisher,
            store,
            groups=config.rollouts.groups,
            staleness=config.rollouts.max_staleness,
            has_rollouts=self._has_rollouts,
        )
        self.version = store.resume_point.version
        self._evaluated = set(store.resume_point.evaluated)
        self._hopeless = 0
        self._best: tuple[float, int] = (-1.0, 0)
        if store.resume_point.state:
            self.curriculum.restore(store.resume_point.state["curriculum"])

    async def run(self) -> None:
        """All iterations that are left, with the evaluations between them."""
        heart = asyncio.create_task(self._beat())
        try:
            started = time.monotonic()
            n = self.store.resume_point.iteration
            if n == 0 or self._is_time_to_evaluate(n):  # where a kill came before it
                await self.evaluate(n, final=n in (0, self.config.iterations))
            while n < self.config.iterations and not self._out_of_time(started):
                n += 1
                await self.iterate(n)
                if self._is_time_to_evaluate(n):
                    await self.evaluate(n, final=n == self.config.iterations)
            await self.batches.cancel()  # of iterations for which there is no time left
            await self.evaluate(n, final=True)
        finally:
            await self.batches.cancel()
            heart.cancel()

    async def iterate(self, n: int) -> None:
        """One iteration: attempt, grade, learn, publish, remember."""
        clock = PhaseClock()
        await self._ensure_engine()
        batch = self.batches.of(n, self.version) if self._has_rollouts(n) else None
        self.store.begin_iteration(
            n, batch.version if batch else self.version, weights=batch.weights if batch else {}
        )
        stage = stage_at(self.stages, n)
        if n == stage.first and len(self.stages) > 1:
            self.store.event("stage", str(stage))

        groups: list[GroupResult] = []
        judged: dict[str, float] = {}
        if batch is None:
            # A warm start from traces: an earlier run's rollouts and rewards take the place of 1 to 5.
            trainable = self.traces[stage.number].batch(n - stage.first)
        else:
            # 1-4: draw packages; every draw is an instance and a group; agents work; checkers grade.
            self.store.enter("rollouts")
            with clock("rollouts"):
                groups = await batch.groups
            for group in groups:
                self.curriculum.observe(group.task, group.scores)

            # 5: grades become rewards; a judge may break the checker's ties.
            self.store.enter("rewards")
            with clock("rewards"):
                trainable, judged = await self.rewarder.reward(n, self._trainable(groups), groups)
            if self.rows is not None:
                self.rows.keep(n, trainable)

        # 6: rewards become advantages, successes or pairs, and the learner writes the next adapter.
        self.store.enter("learner")
        with clock("learner"):
            async with self.publisher.resting():  # on one GPU, engine and learner take turns
                step = await self.learner.step(
                    trainable, self.version + 1, self.store.adapter_path(self.version + 1)
                )
        if step.skipped:
            self.store.event("step_skipped", step.skipped, iteration=n)
        self.store.record_version(self.version + 1, step.adapter, step.metrics)

        # 7: serve it, prove that it took effect, retire the old one.
        self.store.enter("publish")
        await self._ensure_engine()  # it may have died in this iteration
        with clock("publish"):
            unchanged = bool(step.skipped) or step.metrics.get("learning_rate") == 0
            report = await self.publisher.publish(step.adapter, self.version + 1, weights_unchanged=unchanged)
        self.store.record_publish(
            report.version, seconds=report.seconds, shift=report.probe_shift, error=report.probe_error
        )

        # 8: everything is in the run directory before the next iteration starts.
        self.version += 1
        metrics = _rollout_metrics(groups) | judged | dict(step.metrics)
        metrics["publish_seconds"] = report.seconds
        if batch is not None:
            metrics["staleness"] = self.version - 1 - batch.version
        self.store.finish_iteration(
            n,
            metrics=metrics,
            timing=clock.split(groups),
            new_version=self.version,
            state={"curriculum": self.curriculum.state()},
        )
        self._prune_adapters()

    async def evaluate(self, iteration: int, *, final: bool) -> EvaluationResult | None:
        """Measure the current version on held-out instances, unless that was done already."""
        if (iteration, "heldout") in self._evaluated:
            return None
        self._evaluated.add((iteration, "heldout"))
        await self._ensure_engine()
        self.store.enter("evaluation")
        started = time.monotonic()
        evaluation = self.store.begin_evaluation(iteration, self.version, "heldout")
        wanted = self.config.evaluation
        result = await self.attempts.evaluate(
            f"ev{evaluation:04d}",
            version=self.version,
            split="heldout",
            attempts=wanted.final_attempts if final else wanted.attempts,
            temperature=wanted.temperature,
            recorder=StoreRecorder(self.store, "heldout", evaluation=evaluation),
        )
        self.store.finish_evaluation(evaluation, result.as_json(), seconds=time.monotonic() - started)
        self._best = max(self._best, (result.score, self.version))
        return result

    def _trainable(self, groups: Sequence[GroupResult]) -> list[Group]:
        kept = [group.for_training() for group in groups]
        small = [group for group in kept if len(group.rollouts) < self.config.rollouts.min_group]
        for group in small:
            self.store.event(
                "group_dropped", f"{group.group_id} ({group.task}): {len(group.rollouts)} usable rollouts"
            )
        usable = [group for group in kept if group not in small]
        self._hopeless = 0 if any(group.counted for group in groups) else self._hopeless + 1
        if self._hopeless >= HOPELESS_ITERATIONS:
            raise RunError(
                f"{HOPELESS_ITERATIONS} iterations in a row without one rollout that worked; "
                f"the events in {self.store.directory} say why (python tac_rl/monitor.py --run {self.store.name})"
            )
        return usable

    async def _ensure_engine(self) -> None:
        """Start the engine again where it died, and serve the current version with it."""
        adapter = self.store.adapter_path(self.version) if self.version else None
        if reason := await self.publisher.revive(adapter, self.version):
            self.store.event("engine_restart", reason)

    def _prune_adapters(self) -> None:
        """Keep the newest, the first, the best-evaluated and each stage's last adapter; the others cost disk for
        nothing."""
        keep = {1, self._best[1], *(stage.last for stage in self.stages)}
        keep |= {*range(self.version - self.config.keep_adapters + 1, self.version + 1)}
        for version in range(1, self.version):
            if version not in keep:
                shutil.rmtree(self.store.adapter_path(version), ignore_errors=True)

    def _has_rollouts(self, n: int) -> bool:
        return n <= self.config.iterations and stage_at(self.stages, n).from_run is None

    def _is_time_to_evaluate(self, n: int) -> bool:
        """Every so many iterations, and where a stage ends, so that it shows what each stage gave."""
        every = self.config.evaluation.every
        return bool(every) and (n % every == 0 or n == stage_at(self.stages, n).last)

    def _out_of_time(self, started: float) -> bool:
        limit = self.config.max_minutes
        return limit is not None and time.monotonic() - started > 60 * limit

    async def _beat(self) -> None:
        while True:
            self.store.heartbeat()
            await asyncio.sleep(HEARTBEAT_S)


class PhaseClock:
    """Wall time of an iteration by phase; what no phase claims is the loop's own."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[phase] = self._seconds.get(phase, 0.0) + time.monotonic() - started

    def split(self, groups: Sequence[GroupResult]) -> dict[str, float]:
        """Seconds by phase: the rollouts' wall time is split as the rollouts' own clocks say."""
        rollouts = self._seconds.pop("rollouts", 0.0)
        results = [result for group in groups for result in group.results]
        in_rollouts = sum(result.seconds for result in results)
        parts = {
            phase: rollouts * sum(result.spent[phase] for result in results) / in_rollouts
            for phase in PHASES
            if in_rollouts
        }
        named = parts | self._seconds
        return named | {"loop": max(0.0, time.monotonic() - self._started - sum(named.values()))}


def _rollout_metrics(groups: Sequence[GroupResult]) -> dict[str, float]:
    counted = [result for group in groups for result in group.counted]
    grades = [result.grade for result in counted if result.grade is not None]
    metrics: dict[str, float] = {
        "rollouts": len(counted),
        "infrastructure_failures": sum(len(group.results) - len(group.counted) for group in groups),
    }
    if grades:
        metrics |= {
            "reward": fmean(grade.score for grade in grades),
            "partial": fmean(grade.final_result / grade.final_total for grade in grades),
            "full_completion": fmean(grade.complete for grade in grades),
            "turns": fmean(result.turns for result in counted),
            "sampled_tokens": sum(result.sampled_tokens for result in counted),
        }
    return metrics
