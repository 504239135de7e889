"""For faults.py: what must be true of a run that was killed many times, and what is not."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults_victims import Session, Traces

from tac_rl.runs.reader import RunReader

_GONE_S = 30.0
"""How long after a session's end what belonged to it may still be on its way out, on a busy machine."""
_TRY = "-try"
COMPANY_PACKAGES = ("hr-notify-lead", "sde-close-issue")
"""Those of the run's packages that need the company."""

COUNTS = "every iteration has all its rollouts, each once"
RETRIES = "what failed by our own doing, and nothing else, was tried again"
GRADES = "no infrastructure failure has a grade, a reward or a training row"
GRADED = "every other rollout has a grade"
EVENTS = "every infrastructure failure has its event"
CLOCK = "no rollout ran out of time because something was killed"
VICTIMS = "whoever worked in what was killed has an infrastructure failure"
VERSIONS = "one version an iteration, published, made from the one before"
ADAPTERS = "the kept adapters are there, and no other"
FILES = "every rollout has its trajectory, and no file is without its rollout"
LOST = "nothing lost but what was in flight: finished iterations are as they were before each kill"
STATE = "the run is finished, and nothing is in flight"
LEFT_NEXT = "after the next start nothing is left of a session that was killed"
LEFT_END = "at the end nothing is left: containers, volumes, processes, sockets, shared memory, files"


@dataclass(frozen=True)
class InFlight:
    """A rollout that goes on."""

    phase: str
    task: str
    turn: int


