"""Stages end to end with the real parts: sft, grpo and dpo in one run, killed at a border; a start from traces."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_training import children_mentioning, door, iteration_in_rollouts, rows, run_door, wait_until

from tac_rl.learning.recorded import load_rows

pytestmark = pytest.mark.timeout(600)  # a busy machine is no failure
PATIENCE_S = 280.0

SMALL = (
    "rollouts.groups=3",
    "rollouts.group_size=4",
    "rollouts.min_group=2",
    "evaluation.every=0",
    "evaluation.final_attempts=3",
    "tasks.include=[hr-onboarding-folder, research-shortlist, qa-triage-log]",
    "curriculum.unlock_after=0",
    "learner.sft.min_reward=0.3",
)
ONE_OF_EACH = "[{kind: sft, iterations: 1}, {kind: grpo, iterations: 1}, {kind: dpo, iterations: 2}]"


def arguments(runs: Path, name: str, stages: str) -> list[str]:
    settings = [f"--set={override}" for override in (*SMALL, f"runs_dir={runs}", f"stages={stages}")]
    return ["--config", "configs/tiny_stages.yaml", "--name", name, *settings]


def metrics_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(row["metrics"]) for row in rows(run, "SELECT metrics FROM iterations ORDER BY n")]


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of three stages that was killed as the second began, and resumed to its end."""
    runs = tmp_path_factory.mktemp("runs")
    run = runs / "staged"
    process = subprocess.Popen(
        door("train", *arguments(runs, "staged", ONE_OF_EACH)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: iteration_in_rollouts(run, 2), process, PATIENCE_S)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    wait_until(lambda: not children_mentioning(str(runs)), None)
    done = run_door("train", "--resume", "staged", "--runs-dir", str(runs), timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "iteration 2/4  grpo 1/1" in done.stdout and "iteration 4/4  dpo 2/2" in done.stdout
    yield run


def test_each_stage_learns_in_its_own_way_and_publishes_with_proof(staged: Path) -> None:
    sft, grpo, *dpo = metrics_of(staged)
    assert sft["trained_rollouts"] > 0 and sft["grad_norm"] > 0 and "pairs" not in sft
    assert grpo["learning_rate"] == 1.5e-3
    assert sum(metrics["pairs"] for metrics in dpo) > 0
    versions = rows(staged, "SELECT * FROM versions ORDER BY version")
    assert [row["version"] for row in versions] == [1, 2, 3, 4] and all(row["published"] for row in versions)
    assert all(row["error"] < 1e-2 for row in rows(staged, "SELECT error FROM publishes"))
    told = {row["message"] for row in rows(staged, "SELECT message FROM events WHERE kind = 'stage'")}
    assert told == {
        "stage 1, sft: iteration 1",
        "stage 2, grpo: iteration 2",
        "stage 3, dpo: iterations 3 to 4",
    }


def test_the_tokens_of_every_iteration_are_kept_once(staged: Path) -> None:
    assert sorted(file.name for file in (staged / "rows").iterdir()) == [
        *(f"it{n:04d}.npz" for n in (1, 2, 3, 4)),
        "model.json",
    ]
    for n in (1, 2, 3, 4):
        kept = {
            r.rollout_id: r for group in load_rows(staged / "rows" / f"it{n:04d}.npz") for r in group.rollouts
        }
        recorded = {
            row["rollout_id"]: row for row in rows(staged, f"SELECT * FROM rollouts WHERE iteration = {n}")
        }
        assert kept and set(kept) <= set(recorded)
        for name, rollout in kept.items():
            assert sum(sum(row.sampled) for row in rollout.rows) == recorded[name]["tokens"]
            assert rollout.reward == recorded[name]["reward"]


def test_the_monitor_and_the_report_show_the_stages(staged: Path) -> None:
    shown = json.loads(run_door("monitor", "--json", "--run", str(staged)).stdout)
    assert shown["training_stage"] == {
        "number": 3,
        "of": 3,
        "kind": "dpo",
        "first": 3,
        "last": 4,
        "from_run": None,
    }
    assert "<h2>Stages</h2>" in (staged / "report.html").read_text()


def test_a_run_starts_from_the_traces_of_another_without_rollouts(staged: Path) -> None:
    name = "warm"
    stages = "[{kind: sft, iterations: 2, from_run: staged}, {kind: dpo, iterations: 1, from_run: staged}]"
    given = arguments(staged.parent, name, stages)
    shown = run_door("train", *given, "--dry-run", "--json", timeout=PATIENCE_S)
    first, second = json.loads(shown.stdout)["plan"]["stages"]
    assert (first["iterations"], second["iterations"]) == ([1, 2], [3, 3])
    assert 0 < first["recorded_groups"] <= 12 and first["recorded_rollouts"] >= first["recorded_groups"]

    done = run_door("train", *given, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    run = staged.parent / name
    assert rows(run, "SELECT count(*) AS n FROM rollouts WHERE iteration IS NOT NULL")[0]["n"] == 0
    assert [row["version"] for row in rows(run, "SELECT version FROM versions ORDER BY version")] == [1, 2, 3]
    metrics = metrics_of(run)
    assert all(entry["grad_norm"] > 0 for entry in metrics) and metrics[2]["pairs"] > 0
    assert not (run / "rows").exists()
