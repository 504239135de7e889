"""Where a killed run goes on: after its last finished iteration, with everything later discarded."""

import json
import shutil
import sqlite3
from pathlib import Path

from tac_rl.errors import RunError
from tac_rl.runs.records import ResumePoint


def rewind(directory: Path, db: sqlite3.Connection) -> ResumePoint:
    """Discard everything after the last finished iteration, rows first and then files, and say where that is.

    A SIGKILL in between leaves files without rows, which the next resume removes.
    """
    row = db.execute(
        "SELECT n, new_version, state FROM iterations WHERE finished IS NOT NULL ORDER BY n DESC LIMIT 1"
    ).fetchone()
    n, version, state = (row["n"], row["new_version"], json.loads(row["state"])) if row else (0, 0, {})
    adapter = None
    if version:
        stored = db.execute("SELECT path FROM versions WHERE version=?", (version,)).fetchone()
        adapter = directory / stored["path"] if stored else None
        if adapter is None or not adapter.is_dir():
            raise RunError(
                f"{adapter or directory}: the adapter of version {version} is missing; "
                "put it back from a copy, or start a new run"
            )
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM in_flight")
    db.execute("DELETE FROM iterations WHERE n > ?", (n,))
    db.execute("DELETE FROM timing WHERE iteration > ?", (n,))
    db.execute("DELETE FROM versions WHERE version > ?", (version,))
    db.execute("DELETE FROM publishes WHERE version > ?", (version,))
    db.execute("DELETE FROM evaluations WHERE finished IS NULL OR iteration > ?", (n,))
    db.execute("DELETE FROM rollouts WHERE iteration > ?", (n,))
    db.execute(
        "DELETE FROM rollouts WHERE evaluation IS NOT NULL "
        "AND evaluation NOT IN (SELECT evaluation FROM evaluations)"
    )
    db.execute("COMMIT")
    kept_versions = {directory / row["path"] for row in db.execute("SELECT path FROM versions")}
    for folder in (directory / "adapters").glob("*"):
        if folder not in kept_versions:
            shutil.rmtree(folder, ignore_errors=True)
    kept_files = {
        r["trajectory"] for r in db.execute("SELECT trajectory FROM rollouts WHERE trajectory IS NOT NULL")
    }
    for file in (directory / "trajectories").glob("*/*"):
        if str(file.relative_to(directory)) not in kept_files:
            file.unlink()
    for file in (directory / "rows").glob("it*"):
        if not file.stem[2:].isdigit() or int(file.stem[2:]) > n:
            file.unlink()
    evaluated = frozenset(
        (r["iteration"], r["split"]) for r in db.execute("SELECT iteration, split FROM evaluations")
    )
    return ResumePoint(n, version, adapter, state, evaluated)
