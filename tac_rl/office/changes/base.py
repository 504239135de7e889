"""The difference of two offices as plain data: `dataclasses.asdict` of it is JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Value = str | int | float | None
"""Of a column. Bytes are named by their size and hash; long texts are cut and tell their length."""
Row = dict[str, Value]
Kind = Literal["added", "removed", "changed"]

TEXT_MAX = 2000
"""Characters of a text that are kept."""


@dataclass(frozen=True)
class RowChange:
    """A record."""

    table: str
    key: Row
    """The columns of its primary key (`rowid` where the table has none)."""
    kind: Kind
    before: Row
    """Removed: all columns. Changed: those that changed."""
    after: Row
    """Added: all columns. Changed: those that changed."""


@dataclass(frozen=True)
class FileChange:
    """A file or folder of the drive or of another service that keeps files."""

    path: str
    """In the office's folder, as `drive/Documents/x.csv`."""
    kind: Kind
    folder: bool = False
    size_before: int | None = None
    size: int | None = None
    """In bytes; None where there is none, and for folders."""
    sha256_before: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Commit:
    sha: str
    author: str
    """The name in the commit."""
    title: str
    """Its message's first line."""


@dataclass(frozen=True)
class RefChange:
    """A branch, a tag, or `HEAD` (which names the default branch) of a repository."""

    repository: str
    """In the office's folder, as `repositories/3.git`."""
    ref: str
    kind: Kind
    before: str | None = None
    after: str | None = None
    """A commit's (or tag object's) hash; for `HEAD` a branch's full name."""
    commits: tuple[Commit, ...] = ()
    """Reachable from it, and not there before, newest first; at most `COMMITS_MAX`."""


COMMITS_MAX = 50


@dataclass(frozen=True)
class Changes:
    """Everything that differs. Sessions and tokens are left out: signing in is no change."""

    rows: tuple[RowChange, ...] = ()
    """By table, in each by kind, in each as they were made."""
    files: tuple[FileChange, ...] = ()
    refs: tuple[RefChange, ...] = ()
    rows_left_out: dict[str, int] = field(default_factory=dict)
    """Table -> how many more of its rows differ than are kept."""
    context: dict[str, dict[str, Row]] = field(default_factory=dict)
    """Table -> key -> the whole record, of what changed rows are or refer to (an issue's project, for instance)."""

    @property
    def nothing(self) -> bool:
        return not (self.rows or self.files or self.refs)

    def became(self, table: str, key: Value) -> Kind | None:
        """What happened to a record; None: nothing did."""
        return self._kinds.get((table, str(key)))

    @cached_property
    def _kinds(self) -> dict[tuple[str, str], Kind]:
        return {(change.table, joined(change.key)): change.kind for change in self.rows}

    def look(self, table: str, key: Value) -> Mapping[str, Value]:
        """A record that a changed row refers to; empty where it isn't known."""
        return self.context.get(table, {}).get(str(key), {})

    def whole(self, change: RowChange) -> Mapping[str, Value]:
        """All columns of a changed record: as they are now, or were before it was removed."""
        if change.kind == "changed":
            return self.look(change.table, joined(change.key))
        return change.after if change.kind == "added" else change.before


def joined(key: Mapping[str, Value]) -> str:
    """A key as `Changes.context` has it."""
    return "|".join(str(value) for value in key.values())
