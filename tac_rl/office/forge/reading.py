"""Reading repositories: refs, trees, files, history, differences. Everything here is quick or bounded.

A name that a client gives is looked up as a branch, then a tag, then a commit's id (or its first seven
or more digits); `~2` and `^` may follow. Nothing else that git understands is tried.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pygit2
from pygit2 import Blob, Commit, Oid, Repository, Signature, Tag, Tree
from pygit2.enums import DeltaStatus, DiffFind, FileMode, ObjectType, SortMode

_STEPS = re.compile(r"(?P<base>.*?)(?P<steps>([~^]\d*)+)")
_ID = re.compile(r"[0-9a-f]{7,40}")
LONGEST_NAME = 1000
SEARCH_LIMIT = 1 << 20
"""Largest file (bytes) that a search looks into."""
DIFF_LIMIT = 100_000
"""Characters of one file's difference; a larger one is said to be too large."""


def find_commit(repo: Repository, name: str) -> Commit | None:
    """The commit that a branch, tag or id means; `HEAD` is the default branch's."""
    if len(name) > LONGEST_NAME:
        return None
    steps = _STEPS.fullmatch(name)
    if steps is not None:
        base = find_commit(repo, steps["base"])
        return None if base is None else _walk_steps(base, steps["steps"])
    if name == "HEAD":
        return None if repo.head_is_unborn else _as_commit(repo, repo.head.target)
    for prefix in ("refs/heads/", "refs/tags/", ""):
        if not prefix and not name.startswith("refs/"):
            continue
        target = ref_target(repo, prefix + name)
        if target is not None:
            return _as_commit(repo, target)
    if _ID.fullmatch(name):
        try:
            found = repo.get(name)
        except ValueError:  # ambiguous
            return None
        return None if found is None else _as_commit(repo, found.id)
    return None


def _walk_steps(commit: Commit, steps: str) -> Commit | None:
    for kind, digits in re.findall(r"([~^])(\d*)", steps):
        number = int(digits[:6]) if digits else 1
        for _ in range(number if kind == "~" else min(number, 1)):
            parent = 0 if kind == "~" else number - 1
            if len(commit.parent_ids) <= parent:
                return None
            commit = commit.parents[parent]
    return commit


def _as_commit(repo: Repository, oid: Oid | str) -> Commit | None:
    found = repo.get(oid)
    while isinstance(found, Tag):
        found = repo.get(found.target)
    return found if isinstance(found, Commit) else None


def ref_target(repo: Repository, name: str) -> Oid | None:
    """What a full reference name points at."""
    try:
        reference = repo.references.get(name)
        target = None if reference is None else reference.resolve().target
    except (KeyError, ValueError, pygit2.GitError):
        return None
    return target if isinstance(target, Oid) else None


def branch_tip(repo: Repository, branch: str) -> Commit | None:
    target = ref_target(repo, f"refs/heads/{branch}")
    return None if target is None else _as_commit(repo, target)


def branch_names(repo: Repository) -> list[str]:
    return sorted(repo.branches.local)


def tag_names(repo: Repository) -> list[str]:
    prefix = "refs/tags/"
    return sorted(name.removeprefix(prefix) for name in repo.listall_references() if name.startswith(prefix))


def tag_object(repo: Repository, name: str) -> Tag | Commit | None:
    """An annotated tag's own object, or the commit of a plain one."""
    target = ref_target(repo, f"refs/tags/{name}")
    found = None if target is None else repo.get(target)
    return found if isinstance(found, (Tag, Commit)) else None


# Trees and files


@dataclass(frozen=True)
class Entry:
    """Something in a tree."""

    id: str
    name: str
    path: str
    kind: Literal["tree", "blob", "commit"]
    mode: int


def find_entry(repo: Repository, commit: Commit, path: str) -> Entry | None:
    """What lies at a path (the root is '')."""
    path = path.strip("/")
    if not path:
        return Entry(str(commit.tree_id), "", "", "tree", FileMode.TREE)
    try:
        found = commit.tree[path]
    except (KeyError, ValueError, pygit2.GitError):
        return None
    return _entry(found, path)


