"""The run directory: what is written is read back, what is torn is discarded, what is wrong is said."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from runs_fakes import HOSTILE, FakeRun, fake_trajectory

from tac_rl.errors import RunError
from tac_rl.runs import lock
from tac_rl.runs.reader import RunReader, find_run
from tac_rl.runs.records import RolloutRecord
from tac_rl.runs.schema import DATABASE, SCHEMA_VERSION
from tac_rl.runs.store import RunStore

DEAD_PID = 2**22 + 1
"""Above every pid that Linux gives out."""


def record(rollout_id: str = "r1", iteration: int | None = 1, **changes: object) -> RolloutRecord:
    base = {"group_id": "g1", "task": "t", "seed": 3, "split": "train", "outcome": "finished", "version": 0}
    return RolloutRecord(rollout_id=rollout_id, iteration=iteration, **(base | changes))  # type: ignore[arg-type]


def forsake(store: RunStore, pid: int = DEAD_PID) -> None:
    """Leave a store as a SIGKILL does: no close, and a lock of a process that is gone."""
    store._db.close()
    (store.directory / lock.LOCK).write_text(
        json.dumps({"pid": pid, "start_ticks": 1, "host": socket.gethostname()})
    )


def test_default_names_are_readable_and_unique(tmp_path: Path) -> None:
    names = set()
    for _ in range(5):
        with RunStore.create(tmp_path, None, {}, iterations=1, stem="Tiny CPU") as store:
            names.add(store.name)
    assert len(names) == 5
    assert all(name.startswith("tiny-cpu-") and len(name.split("-")) == 5 for name in names)


def test_an_existing_run_is_refused_with_the_fix(tmp_path: Path) -> None:
    RunStore.create(tmp_path, "one", {}, iterations=1).close("finished")
    with pytest.raises(RunError, match="--resume one"):
        RunStore.create(tmp_path, "one", {}, iterations=1)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 81])
def test_names_that_are_no_folder_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="run name"):
        RunStore.create(tmp_path, name, {}, iterations=1)


def test_what_is_written_is_read_back_while_the_run_goes_on(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, iterations=5)
    run.evaluate(0)
    run.iterate(1)
    run.start_iteration(2)
    run.store.begin_rollout("now", group_id="g", task="ds-quarter-report", seed=1, iteration=2)
    run.store.rollout_phase("now", "working", turn=2)
    with RunReader(run.store.directory) as reader, reader.consistent():
        assert reader.config() == {"run": {"iterations": 5}}
        first, second = reader.iterations()
        assert (first.new_version, first.timing["learner"]) == (1, 3.1)
        assert second.finished is None
        assert len(second.weights) == 10
        assert [(r.rollout_id, r.phase, r.turn) for r in reader.in_flight()] == [("now", "working", 2)]
        assert reader.iteration_means()[1].attempts == 24
        assert reader.served_version() == 1
        assert reader.state(1) == {"drawn": 1}
        assert set(reader.timing()) == {"rollouts", "learner", "publish", "loop", "evaluation"}
        rollout = reader.rollouts(iteration=1)[0]
        document = reader.trajectory(rollout)
        assert document is not None
        assert document["rollout"]["task"] == rollout.task
        assert sum(c["total"] for c in document["checkpoints"]) == 6
        assert reader.status().alive


def test_a_trajectory_keeps_hostile_text_byte_for_byte(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, "one", {}, iterations=1) as store:
        store.begin_iteration(1, 0)
        store.record_rollout(record(), fake_trajectory("t", 1, [], hostile=True))
        with RunReader(store.directory) as reader:
            document = reader.trajectory(reader.rollouts()[0])
    assert document is not None
    assert document["steps"][0]["output"] == HOSTILE


def test_infrastructure_failures_stay_out_of_the_averages(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, "one", {}, iterations=1) as store:
        store.begin_iteration(1, 0)
        store.record_rollout(record("a", score=1.0, partial=1.0, complete=True, reward=1.0))
        store.record_rollout(record("b", outcome="infrastructure_failed", error="the engine died"))
        with RunReader(store.directory) as reader:
            means = reader.iteration_means()[1]
            assert reader.infrastructure_failures() == 1
    assert (means.attempts, means.failures, means.full_completion, means.reward) == (2, 1, 1.0, 1.0)


def test_a_rollout_id_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, "one", {}, iterations=1) as store:
        with pytest.raises(RunError, match="rollout id"):
            store.record_rollout(record("../../evil"), fake_trajectory("t", 1, [], hostile=False))


def test_an_adapter_outside_the_run_is_refused(tmp_path: Path) -> None:
    with (
        RunStore.create(tmp_path, "one", {}, iterations=1) as store,
        pytest.raises(RunError, match="belong in"),
    ):
        store.record_version(1, tmp_path / "elsewhere", {})


def test_resume_goes_on_after_the_last_finished_iteration(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, iterations=5)
    run.evaluate(0)
    run.iterate(1)
    run.iterate(2)
    run.start_iteration(3)
    run.rollout("half", "sde-parse-logs", iteration=3)
    run.store.begin_rollout("flying", group_id="g", task="sde-parse-logs", seed=1, iteration=3)
    run.store.adapter_path(3).mkdir()
    run.store.record_version(3, run.store.adapter_path(3), {})
    run.store.adapter_path(4).mkdir()  # written, but not yet recorded
    unfinished = run.store.begin_evaluation(2, 2, "heldout")
    run.rollout("half-evaluated", "sde-parse-logs", evaluation=unfinished)
    forsake(run.store)
    with RunStore.resume(run.store.directory, iterations=9) as store:
        point = store.resume_point
        assert (point.iteration, point.version, point.state) == (2, 2, {"drawn": 2})
        assert point.adapter == store.adapter_path(2)
        assert point.evaluated == {(0, "heldout")}
        with RunReader(store.directory) as reader:
            assert [i.n for i in reader.iterations()] == [1, 2]
            assert [v.version for v in reader.versions()] == [1, 2]
            assert reader.in_flight() == []
            assert {r.rollout_id for r in reader.rollouts()}.isdisjoint({"half", "half-evaluated"})
            assert (reader.status().iterations, reader.status().sessions) == (9, 2)
            assert reader.served_version() == 2
            files = {
                str(f.relative_to(store.directory)) for f in (store.directory / "trajectories").glob("*/*")
            }
            assert files == {r.trajectory for r in reader.rollouts()}
        assert sorted(f.name for f in (store.directory / "adapters").iterdir()) == ["v0001", "v0002"]
        store.begin_iteration(3, 2)  # the same number can be used again


def test_a_run_that_finished_no_iteration_resumes_at_the_beginning(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.start_iteration(1)
    run.store.adapter_path(1).mkdir()
    forsake(run.store)
    with RunStore.resume(run.store.directory) as store:
        assert (store.resume_point.iteration, store.resume_point.version, store.resume_point.state) == (
            0,
            0,
            {},
        )
        assert not store.adapter_path(1).exists()


KILLED = """
import sys
from pathlib import Path
from runs_fakes import FakeRun
run = FakeRun(Path(sys.argv[1]), iterations=1000)
write = run.store._write
def told(**kwargs):
    sys.stdout.write("w\\n"); sys.stdout.flush()  # one line before each transaction
    return write(**kwargs)
