"""The difference of two copies of a git repository: which refs moved, and over which commits."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pygit2
from pygit2.enums import SortMode

from tac_rl.office.changes.base import COMMITS_MAX, Commit, Kind, RefChange
from tac_rl.office.forge.repositories import open_folder


def diff_repository(before: Path, after: Path, path: str) -> Iterator[RefChange]:
    """What became of the refs of the repository at `path` in both offices, by name. Either may be missing."""
    old, new = _open(before / path), _open(after / path)
    was, now = _refs(old), _refs(new)
    if was == now:
        return
    for name in sorted(was.keys() | now.keys()):
        start, end = was.get(name), now.get(name)
        if start == end:
            continue
        kind: Kind = "added" if start is None else "removed" if end is None else "changed"
        commits: tuple[Commit, ...] = ()
        if new is not None and end is not None and name != "HEAD":
            commits = _new_commits(old, new, end, was.values())
        yield RefChange(path, name, kind, start, end, commits)


def _open(folder: Path) -> pygit2.Repository | None:
    return open_folder(folder) if (folder / "HEAD").is_file() else None


def _refs(repository: pygit2.Repository | None) -> dict[str, str]:
    """Ref -> what it points to."""
    if repository is None:
        return {}
    found = {reference.name: str(reference.target) for reference in repository.listall_reference_objects()}
    found["HEAD"] = str(repository.lookup_reference("HEAD").target)
    return found


def _new_commits(
    old: pygit2.Repository | None, new: pygit2.Repository, tip: str, known: Iterable[str]
) -> tuple[Commit, ...]:
    start = _commit(new, tip)
    if start is None:
        return ()
    walker = new.walk(start.id, SortMode.TOPOLOGICAL)
    for target in known:
        commit = _commit(new, target)
        if commit is not None:
            walker.hide(commit.id)
    found = []
    for commit in walker:
        if old is not None and commit.id in old:  # Its branch was moved back, or is gone.
            continue
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