def list_tree(repo: Repository, commit: Commit, path: str, *, recursive: bool) -> list[Entry] | None:
    """Folders first, each kind by name; None where there is no such folder."""
    entry = find_entry(repo, commit, path)
    tree = None if entry is None or entry.kind != "tree" else repo.get(entry.id)
    if entry is None or not isinstance(tree, Tree):
        return None
    found = list(_walk_tree(tree, entry.path, recursive))
    return sorted(found, key=lambda e: e.kind != "tree")


def _walk_tree(tree: Tree, path: str, recursive: bool) -> Iterator[Entry]:
    for item in tree:
        entry = _entry(item, f"{path}/{item.name}" if path else str(item.name))
        yield entry
        if recursive and isinstance(item, Tree):
            yield from _walk_tree(item, entry.path, recursive)


def _entry(found: pygit2.Object, path: str) -> Entry:
    kind: Literal["tree", "blob", "commit"] = "blob"
    if found.type == ObjectType.TREE:
        kind = "tree"
    elif found.filemode == FileMode.COMMIT:
        kind = "commit"
    return Entry(str(found.id), path.rpartition("/")[2], path, kind, int(found.filemode or 0))


def read_file(repo: Repository, commit: Commit, path: str) -> tuple[Entry, bytes] | None:
    entry = find_entry(repo, commit, path)
    blob = None if entry is None or entry.kind != "blob" else repo.get(entry.id)
    return (entry, blob.data) if entry is not None and isinstance(blob, Blob) else None


def find_readme(repo: Repository, commit: Commit) -> str | None:
    """The path of the file that introduces the project."""
    names = [str(item.name) for item in commit.tree if item.type == ObjectType.BLOB]
    readmes = [name for name in names if name.lower().partition(".")[0] == "readme"]
    return min(readmes, key=lambda name: (not name.lower().endswith(".md"), name), default=None)


def search_files(repo: Repository, commit: Commit, text: str, limit: int) -> list[tuple[str, int, str]]:
    """(path, line number from 1, the line with its neighbours) for files that hold `text`, case ignored."""
    found: list[tuple[str, int, str]] = []
    wanted = text.lower()
    for entry in _walk_tree(commit.tree, "", True):
        blob = repo.get(entry.id) if entry.kind == "blob" else None
        if not isinstance(blob, Blob) or blob.size > SEARCH_LIMIT or blob.is_binary:
            continue
        content = blob.data.decode(errors="replace")
        at = content.lower().find(wanted)
        if at < 0 and wanted not in entry.path.lower():
            continue
        number = content.count("\n", 0, max(at, 0))
        first = max(number - 2, 0)
        lines = content.splitlines(keepends=True)[first : number + 3]
        found.append((entry.path, first + 1, "".join(lines)))
        if len(found) >= limit:
            break
    return found


# History


@dataclass(frozen=True)
class HistoryQuery:
    """Which commits; what is empty or None doesn't restrict."""

    path: str = ""
    author: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    first_parent: bool = False
    topological: bool = False


def history(
    repo: Repository,
    tips: list[Oid],
    query: HistoryQuery,
    *,
    hidden: list[Oid] | None = None,
    skip: int = 0,
    limit: int,
) -> list[Commit]:
    """Commits reachable from `tips` and not from `hidden`, newest first."""
    walker = repo.walk(
        None, SortMode.TOPOLOGICAL if query.topological else SortMode.TOPOLOGICAL | SortMode.TIME
    )
    for tip in tips:
        walker.push(tip)
    for tip in hidden or ():
        walker.hide(tip)
    if query.first_parent:
        walker.simplify_first_parent()
    found: list[Commit] = []
    for commit in walker:
        if not _matches(commit, query):
            continue
        if skip > 0:
            skip -= 1
            continue
        found.append(commit)
        if len(found) >= limit:
            break
    return found


