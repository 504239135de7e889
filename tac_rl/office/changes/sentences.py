"""Changes in sentences for people: one for each thing that somebody would tell of."""

from collections import Counter
from collections.abc import Iterable, Iterator

from tac_rl.office.changes import chat, forge, tracker
from tac_rl.office.changes.base import Changes, FileChange, RowChange
from tac_rl.office.changes.wording import Describer, alterations


def summary(changes: Changes) -> list[str]:
    """Sentences about people, the chat, the forge, the tracker and the drive, in this order."""
    told: list[str] = []
    untold: Counter[tuple[str, str]] = Counter()
    for change in sorted(changes.rows, key=lambda change: _RANKS.get(change.table, len(_RANKS))):
        if _goes_without_saying(change, changes):
            continue
        describer = _DESCRIBERS.get(change.table)
        if describer is None:
            untold[change.table, change.kind] += 1
        else:
            told += describer(change, changes)
    for ref in changes.refs:
        if changes.became("forge_projects", forge.project_of(ref)) != "removed":
            told += forge.ref_sentences(ref, changes)
    told += _files(change for change in changes.files if change.path.startswith(_DRIVE))
    told += [f"{table}: {count} {_rows(count)} {kind}" for (table, kind), count in untold.items()]
    told += [f"{table}: {count} more {_rows(count)}" for table, count in changes.rows_left_out.items()]
    return told


def _goes_without_saying(change: RowChange, changes: Changes) -> bool:
    """What is removed with what it belongs to, and what everything new of its kind comes with."""
    whole = changes.whole(change)
    if change.kind == "changed" or (change.kind == "added" and change.table not in _BORN_WITH):
        return False
    return any(
        changes.became(table, whole[column]) == change.kind
        for column, table in _OWNERS.items()
        if column in whole
    )


def _person(change: RowChange, changes: Changes) -> Iterator[str]:
    who = change.key["username"]
    if change.kind == "changed":
        yield f"{who}: {alterations(change)}"
    else:
        yield f"{who} {'joined' if change.kind == 'added' else 'left'} the company"


def _share(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    to = row.get("recipient") or "whoever has the link"
    path = str(row.get("path")).strip("/")
    if change.kind == "changed":
        yield f"the share of {path} with {to}: {alterations(change)}"
    else:
        verb = "shared" if change.kind == "added" else "no longer shared"
        yield f"{path} is {verb} with {to}"


def _files(changes: Iterable[FileChange]) -> Iterator[str]:
    """A file that is gone and one of the same content that is new are one file that moved."""
    every = list(changes)
    removed = {c.sha256_before: c for c in every if c.kind == "removed" and not c.folder}
    moved: dict[str, str] = {}
    for change in every:
        if change.kind == "added" and not change.folder and change.sha256 in removed and change.size:
            moved[change.path] = removed.pop(change.sha256).path
    origins = set(moved.values())
    for change in every:
        what = "folder" if change.folder else "file"
        if change.path in moved:
            yield f"file {_shown(moved[change.path])} moved to {_shown(change.path)}"
        elif change.path not in origins:
            yield f"{what} {_shown(change.path)} was {change.kind}"


def _shown(path: str) -> str:
    return path.removeprefix(_DRIVE)


def _rows(count: int) -> str:
    return "record" if count == 1 else "records"


_OWNERS = {
    "room": "chat_rooms",
    "project_id": "forge_projects",
    "issuable_id": "forge_issuables",
    "project": "tracker_projects",
    "issue": "tracker_issues",
}
"""Column -> table of what a record belongs to."""
_BORN_WITH = ("forge_protected_branches", "tracker_states", "tracker_members")
_DRIVE = "drive/"
"""Files of other services have records that tell of them."""
_DESCRIBERS: dict[str, Describer] = {
    "people": _person,
    **chat.DESCRIBERS,
    **forge.DESCRIBERS,
    **tracker.DESCRIBERS,
    "drive_shares": _share,
}
_RANKS = {table: rank for rank, table in enumerate(_DESCRIBERS)}
