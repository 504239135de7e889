"""Speed of the run directory: what the loop pays for each write, and what a watcher pays for each look.

Prints one JSON line per measured thing. Everything goes to a temporary folder.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tac_rl.monitor.report import write_report
from tac_rl.monitor.snapshot import take_snapshot
from tac_rl.runs.records import RolloutRecord, StepDocument, TrajectoryDocument
from tac_rl.runs.store import RunStore

ITERATIONS, ROLLOUTS, TASKS = 40, 64, 12


def trajectory() -> TrajectoryDocument:
    """Ten turns with 2 KB of output each."""
    step: StepDocument = {
        "turn": 1, "text": "", "tool": "bash", "arguments": "sort -u names.csv | head", "exit_code": 0,
        "output": "\n".join(f"{n * 7919 % 10007},name {n},team {n % 7}" for n in range(110)),
        "truncated": False, "timed_out": False, "error": "",
    }  # fmt: skip
    return {"instruction": "x" * 800, "steps": [step] * 10, "checkpoints": [], "rows": [], "detail": ""}


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def tell(name: str, milliseconds: list[float]) -> None:
    ordered = sorted(milliseconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    numbers = {"p50_ms": statistics.median(ordered), "p99_ms": p99, "n": len(ordered)}
    print(json.dumps({"bench": "runs", "measured": name} | {k: round(v, 3) for k, v in numbers.items()}))


def main() -> None:
    document = trajectory()
    phases: list[float] = []
    records: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore.create(Path(folder), "bench", {}, iterations=ITERATIONS)
        for n in range(1, ITERATIONS + 1):
            store.begin_iteration(n, n - 1)
            for r in range(ROLLOUTS):
                name, task = f"it{n}-{r}", f"task-{r % TASKS}"
                store.begin_rollout(name, group_id=task, task=task, seed=r, iteration=n)
                phases.append(timed(lambda name=name: store.rollout_phase(name, "working", turn=1)))  # type: ignore[misc]
                record = RolloutRecord(
                    rollout_id=name, group_id=task, task=task, seed=r, split="train", outcome="finished", version=n - 1,
                    iteration=n, turns=10, tokens=400, score=0.25, partial=0.5, reward=0.25, checkpoints=((2, 1),) * 3,
                )  # fmt: skip
                records.append(timed(lambda record=record: store.record_rollout(record, document)))  # type: ignore[misc]
            store.finish_iteration(
                n, metrics={"loss": 0.1}, timing={"rollouts": 1.0}, new_version=n, state={}
            )
        tell("rollout_phase", phases)
        tell("record_rollout with a 20 KB trajectory", records)
        looks = [timed(lambda: take_snapshot(store.directory)) for _ in range(20)]
        tell(f"monitor snapshot of {ITERATIONS * ROLLOUTS} rollouts", looks)
        looks = [timed(lambda: take_snapshot(store.directory, tasks=False)) for _ in range(20)]
        tell("the same for the progress bars", looks)
        store.close("finished")
        tell(
            f"HTML report of {ITERATIONS * ROLLOUTS} rollouts", [timed(lambda: write_report(store.directory))]
        )


if __name__ == "__main__":
    main()