run.store._write = told
for n in range(1, 1000):
    run.iterate(n, group=1)
"""


@pytest.mark.parametrize("transactions", [1, 17, 24, 25, 61, 83])
def test_a_sigkill_at_any_moment_loses_only_the_iteration_going_on(tmp_path: Path, transactions: int) -> None:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdout is not None
        for _ in range(transactions):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=30)
    with RunStore.resume(tmp_path / "fake-run") as store:
        point = store.resume_point
        adapters = sorted(f.name for f in (store.directory / "adapters").iterdir())
        assert adapters == [f"v{n:04d}" for n in range(1, point.version + 1)]
        assert point.version == point.iteration
        with RunReader(store.directory) as reader:
            iterations = reader.iterations()
            assert [i.n for i in iterations if i.finished] == list(range(1, point.iteration + 1))
            assert len(iterations) == point.iteration
            assert all(m.attempts == 6 for m in reader.iteration_means().values())
            assert all(reader.trajectory(r) for r in reader.rollouts())
            assert store._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_run_in_use_is_refused_and_says_by_whom(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, "one", {}, iterations=1) as store:
        with pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
            RunStore.resume(store.directory)
    RunStore.resume(store.directory).close("finished")


def test_a_pid_that_another_process_got_later_does_not_hold_the_lock(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "one", {}, iterations=1)
    forsake(store, pid=1)  # process 1 lives, but did not start at tick 1
    RunStore.resume(store.directory).close("finished")


def test_a_lock_of_another_host_is_not_taken_over(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "one", {}, iterations=1)
    forsake(store)
    (store.directory / lock.LOCK).write_text(json.dumps({"pid": 1, "start_ticks": 1, "host": "elsewhere"}))
    with pytest.raises(RunError, match="on elsewhere"):
        RunStore.resume(store.directory)


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run"):
        RunStore.resume(tmp_path / "missing")
    with pytest.raises(RunError, match="not a run directory"):
        RunStore.resume(tmp_path)
    (tmp_path / DATABASE).write_bytes(b"this is no database" * 500)
    with pytest.raises(RunError, match="damaged"):
        RunStore.resume(tmp_path)
    with pytest.raises(RunError, match="damaged"):
        RunReader(tmp_path)


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    RunStore.create(tmp_path, "one", {}, iterations=1).close("finished")
    with sqlite3.connect(tmp_path / "one" / DATABASE) as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    for open_it in (RunStore.resume, RunReader):
        with pytest.raises(RunError, match="newer TAC-RL"):
            open_it(tmp_path / "one")


def test_a_missing_adapter_is_said_before_anything_is_discarded(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.iterate(1)
    forsake(run.store)
    (run.store.adapter_path(1) / "adapter_config.json").unlink()
    run.store.adapter_path(1).rmdir()
    with pytest.raises(RunError, match="adapter of version 1 is missing"):
        RunStore.resume(run.store.directory)
    with pytest.raises(RunError, match="adapter of version 1 is missing"):  # and the lock was given back
        RunStore.resume(run.store.directory)


def test_a_full_disk_is_one_clear_error_and_keeps_what_was_committed(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.iterate(1)
    run.store._db.execute("PRAGMA max_page_count=1")  # sqlite then says what it says on a full disk
    with pytest.raises(RunError, match=r"disk is full.*--resume"):
        for n in range(10_000):
            run.store.event("note", f"{n}" * 100)
    forsake(run.store)
    with RunStore.resume(run.store.directory) as store:
        assert store.resume_point.iteration == 1


def test_values_that_json_can_not_hold_are_refused(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, "one", {}, iterations=1) as store:
        store.begin_iteration(1, 0)
        with pytest.raises(RunError, match="JSON values only"):
            store.finish_iteration(1, metrics={}, timing={}, new_version=0, state={"x": object()})
        store.finish_iteration(1, metrics={}, timing={}, new_version=0, state={})


def test_an_error_in_the_block_closes_the_run_as_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with RunStore.create(tmp_path, "one", {}, iterations=1):
            raise ZeroDivisionError("oops")
    with RunReader(tmp_path / "one") as reader:
        assert reader.status().state == "failed"
        assert "oops" in reader.status().message


def test_the_newest_run_is_the_one_started_or_resumed_last(tmp_path: Path) -> None:
    for name in ("a", "b"):
        RunStore.create(tmp_path, name, {}, iterations=1).close("finished")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / DATABASE).write_bytes(b"junk" * 1000)
    assert find_run(tmp_path, None).name == "b"
    RunStore.resume(tmp_path / "a").close("finished")
    assert find_run(tmp_path, None).name == "a"
    assert find_run(tmp_path, "b") == tmp_path / "b"
    with pytest.raises(RunError, match="holds no run"):
        find_run(tmp_path / "empty", None)


def test_a_damaged_trajectory_is_one_clear_error(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, "one", {}, iterations=1) as store:
        store.begin_iteration(1, 0)
        store.record_rollout(record(), fake_trajectory("t", 1, [], hostile=False))
        with RunReader(store.directory) as reader:
            rollout = reader.rollouts()[0]
            path = store.directory / str(rollout.trajectory)
            path.write_bytes(path.read_bytes()[:-20])
            with pytest.raises(RunError, match="damaged trajectory"):
                reader.trajectory(rollout)
