"""Training end to end with the real parts: the doors, the tiny policy, sandboxes, engine and learner."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

SMALL = (
    "rollouts.groups=3",
    "rollouts.group_size=4",
    "rollouts.min_group=2",
    "evaluation.every=0",
    "evaluation.final_attempts=6",
    "tasks.include=[hr-onboarding-folder, research-shortlist, qa-triage-log]",
    "curriculum.unlock_after=0",
)

WATCH = Path(__file__).parent / "connections_watch"

WANTED_OF_ROLLOUT = {
    *("task", "seed", "agent", "sandbox", "outcome", "turns"),
    *("checkpoints", "final_score", "score", "seconds"),
}


def door(name: str, *arguments: str) -> list[str]:
    return [sys.executable, f"tac_rl/{name}.py", *arguments]


def run_door(
    name: str, *arguments: str, timeout: float = 150, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        door(name, *arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(env or {})},
    )


def train_arguments(runs: Path, name: str, *overrides: str) -> list[str]:
    settings = [f"--set={override}" for override in (*SMALL, f"runs_dir={runs}", *overrides)]
    return ["--config", "configs/tiny_cpu.yaml", "--name", name, *settings]


def rows(run: Path, query: str) -> list[sqlite3.Row]:
    with sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True) as db:
        db.row_factory = sqlite3.Row
        return db.execute(query).fetchall()


def children_mentioning(text: str) -> list[str]:
    """Command lines of living processes that mention `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in command:
                found.append(command)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run of three iterations."""
    runs = tmp_path_factory.mktemp("runs")
    watch = {
        "CONNECTIONS_SEEN": str(runs / "connections"),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(WATCH), os.environ.get("PYTHONPATH")))),
    }
    done = run_door("train", *train_arguments(runs, "short", "iterations=3"), env=watch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report:" in done.stdout
    yield runs / "short"


def test_every_iteration_makes_a_version_that_is_published_with_proof(trained: Path) -> None:
    versions = rows(trained, "SELECT * FROM versions ORDER BY version")
    assert [row["version"] for row in versions] == [1, 2, 3]
    assert all(row["published"] for row in versions)
    publishes = rows(trained, "SELECT * FROM publishes")
    assert all(row["error"] < 1e-2 for row in publishes)
    iterations = rows(trained, "SELECT metrics FROM iterations ORDER BY n")
    assert any(json.loads(row["metrics"])["grad_norm"] > 0 for row in iterations)


def test_every_rollout_is_recorded_graded_and_readable(trained: Path) -> None:
    rollouts = rows(trained, "SELECT * FROM rollouts WHERE split = 'train'")
    assert len(rollouts) == 3 * 3 * 4
    assert all(row["outcome"] != "infrastructure_failed" for row in rollouts)
    assert all(0 <= row["score"] <= 1 and row["version"] in (0, 1, 2) for row in rollouts)
    assert all((trained / row["trajectory"]).is_file() for row in rollouts)
    assert rows(trained, "SELECT count(*) AS n FROM in_flight")[0]["n"] == 0


def test_nothing_connects_beyond_this_machine(trained: Path) -> None:
    lines = (trained.parent / "connections").read_text().splitlines()
    seen = {(event, family, json.dumps(address)) for event, family, address in map(json.loads, lines)}
    assert any(family == socket.AF_INET for _, family, _ in seen)  # The agents' calls: the watch works.
    near = {"127.0.0.1", "localhost", "::1"}
    far = [
        (event, address)
        for event, family, address in seen
        if family != socket.AF_UNIX
        and (json.loads(address) if family is None else json.loads(address)[0]) not in near
    ]
    assert far == []


def test_the_report_is_self_contained(trained: Path) -> None:
    report = (trained / "report.html").read_text()
    assert "http://" not in report.replace("http://www.w3.org", "") and "<script src" not in report


def test_the_monitor_prints_its_stable_snapshot(trained: Path) -> None:
    shown = run_door("monitor", "--json", "--run", str(trained))
    assert shown.returncode == 0, shown.stderr
    snapshot = json.loads(shown.stdout)
    wanted = (
        "run state iteration iterations policy_version served_version heldout seconds timing infrastructure_failures"
    )
    assert set(wanted.split()) <= set(snapshot)
    assert (snapshot["iteration"], snapshot["policy_version"], snapshot["served_version"]) == (3, 3, 3)
    assert [point["iteration"] for point in snapshot["heldout"]] == [0, 3]
    assert sum(snapshot["timing"].values()) == pytest.approx(1.0, abs=0.02)
    assert snapshot["infrastructure_failures"] == 0


def test_evaluate_measures_base_and_adapter_on_the_same_instances(trained: Path) -> None:
    shown = run_door("evaluate", "--run", str(trained), "--base", "--attempts", "6", "--json")
    assert shown.returncode == 0, shown.stderr
    result = json.loads(shown.stdout)
    assert (result["split"], result["attempts"]) == ("heldout", 6)
    for name in ("base", "adapter"):
        assert result[name]["attempts"] == 6
        assert set(result[name]) >= {"full_completion", "score", "interval", "per_task"}
        assert set(result[name]["per_task"]) == {"hr-onboarding-folder", "research-shortlist", "qa-triage-log"}


def test_a_version_that_is_not_there_is_one_clear_error(trained: Path) -> None:
    shown = run_door("evaluate", "--run", str(trained), "--version", "77", "--attempts", "1")
    assert shown.returncode == 2
    assert "version 77 is not there (kept: 1, 2, 3)" in shown.stderr and "Traceback" not in shown.stderr


def test_a_rollout_of_the_trained_policy_prints_its_turns_and_checkpoints(trained: Path) -> None:
    shown = run_door("rollout", "--task", "tasks/research-shortlist", "--seed", "3", "--run", str(trained), "--json")
    assert shown.returncode == 0, shown.stderr
    result = json.loads(shown.stdout.splitlines()[-1])
    assert set(result) >= WANTED_OF_ROLLOUT
    assert "checkpoint 1:" in shown.stderr


def test_a_run_killed_at_a_bad_moment_goes_on_and_leaves_nothing_behind(tmp_path: Path) -> None:
    name = "killed"
    process = subprocess.Popen(
        door("train", *train_arguments(tmp_path, name, "iterations=3")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    run = tmp_path / name
    try:
        wait_until(lambda: iteration_in_rollouts(run, 2), process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    wait_until(lambda: not children_mentioning(str(tmp_path)), None)
    before = rows(run, "SELECT * FROM iterations WHERE finished IS NOT NULL")
    done = run_door("train", "--resume", name, "--runs-dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    after = rows(run, "SELECT * FROM iterations WHERE finished IS NOT NULL ORDER BY n")
    assert [row["n"] for row in after] == [1, 2, 3]
    assert [tuple(row) for row in after[: len(before)]] == [tuple(row) for row in before]
    assert [row["version"] for row in rows(run, "SELECT version FROM versions ORDER BY version")] == [1, 2, 3]
    assert len(rows(run, "SELECT * FROM rollouts WHERE split = 'train'")) == 3 * 3 * 4
    # The resume makes no evaluation that the config doesn't ask for.
    assert [row["iteration"] for row in rows(run, "SELECT iteration FROM evaluations")] == [0, 3]
    assert not children_mentioning(str(tmp_path))


def test_an_engine_that_dies_in_an_iteration_is_replaced_and_nothing_is_graded_as_0(tmp_path: Path) -> None:
    name = "wounded"
    process = subprocess.Popen(
        door("train", *train_arguments(tmp_path, name, "iterations=3", "rollouts.retries=0")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run = tmp_path / name
    try:
        wait_until(lambda: iteration_in_rollouts(run, 2), process)
        engines = engine_processes(process.pid)
        assert engines
        for pid in engines:
            os.kill(pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, output
    failed = rows(run, "SELECT * FROM rollouts WHERE outcome = 'infrastructure_failed'")
    assert failed and all(row["score"] is None and row["reward"] is None for row in failed)
    kinds = {row["kind"] for row in rows(run, "SELECT kind FROM events")}
    assert "engine_restart" in kinds
    assert [row["version"] for row in rows(run, "SELECT version FROM versions ORDER BY version")] == [1, 2, 3]


def wait_until(condition, process: "subprocess.Popen[str] | None", seconds: float = 90) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    pause = subprocess.Popen(["sleep", "0"])
    pause.wait()
    while not condition():
        assert process is None or process.poll() is None, "the run ended early"
        assert time.monotonic() < deadline, "waited too long"
        signal.sigtimedwait([], 0.02)


def iteration_in_rollouts(run: Path, n: int) -> bool:
    """Whether iteration `n` has a rollout that is at work."""
    if not (run / "run.sqlite").exists():
        return False
    try:
        return bool(rows(run, f"SELECT 1 FROM in_flight WHERE iteration = {n} AND phase = 'working'"))
    except sqlite3.OperationalError:
        return False


def engine_processes(parent: int) -> Sequence[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                status = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if b"tac_rl.serving" in command and int(status[1]) == parent:
                found.append(int(entry.name))
    return found


def test_an_asynchronous_run_learns_from_rollouts_of_bounded_age_and_resumes(tmp_path: Path) -> None:
    """Agents of the next iteration work while the learner steps; a kill loses only what was under way."""
    settings = ("iterations=4", "rollouts.max_staleness=1")
    process = subprocess.Popen(
        door("train", *train_arguments(tmp_path, "async", *settings)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run = tmp_path / "async"
    deadline = time.monotonic() + 120
    while not (run / "run.sqlite").exists() or not rows(
        run, "SELECT n FROM iterations WHERE n = 2 AND finished IS NOT NULL"
    ):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait(30)
    done = run_door("train", "--resume", "async", "--runs-dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr

    iterations = rows(run, "SELECT n, version, new_version, metrics FROM iterations ORDER BY n")
    assert [(row["n"], row["new_version"]) for row in iterations] == [(n, n) for n in (1, 2, 3, 4)]
    ages = [json.loads(row["metrics"])["staleness"] for row in iterations]
    assert ages == [row["n"] - 1 - row["version"] for row in iterations]
    # The first batch of a session is fresh, those begun while the learner stepped are one version old.
    assert ages[:2] == [0, 1] and ages[2] in (0, 1) and ages[3] == 1
    rollouts = rows(run, "SELECT iteration, version, outcome FROM rollouts WHERE split = 'train'")
    assert len(rollouts) == 4 * 3 * 4
    assert all(row["outcome"] != "infrastructure_failed" for row in rollouts)
    used = {row["n"]: row["version"] for row in iterations}
    assert all(row["version"] == used[row["iteration"]] for row in rollouts)
    assert rows(run, "SELECT count(*) AS n FROM in_flight")[0]["n"] == 0
