"""A fake run: a real `RunStore` filled with made-up rollouts, for the tests of what reads run directories."""

import math
import random
from pathlib import Path

from tac_rl.runs.reader import RunReader
from tac_rl.runs.records import RolloutRecord, TrajectoryDocument
from tac_rl.runs.store import RunStore

FAKE_TASKS = (
    "admin-sort-inbox", "ds-quarter-report", "finance-match-invoices", "hr-leave-balance", "ml-compare-runs",
    "pm-sprint-summary", "qa-flaky-tests", "research-merge-tables", "sde-fix-git-history", "sde-parse-logs",
)  # fmt: skip
HOSTILE = "<script>alert('x')</script>\x1b[2J\x1b]0;owned\x07</pre>\u202eevil\u2066 [bold]not markup[/bold] \ud800"


def fake_trajectory(task: str, seed: int, checkpoints: list[tuple[int, int]], hostile: bool) -> TrajectoryDocument:
    output = HOSTILE if hostile else f"region,total\nnorth,{seed}\nsouth,{seed * 3}\n"
    return {
        "instruction": f"Fake instruction of {task}: add the totals in sales.csv and write them to answer.txt.",
        "steps": [
            {"turn": 1, "text": "I look at the file first.", "tool": "bash", "arguments": "head -3 sales.csv",
             "output": output, "exit_code": 0, "truncated": False, "timed_out": False, "error": ""},
            {"turn": 2, "text": "", "tool": "bash", "arguments": f"echo {seed * 4} > answer.txt && cat answer.txt",
             "output": f"{seed * 4}\n", "exit_code": 0 if not hostile else 1, "truncated": hostile,
             "timed_out": False, "error": ""},
            {"turn": 3, "text": "", "tool": "", "arguments": '{"command": ', "output": "", "exit_code": None,
             "truncated": False, "timed_out": False, "error": "the tool call is not valid JSON"},
            {"turn": 4, "text": "Done.", "tool": "finish", "arguments": "", "output": "", "exit_code": None,
             "truncated": False, "timed_out": False, "error": ""},
        ],
        "checkpoints": [{"total": t, "result": r} for t, r in checkpoints],
        "rows": [{"tokens": 512, "sampled": 140, "version": 1}],
        "detail": "finished",
    }  # fmt: skip


class FakeRun:
    """Drives a `RunStore` the way the loop does, with a policy that gets better as the iterations pass."""

    def __init__(self, runs_dir: Path, name: str | None = "fake-run", *, iterations: int = 12, seed: int = 0) -> None:
        self.store = RunStore.create(runs_dir, name, {"run": {"iterations": iterations}}, iterations=iterations)
        self.planned = iterations
        self.random = random.Random(seed)
        self.version = 0

    def rollout(self, name: str, task: str, *, iteration: int | None = None, evaluation: int | None = None,
                failed: bool = False) -> None:  # fmt: skip
        """One rollout from queue to record; skill rises with the version, tasks differ in difficulty."""
        skill = 1 / (1 + math.exp(-(self.version * 4 / self.planned - 1.3 - FAKE_TASKS.index(task) * 0.12)))
        checkpoints = [(2, 2 * (self.random.random() < skill**0.25)) for _ in range(3)]
        share = sum(r for _, r in checkpoints) / 6
        complete = share == 1
        score = 0.5 * share + 0.5 * complete
        self.store.begin_rollout(name, group_id=f"g-{task}", task=task, seed=7, iteration=iteration,
                                 evaluation=evaluation)  # fmt: skip
        self.store.rollout_phase(name, "working", turn=1)
        record = RolloutRecord(
            rollout_id=name, group_id=f"g-{task}", task=task, seed=7,
            split="train" if iteration is not None else "heldout",
            outcome="infrastructure_failed" if failed else "finished", version=self.version,
            iteration=iteration, evaluation=evaluation, turns=4, tokens=140,
            score=None if failed else score, partial=None if failed else share, complete=complete and not failed,
            reward=None if failed or iteration is None else score,
            checkpoints=() if failed else tuple(checkpoints), seconds=2.5,
            error="the sandbox died" if failed else "",
        )  # fmt: skip
        hostile = self.random.random() < 0.2
        self.store.record_rollout(record, fake_trajectory(task, 7, checkpoints, hostile))

    def evaluate(self, iteration: int, attempts: int = 4) -> None:
        evaluation = self.store.begin_evaluation(iteration, self.version, "heldout")
        for task in FAKE_TASKS:
            for n in range(attempts):
                self.rollout(f"ev{evaluation}-{task}-{n}", task, evaluation=evaluation)
        with RunReader(self.store.directory) as reader:
            means = reader.evaluation_means()[evaluation]
        results = {"full_completion": means.full_completion, "score": means.score}
        self.store.finish_evaluation(evaluation, results, seconds=6.0)

    def start_iteration(self, n: int) -> None:
        weights = {task: self.random.random() for task in FAKE_TASKS}
        self.store.begin_iteration(n, self.version, weights=weights)
        self.store.enter("rollouts")

    def iterate(self, n: int, group: int = 4) -> None:
        """One whole iteration."""
        self.start_iteration(n)
        for task in self.random.sample(FAKE_TASKS, 6):
            for g in range(group):
                self.rollout(f"it{n}-{task}-{g}", task, iteration=n, failed=self.random.random() < 0.02)
        new = self.version + 1
        adapter = self.store.adapter_path(new)
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text("{}")
        metrics = {
            "loss": 0.02 / n, "grad_norm": 0.4 + 0.1 * self.random.random(), "entropy": 0.9 / (1 + 0.1 * n),
            "mismatch_kl": 1e-4 * self.random.random(), "ratio_mean": 1.0, "clipped_share": 0.01,
            "tokens_per_s": 2100.0, "zero_variance_share": 0.2 + 0.02 * n, "trained_groups": 5.0, "seconds": 3.0,
        }  # fmt: skip
        self.store.record_version(new, adapter, metrics)
        self.store.record_publish(new, seconds=0.21, shift=0.05, error=1e-5)
        self.version = new
        timing = {"rollouts": 9.0 + n / 5, "learner": 3.1, "publish": 0.2, "loop": 0.3}
        self.store.finish_iteration(n, metrics=metrics, timing=timing, new_version=new, state={"drawn": n})
