"""Tell the run directory of rollouts as they go."""

from tac_rl.rewards.checkpoints import checkpoint_reward
from tac_rl.rollouts.outcomes import CONSEQUENCES
from tac_rl.rollouts.rollout import RolloutPlan, RolloutResult
from tac_rl.runs.records import RolloutRecord, TrajectoryDocument
from tac_rl.runs.store import RunStore


class StoreRecorder:
    """A `Recorder` that writes to the run directory; exactly one of `iteration` and `evaluation` is given."""

    def __init__(
        self,
        store: RunStore,
        split: str,
        *,
        iteration: int | None = None,
        evaluation: int | None = None,
    ) -> None:
        self.store, self.split = store, split
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
