"""The doors: machine-readable outputs, agents without a model, and errors as one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("start", [["tac_rl/train.py"], ["-m", "tac_rl.cli", "train"]])
def test_a_dry_run_prints_config_and_plan_and_starts_nothing(start: list[str], tmp_path: Path) -> None:
    shown = run(
        *start, "--config", "configs/tiny_cpu.yaml", "--dry-run", "--json", f"--set=runs_dir={tmp_path / 'runs'}"
    )
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert document["config"]["rollouts"]["group_size"] == 8
    assert document["plan"]["engine"] == "transformers"
    assert len(document["plan"]["packages"]) >= 10
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("agent", "score"), [("oracle", 1.0), ("nop", 0.0)])
def test_a_rollout_without_a_model_is_graded(agent: str, score: float) -> None:
    shown = run("tac_rl/rollout.py", "--task", "tasks/pm-close-sprint", "--seed", "5", "--agent", agent, "--json")
    assert shown.returncode == 0, shown.stderr
    result = json.loads(shown.stdout.splitlines()[-1])
    assert (result["score"], result["outcome"], result["sandbox"]) == (score, "finished", "bubblewrap")
    assert result["final_score"]["total"] == sum(c["total"] for c in result["checkpoints"])


def test_a_script_sends_each_line_as_one_command(tmp_path: Path) -> None:
    script = tmp_path / "commands.txt"
    script.write_text("ls\ngrep -c done board.csv > done.txt\n")
    shown = run("tac_rl/rollout.py", "--task", "tasks/pm-close-sprint", "--agent", f"script:{script}", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout.splitlines()[-1])["turns"] == 2
    assert "board.csv" in shown.stderr


def test_a_checker_that_raises_is_an_infrastructure_failure_with_exit_code_3(tmp_path: Path) -> None:
    package = tmp_path / "pm-close-sprint"
    package.mkdir()
    for source in Path("tasks/pm-close-sprint").iterdir():
        if source.is_file():
            (package / source.name).write_bytes(source.read_bytes())
    (package / "evaluator.py").write_text("def grade_checkpoints(trajectory=''):\n    raise RuntimeError('broken')\n")
    shown = run("tac_rl/rollout.py", "--task", str(package), "--agent", "nop", "--json")
    assert shown.returncode == 3, shown.stderr
    result = json.loads(shown.stdout.splitlines()[-1])
    assert (result["outcome"], result["score"]) == ("infrastructure_failed", None)
    assert "broken" in result["detail"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["tac_rl/rollout.py", "--task", "tasks/nowhere"], "tasks/nowhere: no such task folder"),
        (["tac_rl/train.py", "--resume", "nowhere"], "no such run directory"),
        (["tac_rl/evaluate.py", "--run", "./tests"], "not a run directory"),
        (["tac_rl/train.py"], "give either --config FILE"),
        (["tac_rl/train.py", "--config", "configs/tiny_cpu.yaml", "--set=model=nowhere"], "nowhere"),
        (["tac_rl/train.py", "--config", "configs/tiny_cpu.yaml", "--set=engine.kind=vlm"], "engine.kind"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(command: list[str], message: str, tmp_path: Path) -> None:
    shown = run(*command, *([f"--set=runs_dir={tmp_path}"] if "--config" in command else []))
    assert shown.returncode == 2, shown.stderr
    assert message in shown.stderr and "Traceback" not in shown.stderr
