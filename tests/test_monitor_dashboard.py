"""The monitor: what it shows, what it answers, and that nothing a model wrote can act in a terminal."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from runs_fakes import HOSTILE, FakeRun

from tac_rl.monitor.cli import main
from tac_rl.monitor.dashboard import dashboard, spark
from tac_rl.monitor.progress import TrainProgress, closing_table
from tac_rl.monitor.snapshot import take_snapshot
from tac_rl.runs import lock

SIZES = [(80, 24), (80, 60), (200, 24), (200, 60)]


def drawn(directory: Path, width: int, height: int) -> list[str]:
    console = Console(
        width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False
    )
    with console.capture() as capture:
        console.print(dashboard(take_snapshot(directory), width, height))
    return capture.get().rstrip("\n").split("\n")


def half_done(tmp_path: Path) -> FakeRun:
    run = FakeRun(tmp_path, iterations=6)
    run.evaluate(0)
    for n in (1, 2, 3):
        run.iterate(n)
    run.evaluate(3)
    run.start_iteration(4)
    for n, phase in enumerate(("queued", "working", "working", "grading")):
        run.store.begin_rollout(f"now{n}", group_id="g", task="sde-parse-logs", seed=n, iteration=4)
        run.store.rollout_phase(f"now{n}", phase, turn=n)
    run.store.event("engine_restarted", HOSTILE)
    return run


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_fits_and_shows_the_run(tmp_path: Path, width: int, height: int) -> None:
    run = half_done(tmp_path)
    lines = drawn(run.store.directory, width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    for shown in ("iteration 3/6", "trained v3 · served v3", "reward", "partial score", "zero variance", "entropy",
                  "mismatch KL", "gradient norm", "tokens/s", "working 2", "rollouts in flight 4", "p(1-p)",
                  "infrastructure failures", "where the time went", "learner"):  # fmt: skip
        assert shown in text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_run_that_has_done_nothing_yet_is_drawn(tmp_path: Path, width: int, height: int) -> None:
    run = FakeRun(tmp_path)
    assert "no evaluation yet" in "\n".join(drawn(run.store.directory, width, height))
    run.start_iteration(1)
    assert "iteration 0/12" in "\n".join(drawn(run.store.directory, width, height))


def test_text_from_models_reaches_the_terminal_without_escapes_or_markup(tmp_path: Path) -> None:
    run = half_done(tmp_path)
    text = "\n".join(drawn(run.store.directory, 260, 60))
    assert "[bold]not markup[/bold]" in text
    assert not any(c in text for c in "\x1b\x07\u202e")


def test_the_json_snapshot_has_the_promised_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = half_done(tmp_path)
    assert main(["--json", "--runs-dir", str(tmp_path)]) == 0
    snapshot = json.loads(capsys.readouterr().out)
    assert snapshot["run"] == run.store.name
    assert (snapshot["state"], snapshot["iteration"], snapshot["iterations"]) == ("running", 3, 6)
    assert (snapshot["policy_version"], snapshot["served_version"]) == (3, 3)
    assert [point["iteration"] for point in snapshot["heldout"]] == [0, 3]
    assert set(snapshot["heldout"][0]) == {"iteration", "full_completion", "score"}
    assert abs(sum(snapshot["timing"].values()) - 1) < 0.01
    assert snapshot["seconds"] > 0
    assert isinstance(snapshot["infrastructure_failures"], int)


def test_a_metric_that_is_not_finite_is_degraded_and_still_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = FakeRun(tmp_path)
    run.store.begin_iteration(1, 0)
    run.store.event("step_skipped", "the loss was not finite")
    run.store.finish_iteration(1, metrics={"loss": float("nan")}, timing={}, new_version=0, state={})
    evaluation = run.store.begin_evaluation(1, 0, "heldout")
    run.store.finish_evaluation(evaluation, {"full_completion": float("nan"), "score": 0.0}, seconds=1.0)
    assert main(["--json", "--runs-dir", str(tmp_path)]) == 1
    snapshot = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert "no update" in snapshot["problems"][0]
    assert "loss" in snapshot["problems"][1]
    drawn(run.store.directory, 80, 24)


def test_many_infrastructure_failures_are_degraded(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.start_iteration(1)
    for n in range(10):
        run.rollout(f"r{n}", "sde-parse-logs", iteration=1, failed=n < 3)
    snapshot = take_snapshot(run.store.directory)
    assert snapshot.health.answer == "degraded"
    assert "3 of the last 10" in snapshot.health.problems[0]


def test_a_killed_run_is_stalled(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    gone = {"pid": 2**22 + 1, "start_ticks": 1, "host": socket.gethostname()}
    (run.store.directory / lock.LOCK).write_text(json.dumps(gone))
    assert main(["--json", "--runs-dir", str(tmp_path)]) == 2


def test_a_silent_or_idle_process_is_stalled(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.store._db.execute("UPDATE run SET progress=?", (time.time() - 1000,))
    assert take_snapshot(run.store.directory).health.answer == "stalled"
    assert take_snapshot(run.store.directory, progress_seconds=2000).health.answer == "healthy"
    run.store._db.execute("UPDATE sessions SET heartbeat=?", (time.time() - 100,))
    assert "no sign of life" in take_snapshot(run.store.directory, progress_seconds=2000).health.problems[0]


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("stopped", 1), ("failed", 2)])
def test_an_ended_run_answers_by_how_it_ended(tmp_path: Path, state: str, code: int) -> None:
    run = FakeRun(tmp_path)
    run.iterate(1)
    run.store.close(state, "why")  # type: ignore[arg-type]
    assert main(["--json", "--runs-dir", str(tmp_path)]) == code


def test_no_run_and_wrong_arguments_exit_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs-dir", str(tmp_path)]) == 3
    assert "holds no run" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["--no-such-flag"])
    assert ended.value.code == 3


def test_watching_a_finished_run_ends_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = half_done(tmp_path)
    run.store.close("finished")
    assert main(["--watch", "--runs-dir", str(tmp_path)]) == 0
    assert "iteration 3/6" in capsys.readouterr().out


def test_the_door_runs_as_a_file(tmp_path: Path) -> None:
    half_done(tmp_path).store.close("finished")
    door = Path(__file__).parent.parent / "tac_rl" / "monitor.py"
    command = [sys.executable, str(door), "--json", "--runs-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == "fake-run"


def test_progress_off_a_terminal_is_plain_lines(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, iterations=2)
    console = Console(width=80, force_terminal=False, highlight=False)
    with console.capture() as capture:
        with TrainProgress(run.store.directory, console, interval_s=60):
            run.evaluate(0)
            run.iterate(1)
            run.store.event("step_skipped", f"no group had variance {HOSTILE}")
    lines = capture.get().splitlines()
    assert lines[0].startswith("iteration 1/2  reward")
    assert lines[1].startswith("held-out after iteration 0")
    assert lines[2].startswith("step_skipped: no group had variance")
    assert len(lines) == 3
    assert "\x1b" not in capture.get()


def test_the_closing_table_compares_first_and_last_evaluation(tmp_path: Path) -> None:
    run = half_done(tmp_path)
    console = Console(width=80, force_terminal=False, highlight=False)
    with console.capture() as capture:
        console.print(closing_table(run.store.directory))
    text = capture.get()
    assert "heldout v0 → v3" in text
    assert "research-merge-tables" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_sparks_stay_in_their_width_and_skip_gaps() -> None:
    assert spark([], 10) == ""
    assert spark([1.0, None, 1.0, float("nan")], 10) == "▄▄"
    assert spark([0.0, 0.5, 1.0], 2) == "▁█"
    assert spark([0.0, 1.0], 5, top=1.0) == "▁█"
    assert spark([1.0], 0) == ""
