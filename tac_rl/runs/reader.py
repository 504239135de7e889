"""Reading a run directory, from any process, also while it is written. Knows nothing of what wrote it."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tac_rl.errors import RunError
from tac_rl.runs import lock, trajectories
from tac_rl.runs.names import check_name
from tac_rl.runs.records import (
    INFRASTRUCTURE_FAILED,
    Evaluation,
    Event,
    InFlight,
    Iteration,
    IterationMeans,
    JudgementDocument,
    RunStatus,
    StoredRollout,
    TrajectoryDocument,
    Version,
)
from tac_rl.runs.schema import DATABASE, check_run_directory, connect_reader, translated

_OURS = f"outcome = '{INFRASTRUCTURE_FAILED}'"
_MEANS = f"""
  count(*) AS attempts, sum({_OURS}) AS failures, avg(reward) AS reward,
  avg(CASE WHEN NOT {_OURS} THEN score END) AS score,
  avg(CASE WHEN NOT {_OURS} THEN partial END) AS partial,
  avg(CASE WHEN NOT {_OURS} THEN complete END) AS full_completion, sum(tokens) AS tokens
"""


def find_run(runs_dir: Path, name: str | None) -> Path:
    """The run directory called `name`, or the one that was started or resumed last; `RunError` for anything else."""
    if name is not None:
        # A path is welcome too: shells complete it.
        directory = Path(name) if "/" in name else runs_dir / check_name(name)
        check_run_directory(directory)
        return directory
    newest: tuple[float, Path] | None = None
    for database in sorted(runs_dir.glob(f"*/{DATABASE}")):
        try:
            with RunReader(database.parent) as reader:
                started = reader.last_start()
        except RunError:
            continue  # one damaged or foreign folder must not hide the others
        if newest is None or started > newest[0]:
            newest = (started, database.parent)
    if newest is None:
        raise RunError(f"{runs_dir}: holds no run; start one with train.py, or give --runs-dir")
    return newest[1]


class RunReader:
    """Read-only access to a run. Every method raises `RunError` where the directory is unusable."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._db = connect_reader(directory)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> "RunReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def consistent(self) -> Iterator[None]:
        """Everything read inside the block is of one moment."""
        self._all("BEGIN")
        try:
            yield
        finally:
            self._db.rollback()

    def config(self) -> dict[str, Any]:
        """The resolved config of the run."""
        path = self.directory / "config.yaml"
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise RunError(f"{path}: can't be read ({error})") from error
        return config if isinstance(config, dict) else {}

    def last_start(self) -> float:
        """Unix time of the last start or resume."""
        return float(self._one("SELECT coalesce(max(started), 0) AS t FROM sessions")["t"])

    def status(self) -> RunStatus:
        run = self._one("SELECT * FROM run")
        sessions = self._one(
            "SELECT count(*) AS n, max(heartbeat) AS heartbeat, "
            "sum(coalesce(ended, heartbeat) - started) AS seconds FROM sessions"
        )
        holder = lock.read_holder(self.directory)
        return RunStatus(
            name=run["name"],
            state=run["state"],
            created=run["created"],
            iterations=run["iterations"],
            stage=run["stage"],
            stage_since=run["stage_since"],
            heartbeat=sessions["heartbeat"],
            progress=run["progress"],
            seconds=sessions["seconds"],
            sessions=sessions["n"],
            alive=lock.holder_lives(holder) if holder else None,
            message=run["message"],
        )

    def iterations(self) -> list[Iteration]:
        """All iterations in order; the last one may be going on."""
        timing: dict[int, dict[str, float]] = defaultdict(dict)
        for row in self._all(
            "SELECT iteration, phase, sum(seconds) AS s FROM timing GROUP BY iteration, phase"
        ):
            timing[row["iteration"]][row["phase"]] = row["s"]
        return [
            Iteration(
                n=row["n"],
                version=row["version"],
                new_version=row["new_version"],
                started=row["started"],
                finished=row["finished"],
                metrics=json.loads(row["metrics"]),
                timing=timing.get(row["n"], {}),
                weights=json.loads(row["weights"]),
            )
            for row in self._all("SELECT * FROM iterations ORDER BY n")
        ]

    def state(self, iteration: int) -> Mapping[str, Any]:
        """The state that a resume after `iteration` starts from."""
        rows = self._all("SELECT state FROM iterations WHERE n=? AND state IS NOT NULL", iteration)
        if not rows:
            raise RunError(f"{self.directory}: iteration {iteration} has not finished")
        state: Mapping[str, Any] = json.loads(rows[0]["state"])
        return state

    def timing(self) -> dict[str, float]:
        """Seconds by phase over the whole run, largest first."""
        rows = self._all("SELECT phase, sum(seconds) AS s FROM timing GROUP BY phase ORDER BY s DESC")
        return {row["phase"]: row["s"] for row in rows}

    def iteration_means(self) -> dict[int, IterationMeans]:
        """Averages over each iteration's rollouts."""
        return self._means("iteration")

    def evaluation_means(self) -> dict[int, IterationMeans]:
        """Averages over each evaluation's rollouts, by evaluation id."""
        return self._means("evaluation")

    def infrastructure_failures(self) -> int:
        sql = "SELECT count(*) AS n FROM rollouts WHERE outcome=?"
        return int(self._one(sql, INFRASTRUCTURE_FAILED)["n"])

    def in_flight(self) -> list[InFlight]:
        return [InFlight(**dict(row)) for row in self._all("SELECT * FROM in_flight ORDER BY since")]

    def rollouts(self, *, iteration: int | None = None, evaluation: int | None = None) -> list[StoredRollout]:
        """The rollouts of one iteration, of one evaluation, or (without either) all, in order of ending."""
        if iteration is not None:
            return self._rollouts("WHERE iteration=? ORDER BY ended", iteration)
        if evaluation is not None:
            return self._rollouts("WHERE evaluation=? ORDER BY ended", evaluation)
        return self._rollouts("ORDER BY ended")

    def latest_by_task(self, count: int) -> dict[str, list[StoredRollout]]:
        """The last `count` training rollouts of each task, oldest first, tasks in alphabetical order."""
        rows = self._rollouts(
            "WHERE rollout_id IN (SELECT rollout_id FROM (SELECT rollout_id, row_number() OVER "
            "(PARTITION BY task ORDER BY ended DESC) AS age FROM rollouts WHERE iteration IS NOT NULL) "
            "WHERE age <= ?) ORDER BY task, ended",
            count,
        )
        by_task: dict[str, list[StoredRollout]] = defaultdict(list)
        for rollout in rows:
            by_task[rollout.task].append(rollout)
        return dict(by_task)

    def trajectory(self, rollout: StoredRollout) -> TrajectoryDocument | None:
        """What happened in `rollout`; None where none was saved."""
        if rollout.trajectory is None:
            return None
        return trajectories.load(self.directory / rollout.trajectory)

    def judgements(self, iteration: int) -> list[JudgementDocument]:
        """What a judge said of the groups of an iteration; empty where none was asked."""
        return trajectories.load_judgements(self.directory, iteration)

    def versions(self) -> list[Version]:
        """The adapters that the learner wrote."""
        return [
            Version(
                version=row["version"],
                path=self.directory / row["path"],
                created=row["created"],
                published=row["published"],
                metrics=json.loads(row["metrics"]),
            )
            for row in self._all("SELECT * FROM versions ORDER BY version")
        ]

    def served_version(self) -> int:
        """The policy version that the engine proved last; 0 (the base model) where none was published."""
        rows = self._all("SELECT version FROM publishes ORDER BY time DESC, version DESC LIMIT 1")
        return int(rows[0]["version"]) if rows else 0

    def evaluations(self, split: str | None = None) -> list[Evaluation]:
        """Evaluations in order, also the one going on (`finished` is None)."""
        return [
            Evaluation(**(dict(row) | {"results": json.loads(row["results"])}))
            for row in self._all(
                "SELECT * FROM evaluations WHERE ?1 IS NULL OR split=?1 ORDER BY evaluation", split
            )
        ]

    def events(self, count: int = 1000) -> list[Event]:
        """The last `count` events, oldest first."""
        rows = self._all("SELECT * FROM events ORDER BY time DESC, rowid DESC LIMIT ?", count)
        return [Event(**(dict(row) | {"data": json.loads(row["data"])})) for row in reversed(rows)]

    # Inside

    def _means(self, column: str) -> dict[int, IterationMeans]:
        rows = self._all(
            f"SELECT {column} AS n, {_MEANS} FROM rollouts WHERE {column} IS NOT NULL GROUP BY {column}"
        )
        return {row["n"]: IterationMeans(**{k: row[k] for k in row.keys() if k != "n"}) for row in rows}  # noqa: SIM118

    def _rollouts(self, clause: str, *values: object) -> list[StoredRollout]:
        return [
            StoredRollout(
                **(
                    dict(row)
                    | {
                        "checkpoints": tuple(
                            (total, result) for total, result in json.loads(row["checkpoints"])
                        ),
                        "complete": bool(row["complete"]),
                    }
                )
            )
            for row in self._all(f"SELECT * FROM rollouts {clause}", *values)
        ]

    def _all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with translated(self.directory / DATABASE):
            return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: object) -> sqlite3.Row:
        rows = self._all(sql, *values)
        if not rows:
            raise RunError(f"{self.directory}: not a complete run directory; start a new run")
        return rows[0]