def _matches(commit: Commit, query: HistoryQuery) -> bool:
    if query.since is not None and commit.commit_time < query.since.timestamp():
        return False
    if query.until is not None and commit.commit_time > query.until.timestamp():
        return False
    if query.author:
        author = f"{name_of(commit.author)} <{email_of(commit.author)}>"
        if query.author.lower() not in author.lower():
            return False
    if query.text and query.text.lower() not in message_of(commit).lower():
        return False
    return not query.path or _touches(commit, query.path.strip("/"))


def _touches(commit: Commit, path: str) -> bool:
    """Whether what lies at a path differs from every parent's."""
    here = _id_at(commit, path)
    if not commit.parent_ids:
        return here is not None
    return all(_id_at(parent, path) != here for parent in commit.parents)


def _id_at(commit: Commit, path: str) -> Oid | None:
    try:
        return commit.tree[path].id
    except (KeyError, ValueError, pygit2.GitError):
        return None


def message_of(commit: Commit) -> str:
    return commit.raw_message.decode(errors="replace")


def name_of(signature: Signature) -> str:
    """Whatever was pushed, whether it is UTF-8 or not."""
    return signature.raw_name.decode(errors="replace")


def email_of(signature: Signature) -> str:
    return signature.raw_email.decode(errors="replace")


def last_commit_of(repo: Repository, commit: Commit, path: str) -> Commit:
    """The commit that last changed a path."""
    found = history(repo, [commit.id], HistoryQuery(path=path), limit=1)
    return found[0] if found else commit


# Differences


@dataclass(frozen=True)
class FileDiff:
    old_path: str
    new_path: str
    old_mode: int
    new_mode: int
    status: Literal["added", "deleted", "renamed", "changed"]
    text: str
    """Its hunks; empty where it is too large."""
    too_large: bool
    added: int
    removed: int


def commit_diff(commit: Commit) -> list[FileDiff]:
    """Against the first parent (or nothing)."""
    return diff_trees(commit.parents[0].tree if commit.parent_ids else None, commit.tree)


def diff_trees(old: Tree | None, new: Tree) -> list[FileDiff]:
    # From the new tree's side and swapped: an absent old tree stands for an empty one.
    difference = new.diff_to_tree(swap=True) if old is None else old.diff_to_tree(new)
    difference.find_similar(DiffFind.FIND_RENAMES)
    return [_file_diff(patch) for patch in difference if patch is not None]


def _file_diff(patch: pygit2.Patch) -> FileDiff:
    delta = patch.delta
    statuses: dict[DeltaStatus, Literal["added", "deleted", "renamed", "changed"]] = {
        DeltaStatus.ADDED: "added",
        DeltaStatus.DELETED: "deleted",
        DeltaStatus.RENAMED: "renamed",
    }
    status: Literal["added", "deleted", "renamed", "changed"] = statuses.get(delta.status, "changed")
    old_path = delta.old_file.raw_path.decode(errors="replace")
    new_path = delta.new_file.raw_path.decode(errors="replace")
    _, added, removed = patch.line_stats
    if delta.is_binary:
        before = "/dev/null" if status == "added" else f"a/{old_path}"
        after = "/dev/null" if status == "deleted" else f"b/{new_path}"
        text = f"Binary files {before} and {after} differ\n"
    else:
        whole = patch.data.decode(errors="replace")
        start = whole.find("\n@@ ")
        text = whole[start + 1 :] if start >= 0 else ""
    too_large = len(text) > DIFF_LIMIT
    return FileDiff(
        old_path=old_path,
        new_path=new_path,
        old_mode=0 if status == "added" else int(delta.old_file.mode),
        new_mode=0 if status == "deleted" else int(delta.new_file.mode),
        status=status,
        text="" if too_large else text,
        too_large=too_large,
        added=added,
        removed=removed,
    )
