"""A tenant: one attempt's private copy of the office's state, open in this process.

    <folder>/office.db      everything that is a record
    <folder>/<folders>/     what services keep as files, such as the forge's repositories and the drive

Only the event loop's thread uses the database. Files may be hard links into a snapshot that other
tenants share: they are replaced (write a new file, rename), never written in place.
"""

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tac_rl.office.base import MessagePosted, Person, ServiceName
from tac_rl.office.overlay import ColleagueOverlay

DATABASE = "office.db"
_log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE people (
    username TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
    team TEXT NOT NULL, bio TEXT NOT NULL, admin INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE colleagues (username TEXT PRIMARY KEY, scenario TEXT NOT NULL) WITHOUT ROWID;
"""
"""What belongs to no service. The services' own tables follow (`Service.schema`)."""

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
"""Of Meteor's ids, which Rocket.Chat uses."""


class Tenant:
    """State, clock and identifiers of one office."""

    def __init__(
        self, name: str, folder: Path, *, seed: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the state in `folder`; `seed` determines every identifier that will be made."""
        self.name = name
        self.folder = folder
        self.db = sqlite3.connect(folder / DATABASE, isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        # A tenant is thrown away: nothing here has to survive a crash of the machine. Nobody else writes to it: locked
        # once, a query costs a sixth of what it costs with a lock of its own (some twenty calls of the system).
        self.db.executescript(
            "PRAGMA locking_mode=EXCLUSIVE;"
            "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON;"
            "PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY;"
        )
        # A clone must not draw the identifiers that its snapshot has: each opening of a state has its own stream.
        opening = self.value("PRAGMA user_version") + 1
        self.db.execute(f"PRAGMA user_version={opening}")
        self.random = random.Random(f"tenant {seed} {opening}")
        self._clock = clock
        self._last = 0.0
        self._subscribers: list[Callable[[MessagePosted], None]] = []
        self.reset: Callable[[frozenset[ServiceName]], None] | None = None
        """Puts these services' tables and folders back to what they were when the attempt began; set by whoever
        made the tenant and kept that state, else None: this tenant can't be reset."""

    def close(self) -> None:
        self.db.close()

    # State

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; may be nested (the outermost one counts)."""
        if self.db.in_transaction:
            yield self.db
            return
        self.db.execute("BEGIN")
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def row(self, sql: str, *arguments: Any) -> sqlite3.Row | None:
        """The first row, or None."""
        found: sqlite3.Row | None = self.db.execute(sql, arguments).fetchone()
        return found

    def rows(self, sql: str, *arguments: Any) -> list[sqlite3.Row]:
        return self.db.execute(sql, arguments).fetchall()

    def value(self, sql: str, *arguments: Any) -> Any:
        """The first column of the first row, or None."""
        found = self.db.execute(sql, arguments).fetchone()
        return None if found is None else found[0]

    # People

    def people(self) -> list[Person]:
        """Everybody, by username."""
        return [_person(row) for row in self.rows("SELECT * FROM people ORDER BY username")]

    def person(self, username: str) -> Person | None:
        row = self.row("SELECT * FROM people WHERE username = ?", username)
        return None if row is None else _person(row)

    def add_person(self, person: Person) -> None:
        """Add somebody, or replace what was known of them."""
        self.db.execute(
            "INSERT OR REPLACE INTO people VALUES (?, ?, ?, ?, ?, ?, ?)",
            (person.username, person.name, person.email, person.title, person.team, person.bio, person.admin),
        )

    def colleagues(self) -> dict[str, ColleagueOverlay]:
        """How people answer, by username. No service tells it."""
        rows = self.rows("SELECT * FROM colleagues ORDER BY username")
        return {row["username"]: ColleagueOverlay.model_validate_json(row["scenario"]) for row in rows}

    def add_colleague(self, username: str, scenario: ColleagueOverlay) -> None:
        """Say how somebody answers, in place of what was said before."""
        text = scenario.model_dump_json(exclude_defaults=True)
        self.db.execute("INSERT OR REPLACE INTO colleagues VALUES (?, ?)", (username, text))

    # Time and identifiers

    def now(self) -> datetime:
        """The present (UTC), at least a millisecond after every answer before: the clock never steps back."""
        self._last = max(self._clock(), self._last + 0.001)
        return datetime.fromtimestamp(self._last, UTC)

    def new_id(self, length: int = 17) -> str:
        """An identifier such as Rocket.Chat's."""
        return "".join(self.random.choices(_ALPHABET, k=length))

    def new_uuid(self) -> str:
        """A version 4 UUID."""
        bits = self.random.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | (4 << 76) | (2 << 62)
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    # Events

    def subscribe(self, subscriber: Callable[[MessagePosted], None]) -> None:
        """Be told of every message that is posted from now on (after it is stored; must not block)."""
        self._subscribers.append(subscriber)

    def emit(self, event: MessagePosted) -> None:
        """Tell the subscribers; one that fails is logged and doesn't disturb whoever posted."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                _log.exception("tenant %s: a subscriber failed", self.name)


def _person(row: sqlite3.Row) -> Person:
    return Person(**{**dict(row), "admin": bool(row["admin"])})