class RunFile:
    """The run directory, which may not be there yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def exists(self) -> bool:
        try:
            return bool(self.rows("SELECT 1 FROM run"))
        except sqlite3.Error:
            return False

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with contextlib.closing(
            sqlite3.connect(f"file:{self.directory / 'run.sqlite'}?mode=ro", uri=True, timeout=30)
        ) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]

    def recorded(self) -> int:
        """Rollouts of training that are recorded, those that were tried again not counted."""
        with contextlib.suppress(sqlite3.Error):
            query = (
                "SELECT count(*) AS n FROM rollouts WHERE split = 'train' AND rollout_id NOT LIKE '%-try%'"
            )
            return int(self.rows(query)[0]["n"])
        return 0

    def infrastructure_failures(self) -> int:
        """Of all sessions: events outlive what a resume discards."""
        return int(
            self.rows("SELECT count(*) AS n FROM events WHERE kind = 'infrastructure_failure'")[0]["n"]
        )

    def writer(self) -> int | None:
        """The process that writes or wrote last; it has discarded by then what its predecessor left unfinished."""
        with contextlib.suppress(sqlite3.Error, IndexError):
            return int(self.rows("SELECT pid FROM sessions ORDER BY session DESC LIMIT 1")[0]["pid"])
        return None

    def in_flight(self) -> dict[str, InFlight]:
        with contextlib.suppress(sqlite3.Error):
            found = self.rows("SELECT rollout_id, phase, task, turn FROM in_flight")
            return {row["rollout_id"]: InFlight(row["phase"], row["task"], row["turn"]) for row in found}
        return {}

    def finished(self) -> dict[int, list[dict[str, Any]]]:
        """What is recorded of each finished iteration."""
        found = {}
        with contextlib.suppress(sqlite3.Error):
            for row in self.rows("SELECT * FROM iterations WHERE finished IS NOT NULL"):
                query = "SELECT * FROM rollouts WHERE iteration = ? ORDER BY rollout_id"
                found[row["n"]] = [row, *self.rows(query, row["n"])]
        return found


class Audit:
    """Collects what is wrong, by the name of the check."""

    def __init__(self, run: RunFile, each: int, rollouts: int, *, retries: int) -> None:
        """`each`: rollouts an iteration; `rollouts`: of training, in all; `retries`: as in the config."""
        self._run = run
        self._each = each
        self._iterations = rollouts // each
        self._retries = retries
        self._found: dict[str, list[str]] = {}
        self._before: dict[int, list[dict[str, Any]]] = {}
        self._must_fail: dict[str, str] = {}
        """Rollouts that were in what was killed, and what that was."""

    def fail(self, check: str, complaint: str) -> None:
        self._found.setdefault(check, []).append(complaint)

    def results(self) -> dict[str, list[str]]:
        """Complaints by check, also of checks that found nothing."""
        names = (
            COUNTS,
            RETRIES,
            GRADED,
            GRADES,
            EVENTS,
            CLOCK,
            VICTIMS,
            VERSIONS,
            ADAPTERS,
            FILES,
            LOST,
            STATE,
        )
        return {name: [] for name in (*names, LEFT_NEXT, LEFT_END)} | self._found

    def after_trainer_kill(self) -> None:
        """Remember what was committed; it must never change. Call before the next session starts."""
        self._compare()
        self._before |= self._run.finished()
        self._must_fail.clear()  # Their rollouts are gone with the session, and are attempted anew.

    def after_kill(
        self, kind: str, victim: str, before: Mapping[str, InFlight], after: Mapping[str, InFlight]
    ) -> None:
        """Something was killed between the two looks; who must have been hit has to fail."""
        both = {name: one for name, one in after.items() if name in before}
        if kind == "sandbox" and victim in both and both[victim].phase in ("starting", "working"):
            self._must_fail[victim] = "its container was killed"
        if kind == "office":
            for name, one in both.items():
                company = one.task in COMPANY_PACKAGES
                if company and one.phase == before[name].phase == "working":
                    self._must_fail[name] = "its company was killed"

    def look(self, in_flight: Mapping[str, InFlight]) -> None:
        """See how the rollouts ended that had to fail."""
        for name in [name for name in self._must_fail if name not in in_flight]:
            rows = self._run.rows("SELECT outcome, score FROM rollouts WHERE rollout_id = ?", name)
            if rows:
                why = self._must_fail.pop(name)
                if rows[0]["outcome"] != "infrastructure_failed":
                    self.fail(VICTIMS, f"{name}: {why}, and it is {rows[0]}")

    def expect_nothing_left(self, traces: Traces, *, but: Session | None = None) -> None:
        """Of all sessions, `but` one: what is on its way out has half a minute."""
        deadline = time.monotonic() + _GONE_S
        while (left := traces.left(but=but)) and time.monotonic() < deadline:
            time.sleep(0.5)
        for one in left:
            self.fail(LEFT_NEXT if but else LEFT_END, one)

    def whole_run(self) -> None:
        """Everything that must hold for the finished run."""
        self._compare()
        self.look({})
        run = self._run.rows("SELECT state FROM run")[0]
        if run["state"] != "finished" or self._run.in_flight():
            self.fail(STATE, f"{run}, in flight: {sorted(self._run.in_flight())}")
        rollouts = {row["rollout_id"]: row for row in self._run.rows("SELECT * FROM rollouts")}
        self._counts({name: row for name, row in rollouts.items() if row["split"] == "train"})
        self._endings(rollouts)
        self._versions(rollouts)
        self._files(rollouts)

    def _compare(self) -> None:
        now = self._run.finished()
        for n, rows in self._before.items():
            if now.get(n) != rows:
                self.fail(LOST, f"iteration {n} has changed since a kill")

    def _counts(self, rollouts: Mapping[str, Mapping[str, Any]]) -> None:
        for n in range(1, self._iterations + 1):
            first = [name for name, row in rollouts.items() if row["iteration"] == n and _TRY not in name]
            if len(first) != self._each:
                self.fail(COUNTS, f"iteration {n} has {len(first)} rollouts instead of {self._each}")
        beyond = {row["iteration"] for row in rollouts.values()} - set(range(1, self._iterations + 1))
        if beyond:
            self.fail(COUNTS, f"rollouts of iterations that were not planned: {sorted(beyond)}")

    def _endings(self, rollouts: Mapping[str, Mapping[str, Any]]) -> None:
        told = {json.loads(row["data"]).get("rollout") for row in self._events("infrastructure_failure")}
        for name, row in rollouts.items():
            failed = row["outcome"] == "infrastructure_failed"
            base, _, number = name.partition(_TRY)
            attempt = int(number or 1)
            again = f"{base}{_TRY}{attempt + 1}" in rollouts
            if again != (failed and attempt <= self._retries):
                self.fail(
                    RETRIES, f"{name} is {row['outcome']}, and was {'' if again else 'not '}tried again"
                )
            if attempt > 1 and (base if attempt == 2 else f"{base}{_TRY}{attempt - 1}") not in rollouts:
                self.fail(RETRIES, f"{name} has no attempt before it")
            if failed:
                graded = [row[key] for key in ("score", "partial", "reward") if row[key] is not None]
                if graded or row["complete"] or row["tokens"] or row["checkpoints"] != "[]":
                    self.fail(GRADES, f"{name}: {dict(row)}")
                if name not in told:
                    self.fail(EVENTS, name)
            elif row["score"] is None or row["checkpoints"] == "[]":
                self.fail(GRADED, f"{name} is {row['outcome']}")
            if row["outcome"] == "timed_out":
                self.fail(CLOCK, name)

    def _versions(self, rollouts: Mapping[str, Mapping[str, Any]]) -> None:
        for n in range(1, self._iterations + 1):
            rows = self._run.rows("SELECT * FROM iterations WHERE n = ? AND finished IS NOT NULL", n)
            if len(rows) != 1 or (rows[0]["version"], rows[0]["new_version"]) != (n - 1, n):
                self.fail(VERSIONS, f"iteration {n}: {rows}")
        versions = self._run.rows("SELECT * FROM versions ORDER BY version")
        if [row["version"] for row in versions] != list(range(1, self._iterations + 1)):
            self.fail(VERSIONS, f"versions {[row['version'] for row in versions]}")
        self._all(VERSIONS, versions, lambda row: row["published"] is not None, "was not published")
        trained = [row for row in rollouts.values() if row["split"] == "train"]
        self._all(
            VERSIONS, trained, lambda row: row["version"] == row["iteration"] - 1, "has another version"
        )
        folders = {path.name for path in (self._run.directory / "adapters").iterdir()}
        with RunReader(self._run.directory) as reader:
            keep = int(reader.config()["keep_adapters"])
            newest = {row["path"].rpartition("/")[2] for row in versions[-keep:]}
        known = {row["path"].rpartition("/")[2] for row in versions}
        whole = {
            name
            for name in folders
            if (self._run.directory / "adapters" / name / "adapter_config.json").is_file()
        }
        # Besides the newest: the first, and the best at an evaluation.
        if not newest <= whole or not folders <= known or len(folders - newest) > 2:
            self.fail(
                ADAPTERS, f"there: {sorted(folders)}; whole: {sorted(whole)}; the newest: {sorted(newest)}"
            )

    def _files(self, rollouts: Mapping[str, Mapping[str, Any]]) -> None:
        recorded = {row["trajectory"] for row in rollouts.values()}
        there = {
            str(path.relative_to(self._run.directory))
            for path in (self._run.directory / "trajectories").glob("*/*")
        }
        for name in sorted(recorded ^ there, key=str):
            self.fail(FILES, f"{name} is {'missing' if name in recorded else 'without a rollout'}")

    def _events(self, kind: str) -> Iterator[Mapping[str, Any]]:
        yield from self._run.rows("SELECT * FROM events WHERE kind = ?", kind)

    def _all(self, check: str, rows: Sequence[Mapping[str, Any]], holds: Any, otherwise: str) -> None:
        for row in rows:
            if not holds(row):
                self.fail(check, f"{row.get('rollout_id', row.get('version'))} {otherwise}")
