"""The difference of two offices' records: found by SQLite, so that rows which are equal never reach Python.

Nothing here knows a service's tables, apart from what is worth leaving out and what points somewhere
without saying so in the schema.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tac_rl.office.changes.base import TEXT_MAX, Kind, Row, RowChange, Value, joined
from tac_rl.office.tenant import DATABASE

ROWS_MAX = 2000
"""Changed rows of one table that are kept."""
_CONTEXT_TEXT_MAX = 300
_SESSIONS = ("chat_tokens", "forge_tokens", "tracker_sessions", "drive_sessions")

_POINTERS = (
    ("chat_users", "username", "people", "username"),
    ("forge_members", "source_id", "forge_projects", "id"),
    ("forge_members", "source_id", "forge_namespaces", "id"),
    ("tracker_issues", "labels", "tracker_labels", "id"),
)
"""(table, column, table it points to, column there), beside foreign keys. A column may hold a JSON list."""
_GATHERED = {
    "chat_rooms": ("members", "SELECT group_concat(username, ', ') FROM {side}.chat_members WHERE room = ?")
}
"""A column that a record gets as context, and where from (by its `id`)."""

Side = Literal["before", "after"]
Context = dict[str, dict[str, Row]]


@dataclass(frozen=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    has_rowid: bool


class Records:
    """Two offices' databases side by side, read only."""

    def __init__(self, before: Path, after: Path) -> None:
        self._db = sqlite3.connect(":memory:", uri=True)
        for side, folder in (("before", before), ("after", after)):
            # The tenant's own connection holds the lock, and is this thread's: nothing changes meanwhile.
            uri = f"{(folder / DATABASE).resolve().as_uri()}?immutable=1"
            self._db.execute(f"ATTACH DATABASE ? AS {side}", (uri,))
        self._context: Context = {}

    def close(self) -> None:
        self._db.close()

    def changes(self) -> tuple[list[RowChange], dict[str, int]]:
        """Changed rows, and by table how many more there are."""
        found: list[RowChange] = []
        left_out = {}
        for table in self._tables():
            every = self._changes_of(table)
            for kept, change in enumerate(every, start=1):
                found.append(change)
                if kept == ROWS_MAX:
                    left_out[table.name] = sum(1 for _ in every)
        return found, {name: count for name, count in left_out.items() if count}

    def context_of(self, changes: Iterable[RowChange], also: Iterable[tuple[str, Value]]) -> Context:
        """The changed rows whole, whatever they point to, and the rows of `also` (table, key)."""
        tables = {table.name: table for table in self._tables()}
        waiting = [(name, "id", key) for name, key in also if name in tables]
        for change in changes:
            where = " AND ".join(f"{_quoted(column)} = ?" for column in change.key)
            row = self._find(tables[change.table], where, tuple(change.key.values()))
            if row is None:
                continue
            if change.kind == "changed":
                self._keep(change.table, joined(change.key), row)
            waiting += self._pointers_of(change.table, row)
        while waiting:
            name, column, key = waiting.pop()
            if str(key) in self._context.get(name, {}) or name not in tables:
                continue
            row = self._find(tables[name], f"{_quoted(column)} = ?", (key,))
            if row is not None:
                self._keep(name, str(key), row)
                waiting += self._pointers_of(name, row)
        return self._context

    # Tables

    def _tables(self) -> list[_Table]:
        rows = self._db.execute(
            "SELECT name, wr FROM pragma_table_list WHERE schema = 'after' AND type = 'table'"
            " AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name"
        )
        return [self._table(name, not without) for name, without in rows if name not in _SESSIONS]

    def _table(self, name: str, has_rowid: bool) -> _Table:
        info = self._db.execute(f"PRAGMA after.table_info({_quoted(name)})").fetchall()
        columns = tuple(row[1] for row in info)
        key = tuple(row[1] for row in sorted(info, key=lambda row: row[5]) if row[5])
        return _Table(name, columns, key or ("rowid",), has_rowid)

    # Rows

    def _changes_of(self, table: _Table) -> Iterator[RowChange]:
        yield from self._only_in("after", "before", table, "added")
        yield from self._only_in("before", "after", table, "removed")
        yield from self._changed(table)

    def _only_in(self, side: Side, other: Side, table: _Table, kind: Kind) -> Iterator[RowChange]:
        name = _quoted(table.name)
        columns = tuple(dict.fromkeys((*table.key, *table.columns)))
        rows = self._db.execute(
            f"SELECT {_list('x', columns)} FROM {side}.{name} x WHERE NOT EXISTS"
            f" (SELECT 1 FROM {other}.{name} y WHERE {_same_key(table)}) {_order(table)}"
        )
        for values in rows:
            row = dict(zip(columns, values, strict=True))
            shown = {column: shorten(row[column]) for column in table.columns}
            before, after = ({}, shown) if kind == "added" else (shown, {})
            yield RowChange(table.name, _key(table, row), kind, before, after)

    def _changed(self, table: _Table) -> Iterator[RowChange]:
        rest = [column for column in table.columns if column not in table.key]
        if not rest:
            return
        name = _quoted(table.name)
        differs = " OR ".join(f"x.{_quoted(column)} IS NOT y.{_quoted(column)}" for column in rest)
        rows = self._db.execute(
            f"SELECT {_list('x', table.key)}, {_list('x', rest)}, {_list('y', rest)}"
            f" FROM after.{name} x JOIN before.{name} y ON {_same_key(table)} WHERE {differs} {_order(table)}"
        )
        for values in rows:
            key = dict(zip(table.key, values[: len(table.key)], strict=True))
            new = values[len(table.key) : len(table.key) + len(rest)]
            old = values[len(table.key) + len(rest) :]
            pairs = [(c, o, n) for c, o, n in zip(rest, old, new, strict=True) if o != n]
            yield RowChange(
                table.name,
                _key(table, key),
                "changed",
                {column: shorten(value) for column, value, _ in pairs},
                {column: shorten(value) for column, _, value in pairs},
            )

    # Context

    def _find(self, table: _Table, where: str, arguments: tuple[Any, ...]) -> Row | None:
        """A record as it is now, or as it was where it is gone."""
        sides: tuple[Side, ...] = ("after", "before")
        for side in sides:
            values = self._db.execute(
                f"SELECT {_list('x', table.columns)} FROM {side}.{_quoted(table.name)} x WHERE {where}",
                arguments,
            ).fetchone()
            if values is None:
                continue
            row = dict(zip(table.columns, values, strict=True))
            if table.name in _GATHERED:
                column, sql = _GATHERED[table.name]
                row[column] = self._db.execute(sql.format(side=side), (row["id"],)).fetchone()[0]
            return row
        return None

    def _keep(self, table: str, key: str, row: Row) -> None:
        short = {column: shorten(value, _CONTEXT_TEXT_MAX) for column, value in row.items()}
        self._context.setdefault(table, {})[key] = short

    def _pointers_of(self, table: str, row: Row) -> list[tuple[str, str, Value]]:
        """(table, column, value) of what a record points to."""
        found: list[tuple[str, str, Value]] = []
        keys = self._db.execute(f"PRAGMA after.foreign_key_list({_quoted(table)})").fetchall()
        pointers = [(own, other, there) for _, _, other, own, there, *_ in keys]
        pointers += [(own, other, there) for name, own, other, there in _POINTERS if name == table]
        for own, other, there in pointers:
            for value in _listed(row.get(own)):
                found.append((other, there or self._table(other, True).key[0], value))
        return found


@contextmanager
def opened(before: Path, after: Path) -> Iterator[Records]:
    records = Records(before, after)
    try:
        yield records
    finally:
        records.close()


def shorten(value: Any, limit: int = TEXT_MAX) -> Value:
    """A column's value as JSON can have it."""
    if isinstance(value, bytes):
        return f"({len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()})"
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]}… ({len(value)} characters)"
    plain: Value = value
    return plain


def _listed(value: Value) -> list[Value]:
    if value is None:
        return []
    if isinstance(value, str) and value.startswith("["):
        try:
            return [entry for entry in json.loads(value) if isinstance(entry, str | int)]
        except ValueError:
            return [value]
    return [value]


def _key(table: _Table, row: dict[str, Any]) -> Row:
    return {column: shorten(row[column]) for column in table.key}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(alias: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{alias}.{_quoted(column)}" for column in columns)


def _same_key(table: _Table) -> str:
    return " AND ".join(f"x.{_quoted(column)} = y.{_quoted(column)}" for column in table.key)


def _order(table: _Table) -> str:
    return "ORDER BY x.rowid" if table.has_rowid else f"ORDER BY {_list('x', table.key)}"
