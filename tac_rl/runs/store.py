"""Writing a run directory: one process at a time, short transactions, nothing that a SIGKILL can tear.

    runs/NAME/
      config.yaml                 the resolved config
      run.sqlite                  iterations, rollouts, versions, evaluations, events (WAL)
      adapters/v0001/             PEFT adapters with optimiser state, one folder a version
      trajectories/it0001/ID.json.gz    what happened in each rollout; evaluations in ev0001/
      judgements/it0001.jsonl     what a judge said, a line for each group; only where there is one
      rows/it0001.npz             the tokens that the learner was given (tac_rl.learning.recorded)
      logs/  report.html  lock

An iteration counts once `finish_iteration` has committed: metrics, timing, the new version and the state that
resume needs go into one transaction. `resume` discards everything that came after the last such commit
(`tac_rl.runs.rewind`). Reading is `tac_rl.runs.reader`.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import yaml

from tac_rl.errors import RunError
from tac_rl.runs import lock, trajectories
from tac_rl.runs.names import check_name, unused_name
from tac_rl.runs.records import JudgementDocument, ResumePoint, RolloutRecord, TrajectoryDocument
from tac_rl.runs.rewind import rewind
from tac_rl.runs.schema import DATABASE, check_run_directory, check_schema, connect_writer, translated


class RunStore:
    """The writing end of a run directory. Every method raises `RunError` when the disk or the database fails.

    Threads of the one process may share it. Use it as a context manager, or call `close`.
    """

    def __init__(self, directory: Path, db: sqlite3.Connection, resume_point: ResumePoint) -> None:
        """Use `create` or `resume`."""
        self.directory = directory
        self.name = directory.name
        self.resume_point = resume_point
        """Where to go on; iteration 0 and version 0 for a new run."""
        self._db = db
        self._mutex = threading.RLock()
        self._closed = False
        with self._write() as cursor:
            now = time.time()
            cursor.execute("UPDATE sessions SET ended = heartbeat WHERE ended IS NULL")
            cursor.execute(
                "INSERT INTO sessions (pid, started, heartbeat) VALUES (?, ?, ?)", (os.getpid(), now, now)
            )
            self._session = cursor.lastrowid
            cursor.execute(
                "UPDATE run SET state='running', message='', stage='startup', stage_since=?", (now,)
            )

    # Beginning and end

    @classmethod
    def create(
        cls,
        runs_dir: Path,
        name: str | None,
        config: Mapping[str, Any],
        *,
        iterations: int,
        stem: str = "run",
    ) -> "RunStore":
        """A new run directory for `iterations` planned iterations; without a name one is made from `stem`."""
        name = unused_name(runs_dir, stem) if name is None else check_name(name)
        directory = runs_dir / name
        with translated(directory):
            runs_dir.mkdir(parents=True, exist_ok=True)
            try:
                directory.mkdir()
            except FileExistsError:
                raise RunError(
                    f"{directory}: exists already; go on with it by --resume {name}, or choose another name"
                ) from None
            lock.take(directory)
            for folder in ("adapters", "trajectories", "logs"):
                (directory / folder).mkdir()
            (directory / "config.yaml").write_text(
                yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            )
            db = connect_writer(directory, create=True)
            now = time.time()
            db.execute(
                "INSERT INTO run (name, created, state, iterations, stage, stage_since, progress) "
                "VALUES (?, ?, 'running', ?, 'startup', ?, ?)",
                (name, now, iterations, now, now),
            )
        return cls(directory, db, ResumePoint(0, 0, None, {}, frozenset()))

    @classmethod
    def resume(cls, directory: Path, *, iterations: int | None = None) -> "RunStore":
        """Go on with a run: take over a dead lock, discard what came after the last finished iteration.

        `iterations` changes how many are planned. Raises `RunError` where `directory` is not a run directory,
        is of another schema version, or is in use by a living process.
        """
        path = check_run_directory(directory)
        lock.take(directory)
        try:
            db = connect_writer(directory)
            check_schema(db, path)
            with translated(path):
                if iterations is not None:
                    db.execute("UPDATE run SET iterations = ?", (iterations,))
                point = rewind(directory, db)
            store = cls(directory, db, point)
        except RunError:
            lock.release(directory)
            raise
        store.event("resume", f"resumed after iteration {point.iteration} with version {point.version}")
        return store

    def close(self, state: Literal["finished", "failed", "stopped"], message: str = "") -> None:
        """End this session. `message` says why it failed or stopped. Safe to call twice."""
        if self._closed:
            return
        try:
            with self._write() as cursor:
                now = time.time()
                cursor.execute(
                    "UPDATE run SET state=?, message=?, stage='', stage_since=?",
                    (state, _storable(message), now),
                )
                cursor.execute(
                    "UPDATE sessions SET heartbeat=?, ended=? WHERE session=?", (now, now, self._session)
                )
                cursor.execute("DELETE FROM in_flight")
        finally:
            with self._mutex:
                self._closed = True
                self._db.close()
            lock.release(self.directory)

    def __enter__(self) -> "RunStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close("finished")
        elif isinstance(error, Exception):
            self.close("failed", f"{type(error).__name__}: {error}")
        else:  # KeyboardInterrupt, CancelledError, SystemExit: somebody wanted it
            self.close("stopped", type(error).__name__)

    # Paths

    def adapter_path(self, version: int) -> Path:
        """Where adapter `version` belongs; the learner makes the folder."""
        return self.directory / "adapters" / f"v{version:04d}"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    # Signs of life

    def heartbeat(self) -> None:
        """Say that the loop's process is alive; call it every few seconds, whatever the loop waits for."""
        with self._write(progress=False):
            pass

    def enter(self, stage: str) -> None:
        """Say what the loop is doing now: startup, rollouts, learner, publish, evaluation, ..."""
        with self._write() as cursor:
            cursor.execute("UPDATE run SET stage=?, stage_since=?", (stage, time.time()))

    def event(self, kind: str, message: str, **data: Any) -> None:
        """Note something worth a line in the monitor (kinds: docs/runs.md). Events outlive a resume."""
        with self._write() as cursor:
            cursor.execute(
                "INSERT INTO events (time, iteration, kind, message, data) VALUES (?, "
                "(SELECT max(n) FROM iterations), ?, ?, ?)",
                (time.time(), kind, _storable(message), _json(data)),
            )

    # Iterations

    def begin_iteration(self, n: int, version: int, *, weights: Mapping[str, float] | None = None) -> None:
        """Iteration `n` (from 1) starts with policy `version`; `weights` are the curriculum's, by task."""
        with self._write() as cursor:
            cursor.execute(
                "INSERT INTO iterations (n, version, started, weights) VALUES (?, ?, ?, ?)",
                (n, version, time.time(), _json(weights or {})),
            )

    def finish_iteration(
        self,
        n: int,
        *,
        metrics: Mapping[str, float],
        timing: Mapping[str, float],
        new_version: int,
        state: Mapping[str, Any],
    ) -> None:
        """Commit iteration `n`: from here a resume goes on after it.

        `timing`: seconds by phase; `state`: JSON values that the next iteration starts from (curriculum,
        random streams), given back by `resume_point.state`. `new_version` needs an earlier `record_version`
        unless it is the version the iteration began with.
        """
        with self._write() as cursor:
            cursor.execute(
                "UPDATE iterations SET finished=?, metrics=?, new_version=?, state=? "
                "WHERE n=? AND finished IS NULL",
                (time.time(), _json(metrics), new_version, _json(state), n),
            )
            if cursor.rowcount != 1:
                raise RunError(
                    f"iteration {n} of run {self.name} is not open: begin_iteration comes first, and once"
                )
            _add_timing(cursor, n, timing)

    def record_timing(self, iteration: int, timing: Mapping[str, float]) -> None:
        """More seconds by phase, such as start-up (iteration 0)."""
        with self._write() as cursor:
            _add_timing(cursor, iteration, timing)

    # Rollouts

    def begin_rollout(
        self,
        rollout_id: str,
        *,
        group_id: str,
        task: str,
        seed: int,
        iteration: int | None = None,
        evaluation: int | None = None,
        phase: str = "queued",
    ) -> None:
        """A rollout is now in flight. Exactly one of `iteration` and `evaluation` is given."""
        trajectories.file_name(rollout_id)
        with self._write() as cursor:
            cursor.execute(
                "INSERT INTO in_flight VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
                (rollout_id, iteration, evaluation, group_id, task, seed, phase, time.time()),
            )

    def rollout_phase(self, rollout_id: str, phase: str, *, turn: int = 0) -> None:
        """What the rollout does now: queued, starting, working, grading, ..."""
        with self._write() as cursor:
            cursor.execute(
                "UPDATE in_flight SET since = CASE WHEN phase = ?1 THEN since ELSE ?2 END, phase = ?1, "
                "turn = max(turn, ?3) WHERE rollout_id = ?4",
                (phase, time.time(), turn, rollout_id),
            )

    def drop_rollout(self, rollout_id: str) -> None:
        """The rollout was cancelled and leaves no record."""
        with self._write() as cursor:
            cursor.execute("DELETE FROM in_flight WHERE rollout_id = ?", (rollout_id,))

    def record_rollout(self, record: RolloutRecord, trajectory: TrajectoryDocument | None = None) -> None:
        """The rollout ended: its row, and its trajectory in a file that readers only see whole."""
        relative = None
        if trajectory is not None:
            folder = (
                f"it{record.iteration:04d}" if record.iteration is not None else f"ev{record.evaluation:04d}"
            )
            relative = f"trajectories/{folder}/{trajectories.file_name(record.rollout_id)}"
            document = trajectory.copy()
            document["rollout"] = {k: v for k, v in vars(record).items() if k != "checkpoints"}
            trajectories.save(self.directory / relative, document)
        row = vars(record) | {
            "checkpoints": _json([list(pair) for pair in record.checkpoints]),
            "complete": int(record.complete),
            "error": _storable(record.error),
            "trajectory": relative,
            "ended": time.time(),
        }
        columns = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        with self._write() as cursor:
            cursor.execute(f"INSERT INTO rollouts ({columns}) VALUES ({values})", row)
            cursor.execute("DELETE FROM in_flight WHERE rollout_id = ?", (record.rollout_id,))

    def record_rewards(self, rewards: Mapping[str, float]) -> None:
        """The rewards that the learner sees, by rollout id, where they are not those of `record_rollout`."""
        with self._write() as cursor:
            cursor.executemany(
                "UPDATE rollouts SET reward = ? WHERE rollout_id = ?",
                [(reward, rollout_id) for rollout_id, reward in rewards.items()],
            )

    def record_judgements(self, iteration: int, judgements: Sequence[JudgementDocument]) -> None:
        """What a judge said in this iteration, in place of what an interrupted one of the same number left."""
        trajectories.save_judgements(self.directory, iteration, judgements)

    # Versions and evaluations

    def record_version(self, version: int, path: Path, metrics: Mapping[str, float]) -> None:
        """The learner wrote adapter `version` to `path`, a folder of this run directory."""
        try:
            relative = path.resolve().relative_to(self.directory.resolve())
        except ValueError:
            raise RunError(
                f"{path}: adapters of run {self.name} belong in {self.directory / 'adapters'}"
            ) from None
        with self._write() as cursor:
            cursor.execute(
                "INSERT INTO versions (version, iteration, path, created, metrics) VALUES (?, "
                "(SELECT max(n) FROM iterations), ?, ?, ?)",
                (version, str(relative), time.time(), _json(metrics)),
            )

    def record_publish(self, version: int, *, seconds: float, shift: float, error: float | None) -> None:
        """The engine proved that it serves `version` (a `PublishReport`'s fields)."""
        with self._write() as cursor:
            now = time.time()
            cursor.execute("UPDATE versions SET published=? WHERE version=?", (now, version))
            cursor.execute(
                "INSERT INTO publishes VALUES ((SELECT max(n) FROM iterations), ?, ?, ?, ?, ?)",
                (version, now, seconds, shift, error),
            )

    def begin_evaluation(self, iteration: int, version: int, split: str) -> int:
        """An evaluation after `iteration` (0: before the first) starts; gives its id for `RolloutRecord`."""
        with self._write() as cursor:
            cursor.execute(
                "INSERT INTO evaluations (iteration, version, split, started) VALUES (?, ?, ?, ?)",
                (iteration, version, split, time.time()),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def finish_evaluation(self, evaluation: int, results: Mapping[str, Any], *, seconds: float) -> None:
        """Record what it found (`Evaluation.results`); `seconds` goes into the timing as `evaluation`."""
        with self._write() as cursor:
            cursor.execute(
                "UPDATE evaluations SET finished=?, results=? WHERE evaluation=? AND finished IS NULL",
                (time.time(), _json(results), evaluation),
            )
            if cursor.rowcount != 1:
                raise RunError(f"evaluation {evaluation} of run {self.name} is not open")
            cursor.execute(
                "INSERT INTO timing SELECT iteration, 'evaluation', ? FROM evaluations WHERE evaluation=?",
                (seconds, evaluation),
            )

    # Inside

    @contextmanager
    def _write(self, *, progress: bool = True) -> Iterator[sqlite3.Cursor]:
        """One transaction, with the signs of life in it."""
        with self._mutex, translated(self.directory / DATABASE):
            if self._closed:
                raise RunError(f"run {self.name} is closed")
            cursor = self._db.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                now = time.time()
                cursor.execute("UPDATE sessions SET heartbeat=? WHERE session=?", (now, self._session))
                if progress:
                    cursor.execute("UPDATE run SET progress=?", (now,))
                cursor.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk rolls back by itself
                    cursor.execute("ROLLBACK")
                raise


def _json(value: object) -> str:
    """JSON with tuples as lists; `RunError` for what JSON can't hold."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise RunError(f"the run directory stores JSON values only: {error}") from error


def _storable(text: str) -> str:
    """`text` without lone surrogates, which model output can hold and UTF-8 (so SQLite) can't."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _add_timing(cursor: sqlite3.Cursor, iteration: int, timing: Mapping[str, float]) -> None:
    cursor.executemany("INSERT INTO timing VALUES (?, ?, ?)", [(iteration, p, s) for p, s in timing.items()])
