"""The tables of `run.sqlite` and how to connect to it. Readers need no lock: the journal is WAL."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tac_rl.errors import RunError

SCHEMA_VERSION = 1
DATABASE = "run.sqlite"

TABLES = """
CREATE TABLE run (
  name TEXT NOT NULL, created REAL NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL DEFAULT '',
  iterations INTEGER NOT NULL, stage TEXT NOT NULL, stage_since REAL NOT NULL, progress REAL NOT NULL);
CREATE TABLE sessions (
  session INTEGER PRIMARY KEY, pid INTEGER NOT NULL, started REAL NOT NULL, heartbeat REAL NOT NULL,
  ended REAL);
CREATE TABLE iterations (
  n INTEGER PRIMARY KEY, version INTEGER NOT NULL, new_version INTEGER, started REAL NOT NULL, finished REAL,
  metrics TEXT NOT NULL DEFAULT '{}', weights TEXT NOT NULL DEFAULT '{}', state TEXT);
CREATE TABLE timing (
  iteration INTEGER NOT NULL, phase TEXT NOT NULL, seconds REAL NOT NULL);
CREATE INDEX timing_by_iteration ON timing (iteration);
CREATE TABLE in_flight (
  rollout_id TEXT PRIMARY KEY, iteration INTEGER, evaluation INTEGER, group_id TEXT NOT NULL,
  task TEXT NOT NULL, seed INTEGER NOT NULL, phase TEXT NOT NULL, turn INTEGER NOT NULL, since REAL NOT NULL);
CREATE TABLE rollouts (
  rollout_id TEXT PRIMARY KEY, iteration INTEGER, evaluation INTEGER, group_id TEXT NOT NULL,
  task TEXT NOT NULL, seed INTEGER NOT NULL, split TEXT NOT NULL, outcome TEXT NOT NULL,
  version INTEGER NOT NULL, turns INTEGER NOT NULL, tokens INTEGER NOT NULL, score REAL, partial REAL,
  complete INTEGER NOT NULL, reward REAL, checkpoints TEXT NOT NULL, seconds REAL NOT NULL,
  error TEXT NOT NULL, trajectory TEXT, ended REAL NOT NULL,
  CHECK ((iteration IS NULL) <> (evaluation IS NULL)));
CREATE INDEX rollouts_by_iteration ON rollouts (iteration);
CREATE INDEX rollouts_by_evaluation ON rollouts (evaluation);
CREATE TABLE versions (
  version INTEGER PRIMARY KEY, iteration INTEGER, path TEXT NOT NULL, created REAL NOT NULL, published REAL,
  metrics TEXT NOT NULL);
CREATE TABLE publishes (
  iteration INTEGER, version INTEGER NOT NULL, time REAL NOT NULL, seconds REAL NOT NULL, shift REAL NOT NULL,
  error REAL);
CREATE TABLE evaluations (
  evaluation INTEGER PRIMARY KEY AUTOINCREMENT, iteration INTEGER NOT NULL, version INTEGER NOT NULL,
  split TEXT NOT NULL, started REAL NOT NULL, finished REAL, results TEXT NOT NULL DEFAULT '{}');
CREATE TABLE events (
  time REAL NOT NULL, iteration INTEGER, kind TEXT NOT NULL, message TEXT NOT NULL, data TEXT NOT NULL);
"""


def _translate(error: sqlite3.Error | OSError, path: Path) -> RunError:
    """A database or file failure as one clear `RunError` with its fix."""
    text = str(error)
    if "disk is full" in text or "No space left" in text or "quota" in text.lower():
        return RunError(f"{path}: the disk is full ({text}); free space, then go on with --resume")
    if "malformed" in text or "not a database" in text:
        return RunError(f"{path}: damaged ({text}); restore it from a copy or start a new run")
    if "readonly" in text or "Permission denied" in text or "Read-only" in text:
        return RunError(f"{path}: not writable ({text}); check who owns the run directory")
    if "locked" in text:
        return RunError(
            f"{path}: another process holds a write lock ({text}); stop it, then go on with --resume"
        )
    return RunError(f"{path}: {text}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn sqlite and operating-system errors inside the block into `RunError`s about `path`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _translate(error, path) from error


def connect_writer(directory: Path, *, create: bool = False) -> sqlite3.Connection:
    """The one writing connection: autocommit, explicit transactions, WAL.

    `synchronous=NORMAL` keeps every committed transaction across a SIGKILL of the process; a power
    failure may cost the newest transactions but never the database.
    """
    path = directory / DATABASE
    with translated(path):
        db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        if create:
            db.executescript(f"BEGIN;{TABLES}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        return db


def connect_reader(directory: Path) -> sqlite3.Connection:
    """A read-only connection; works while the run is being written and on read-only media."""
    path = check_run_directory(directory)
    with translated(path):
        uri = f"{path.resolve().as_uri()}?mode=ro"
        if not os.access(directory, os.W_OK) and not path.with_name(f"{DATABASE}-wal").exists():
            uri += "&immutable=1"  # WAL wants to make a -shm file, which a read-only folder forbids
        db = sqlite3.connect(uri, uri=True, timeout=10.0, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
    check_schema(db, path)
    return db


def check_run_directory(directory: Path) -> Path:
    """The database's path, or `RunError` where `directory` is not a run directory."""
    path = directory / DATABASE
    if not directory.is_dir():
        raise RunError(f"{directory}: no such run directory; list the runs with `ls {directory.parent}`")
    if not path.is_file():
        raise RunError(
            f"{directory}: not a run directory (it has no {DATABASE}); "
            "give the path of one that train.py made"
        )
    return path


def check_schema(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a database of another schema version, or one that is not ours."""
    with translated(path):
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == SCHEMA_VERSION:
            return
    if version > SCHEMA_VERSION:
        raise RunError(
            f"{path}: written by a newer TAC-RL "
            f"(schema {version}, this one reads {SCHEMA_VERSION}); update TAC-RL"
        )
    raise RunError(f"{path}: schema {version} is not that of this TAC-RL ({SCHEMA_VERSION}); start a new run")
