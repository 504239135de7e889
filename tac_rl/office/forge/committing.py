"""Making commits in bare repositories, without a work tree: actions on files, branches, tags.

Deterministic: the same parent, actions, people and times give the same ids.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pygit2
from pygit2 import Commit, Oid, Repository, Signature
from pygit2.enums import FileMode

from tac_rl.office.base import Person
from tac_rl.office.forge.errors import ForgeError, bad_request, conflict
from tac_rl.office.forge.reading import branch_tip, last_commit_of

_NULL = Oid(hex="0" * 40)


@dataclass(frozen=True)
class Action:
    """What a commit does to one file."""

    kind: Literal["create", "update", "delete", "move", "chmod", "write"]
    """`write` creates or updates."""
    path: str
    content: bytes | None = None
    previous_path: str = ""
    """Where a moved file was."""
    executable: bool | None = None
    last_commit_id: str = ""
    """The commit in which the client saw the file: refuse if it changed since."""


def signature(name: str, email: str, when: datetime) -> Signature:
    """Of a person; characters that git can't write into a commit are left out."""
    offset = when.utcoffset()
    minutes = 0 if offset is None else int(offset.total_seconds()) // 60
    return Signature(_clean(name) or "Unknown", _clean(email) or "unknown", int(when.timestamp()), minutes)


def signature_of(person: Person, when: datetime) -> Signature:
    return signature(person.name, person.email, when)


def _clean(text: str) -> str:
    return "".join(c for c in text if c not in "<>\n\r\0").strip(" .,:;\"'")


def check_path(path: str) -> str:
    """A path that a commit may hold; 400 for one that could lead out of a work tree or into `.git`."""
    parts = path.split("/")
    if not path or len(path) > 4096 or any(_forbidden(part) for part in parts):
        raise bad_request("A file path must be relative, without empty, '.', '..' or '.git' parts")
    return path


def _forbidden(part: str) -> bool:
    # File systems that ignore case, invisible characters or trailing dots would take these for `.git` as well.
    seen = "".join(c for c in part if unicodedata.category(c) != "Cf").casefold().rstrip(". ")
    control = any(ord(c) < 32 or c == "\x7f" for c in part)
    return part in ("", ".", "..") or seen in ("", ".git", "git~1") or "\\" in part or control


def check_branch_name(name: str) -> str:
    """A name that a branch or tag may have; 400 otherwise."""
    valid = pygit2.reference_is_valid_name(f"refs/heads/{name}")
    if not valid or name.startswith("-") or name == "HEAD" or len(name) > 255:
        raise bad_request(f"{name!r} is not a valid name for a branch or tag")
    return name


def commit_actions(
    repo: Repository,
    *,
    branch: str,
    actions: Sequence[Action],
    message: str,
    author: Signature,
    committer: Signature,
    start: Commit | None = None,
    force: bool = False,
) -> Oid:
    """Commit to a branch, which is made at `start` if it isn't there (without `start`: with no history).

    400 where an action doesn't fit the files, or where the branch moved meanwhile; with `force` the branch
    is set to a commit upon `start` whatever it pointed at.
    """
    tip = branch_tip(repo, branch)
    if tip is None or (force and start is not None):
        parent = start
        check_branch_name(branch)
    else:
        parent = tip
    index = pygit2.Index()
    if parent is not None:
        index.read_tree(parent.tree)
    for action in actions:
        _apply(repo, index, action, parent)
    tree = index.write_tree(repo)
    parents = [] if parent is None else [parent.id]
    made = repo.create_commit(None, author, committer, _ending(message), tree, parents)
    move_branch(repo, branch, made, None if tip is None else tip.id)
    return made


def _ending(message: str) -> str:
    return message if message.endswith("\n") else message + "\n"


def _apply(repo: Repository, index: pygit2.Index, action: Action, parent: Commit | None) -> None:
    path = check_path(action.path)
    source = check_path(action.previous_path) if action.kind == "move" else path
    there = _find(index, source)
    if action.kind in ("update", "delete", "chmod", "move") and there is None:
        raise bad_request("A file with this name doesn't exist")
    if action.kind == "create" and there is not None:
        raise bad_request("A file with this name already exists")
    if action.kind == "move" and source != path and _find(index, path) is not None:
        raise bad_request("A file with this name already exists")
    seen = action.last_commit_id
    if seen and parent is not None and str(last_commit_of(repo, parent, source).id) != seen:
        raise bad_request(
            "You are attempting to update a file that has changed since you started editing it."
        )
    if action.kind == "delete" or source != path:
        index.remove(source)
    if action.kind != "delete":
        _check_directories(index, path)
        mode = FileMode.BLOB if there is None else there.mode
        if action.executable is not None:
            mode = FileMode.BLOB_EXECUTABLE if action.executable else FileMode.BLOB
        if action.content is not None or there is None:
            oid = repo.create_blob(action.content or b"")
        else:
            oid = there.id
        index.add(pygit2.IndexEntry(path, oid, mode))


def _find(index: pygit2.Index, path: str) -> pygit2.IndexEntry | None:
    try:
        return index[path]
    except KeyError:
        return None


def _check_directories(index: pygit2.Index, path: str) -> None:
    parts = path.split("/")
    for length in range(1, len(parts)):
        if _find(index, "/".join(parts[:length])) is not None:
            raise bad_request("A file exists where a directory would have to be")
    if _find(index, path) is None and any(entry.path.startswith(path + "/") for entry in index):
        raise bad_request("A directory with this name already exists")


def move_branch(repo: Repository, branch: str, target: Oid, expected: Oid | None) -> None:
    """Point a branch at a commit, if it still points at `expected` (None: if it isn't there); else 409."""
    name = f"refs/heads/{branch}"
    with _refusals(branch):
        if expected is None:
            repo.references.create(name, target)
            return
        reference = repo.lookup_reference(name)
        if reference.target != expected:
            raise conflict(f"The branch {branch!r} changed meanwhile; try again")
        # libgit2 compares with the value that it read above, under the lock of the reference.
        reference.set_target(target)


def create_tag(repo: Repository, name: str, target: Commit, message: str, tagger: Signature) -> None:
    """A plain tag, or with a message an annotated one; 400 where it exists."""
    check_branch_name(name)
    with _refusals(name):
        if message:
            repo.create_tag(name, target.id, pygit2.enums.ObjectType.COMMIT, tagger, _ending(message))
        else:
            repo.references.create(f"refs/tags/{name}", target.id)


def delete_ref(repo: Repository, name: str) -> None:
    """Nothing happens where there is none."""
    if name in repo.references:
        repo.references.delete(name)


class _refusals:
    """libgit2's complaints about a name, as the client's mistake."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pygit2.AlreadyExistsError):
            raise bad_request(f"{self._name!r} already exists") from error
        if isinstance(error, (KeyError, ValueError, pygit2.GitError)) and not isinstance(error, ForgeError):
            raise bad_request(f"{self._name!r} can't be written: {error}") from error
