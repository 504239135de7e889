"""Three steps: a run's configuration is copied, it is the best run's, and it is marked as chosen."""

from common import facts, grader, read_lines
from scoring import Checkpoint, Result, bonus_for_completing_final


@grader
def some_run_copied() -> bool:
    return any(f"run: {run}" in read_lines("best.yaml") for run in facts()["runs"])


@grader
def best_run_copied() -> bool:
    return f"run: {facts()['best']}" in read_lines("best.yaml")


@grader
def best_run_chosen() -> bool:
    return read_lines("best.yaml") == facts()["chosen"]


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(some_run_copied())),
            Checkpoint(2, 2 * int(best_run_copied())),
            Checkpoint(1, int(best_run_chosen())),
        ],
        scoring_strategy=bonus_for_completing_final,
    )
