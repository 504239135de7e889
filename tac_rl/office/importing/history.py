"""A repository's history as an overlay's commits.

An overlay tells a history in a simple form: commits on the default branch, branches that begin there, and
merges. What is more entangled is told more simply: its commits keep their message, author, time and outcome,
and a merge that can't be repeated becomes an ordinary commit.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pygit2
from pygit2 import Commit, Oid, Repository, Signature, Tree
from pygit2.enums import DeltaStatus, FileMode

from tac_rl.office.base import AGENT_CHAT
from tac_rl.office.importing.client import Tell
from tac_rl.office.importing.people import People
from tac_rl.office.overlay import CommitOverlay


@dataclass(frozen=True)
class Limits:
    most_commits: int
    """Of the default branch, the newest; the first that is taken holds everything before it."""
    most_bytes: int
    """Of a file."""


@dataclass
class History:
    commits: list[CommitOverlay] = field(default_factory=list)
    branches: set[str] = field(default_factory=set)
    """Branches that these commits make, besides the default one."""
    removed: set[str] = field(default_factory=set)
    """Those of them that are gone since they were merged."""


@dataclass
class _Branch:
    """Commits that lie beside the default branch: they begin at one of its commits."""

    name: str
    base: Oid
    commits: list[Commit]


def read_history(
    folder: Path,
    default_branch: str,
    sources: Mapping[str, str],
    people: People,
    limits: Limits,
    tell: Tell,
    where: str,
) -> History:
    """Of the bare repository in `folder`; `sources` are branches of merge requests by the id of their last commit."""
    repo = Repository(str(folder))
    if default_branch not in repo.branches.local:
        return History()
    return _Reader(
        repo, default_branch, sources, people, limits, lambda line: tell(f"{where}: {line}")
    ).read()


class _Reader:
    def __init__(
        self,
        repo: Repository,
        default_branch: str,
        sources: Mapping[str, str],
        people: People,
        limits: Limits,
        tell: Tell,
    ) -> None:
        self.repo = repo
        self.sources = sources
        self.people = people
        self.limits = limits
        self.tell = tell
        self.default_branch = default_branch
        self.history = History()
        self.tags = self._tags()
        self.skipped: set[str] = set()
        """Paths of files that are too large."""

    def read(self) -> History:
        main = self._first_parents(self._tip(self.default_branch), set(), self.limits.most_commits)
        places = {commit.id for commit in main}
        branches = {branch.commits[-1].id: branch for branch in self._branches(places)}
        merged = {
            commit.id: self._merged(commit, places, branches)
            for commit in main[1:]
            if len(commit.parents) == 2
        }
        beside: dict[Oid, list[_Branch]] = {}
        for branch in {b.name: b for b in [*branches.values(), *(b for b in merged.values() if b)]}.values():
            beside.setdefault(branch.base, []).append(branch)
        for n, commit in enumerate(main):
            source = merged.get(commit.id)
            if source is not None:
                self._add(commit, None, None, merges=source.name)
            else:
                self._add(commit, commit.parents[0].tree if n else None, None)
            for branch in sorted(beside.get(commit.id, []), key=lambda b: (b.commits[0].commit_time, b.name)):
                self.history.branches.add(branch.name)
                if branch.name not in self.repo.branches.local:
                    self.history.removed.add(branch.name)
                for own in branch.commits:
                    self._add(own, own.parents[0].tree, branch.name)
        for oid, name in self.tags.items():
            self.tell(f"the tag {name} is left out: its commit {str(oid)[:8]} was not taken over")
        return self.history

    def _tip(self, branch: str) -> Commit:
        tip = self.repo.branches.local[branch].peel(Commit)
        assert isinstance(tip, Commit)
        return tip

    def _first_parents(self, tip: Commit, until: set[Oid], most: int) -> list[Commit]:
        """From a tip back along first parents, up to a commit of `until` (not included); oldest first."""
        chain: list[Commit] = []
        commit: Commit | None = tip
        while commit is not None and commit.id not in until and len(chain) < most:
            chain.append(commit)
            commit = commit.parents[0] if commit.parents else None
        return chain[::-1]

    def _branches(self, places: set[Oid]) -> list[_Branch]:
        """The branches that are still there."""
        found = []
        for name in sorted(self.repo.branches.local):
            if name == self.default_branch:
                continue
            branch = self._branch(name, self._tip(name), places)
            if branch is None:
                self.tell(f"the branch {name} is left out: it has no commits beside {self.default_branch}")
            else:
                found.append(branch)
        return found

    def _branch(self, name: str, tip: Commit, places: set[Oid]) -> _Branch | None:
        commits = self._first_parents(tip, places, self.limits.most_commits)
        if not commits or not commits[0].parents or commits[0].parents[0].id not in places:
            return None
        return _Branch(name, commits[0].parents[0].id, commits)

    def _merged(self, merge: Commit, places: set[Oid], branches: dict[Oid, _Branch]) -> _Branch | None:
        """The branch that a commit merges, if merging it again gives the same; else None."""
        ours, theirs = merge.parents
        branch = branches.get(theirs.id)
        if branch is None and str(theirs.id) in self.sources:
            name = self.sources[str(theirs.id)]
            taken = name == self.default_branch or name in self.repo.branches.local
            branch = None if taken else self._branch(name, theirs, places)
        if branch is None or any(len(commit.parents) > 1 for commit in branch.commits):
            return None
        index = self.repo.merge_commits(ours, theirs)
        if index.conflicts or index.write_tree(self.repo) != merge.tree_id:
            return None
        return branch

    def _add(
        self, commit: Commit, before: Tree | None, branch: str | None, *, merges: str | None = None
    ) -> None:
        files: dict[str, str] = {}
        deleted: list[str] = []
        if merges is None:
            files, deleted = self._changes(before, commit.tree)
        author, message = self._author(commit.author, commit.message)
        self.history.commits.append(
            CommitOverlay.model_validate(
                {
                    "message": message,
                    "from": author,
                    "at": _time(commit.author),
                    "branch": branch,
                    "files": files,
                    "delete": deleted,
                    "merges": merges,
                    "tag": self.tags.pop(commit.id, None),
                }
            )
        )

    def _author(self, signature: Signature, message: str) -> tuple[str, str]:
        """Somebody of the company; a stranger's commits are the agent's, and say whose they were."""
        known = self.people.known(email=signature.email, name=signature.name)
        if known is not None:
            return known, message.removesuffix("\n")
        return AGENT_CHAT, f"{message.rstrip()}\n\nAuthor: {signature.name} <{signature.email}>"

    def _changes(self, before: Tree | None, after: Tree) -> tuple[dict[str, str], list[str]]:
        """(files by path, paths that are gone)."""
        diff = after.diff_to_tree(swap=True) if before is None else before.diff_to_tree(after)
        files: dict[str, str] = {}
        deleted = []
        for delta in diff.deltas:
            path = delta.new_file.path
            if delta.status == DeltaStatus.DELETED:
                if path not in self.skipped:
                    deleted.append(path)
                continue
            blob = self.repo.get(delta.new_file.id)
            if delta.new_file.mode == FileMode.COMMIT or not isinstance(blob, pygit2.Blob):
                self.tell(f"{path} is a submodule and is left out")
                self.skipped.add(path)
            elif blob.size > self.limits.most_bytes:
                self.tell(f"{path} has {blob.size / 1e6:.0f} MB and is left out (--most-mb)")
                self.skipped.add(path)
            else:
                self.skipped.discard(path)
                files[path] = _content(blob.data)
        return files, deleted

    def _tags(self) -> dict[Oid, str]:
        """Commit -> tag; of several only the last by name."""
        tags: dict[Oid, str] = {}
        for reference in sorted(name for name in self.repo.references if name.startswith("refs/tags/")):
            try:
                commit = self.repo.references[reference].peel(Commit)
            except pygit2.GitError:
                continue
            name = reference.removeprefix("refs/tags/")
            if commit.id in tags:
                self.tell(f"the tag {tags[commit.id]} is left out: {name} is on the same commit")
            tags[commit.id] = name
        return tags


def _time(signature: Signature) -> datetime:
    return datetime.fromtimestamp(signature.time, timezone(timedelta(minutes=signature.offset)))


def _content(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or text.startswith("base64:"):
        return "base64:" + b64encode(content).decode()
    return text
