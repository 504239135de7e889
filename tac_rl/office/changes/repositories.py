"""The difference of two copies of a git repository: which refs moved, and over which commits."""

from collections.abc import Iterator
from pathlib import Path

import pygit2
from pygit2.enums import SortMode

from tac_rl.office.changes.base import COMMITS_MAX, Commit, Kind, RefChange
from tac_rl.office.forge.repositories import open_folder

Refs = dict[str, str]


def diff_repository(before: Path, after: Path, path: str) -> Iterator[RefChange]:
    """What became of the refs of the repository at `path` in both offices, by name. Either may be missing."""
    old, new = _refs(before / path), _refs(after / path)
    if old == new:
        return
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        kind: Kind = "added" if was is None else "removed" if now is None else "changed"
        commits = _new_commits(after / path, now, old) if now is not None and name != "HEAD" else ()
        yield RefChange(path, name, kind, was, now, commits)


def _refs(folder: Path) -> Refs:
    """Ref -> what it points to; none where there is no repository."""
    if not (folder / "HEAD").is_file():
        return {}
    repository = open_folder(folder)
    references = repository.listall_reference_objects()
    found = {reference.name: str(reference.target) for reference in references}
    found["HEAD"] = str(repository.lookup_reference("HEAD").target)
    return found


def _new_commits(folder: Path, tip: str, old: Refs) -> tuple[Commit, ...]:
    repository = open_folder(folder)
    start = _commit(repository, tip)
    if start is None:
        return ()
    walker = repository.walk(start.id, SortMode.TOPOLOGICAL)
    for target in old.values():
        known = _commit(repository, target)
        if known is not None:
            walker.hide(known.id)
    found = []
    for commit in walker:
        title = commit.message.strip().partition("\n")[0]
        found.append(Commit(str(commit.id), commit.author.name, title[:200]))
        if len(found) == COMMITS_MAX:
            break
    return tuple(found)


def _commit(repository: pygit2.Repository, target: str) -> pygit2.Commit | None:
    """The commit that a hash means, through tags; None where it means none or is not there."""
    try:
        return repository[target].peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.InvalidSpecError, pygit2.GitError):
        return None
