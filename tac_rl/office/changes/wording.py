"""What sentences about changes are made of."""

from collections.abc import Callable, Collection, Iterable, Mapping

from tac_rl.office.changes.base import Changes, RowChange, Value

Describer = Callable[[RowChange, Changes], Iterable[str]]
"""The sentences about one changed row; none where it isn't worth telling."""

QUOTE_MAX = 160
_LONG = 60


def quote(value: Value, limit: int = QUOTE_MAX) -> str:
    """A text in one line, between quotation marks, cut where it is long."""
    line = " ".join(str("" if value is None else value).split())
    return f'"{line}"' if len(line) <= limit else f'"{line[: limit - 1]}…"'


def alterations(change: RowChange, skip: Collection[str] = (), names: Mapping[str, str] | None = None) -> str:
    """`title from "a" to "b", description` for the columns that changed, without those of `skip`."""
    told = []
    for column, after in change.after.items():
        if column in skip:
            continue
        name = (names or {}).get(column, column.replace("_", " "))
        before = change.before[column]
        if max(len(str(before)), len(str(after))) > _LONG:
            told.append(name)
        elif before in (None, "", "[]"):
            told.append(f"{name} set to {_plain(after)}")
        elif after in (None, "", "[]"):
            told.append(f"{name} removed (was {_plain(before)})")
        else:
            told.append(f"{name} from {_plain(before)} to {_plain(after)}")
    return ", ".join(told)


def changed_to(change: RowChange, column: str) -> str | None:
    """What a column became; None where it didn't change."""
    return str(change.after[column]) if column in change.after and change.kind == "changed" else None


def _plain(value: Value) -> str:
    return quote(value) if isinstance(value, str) else str(value)


def silent(change: RowChange, changes: Changes) -> Iterable[str]:
    """A record that only follows from others."""
    return ()
