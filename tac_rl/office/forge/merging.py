"""Merging branches in bare repositories."""

from dataclasses import dataclass
from typing import Literal

from pygit2 import Commit, Oid, Repository, Signature

from tac_rl.office.forge.committing import move_branch
from tac_rl.office.forge.errors import ForgeError
from tac_rl.office.forge.reading import message_of


@dataclass(frozen=True)
class Merged:
    """What a merge made; None for a commit that it didn't need."""

    tip: Oid
    merge_commit: Oid | None
    squash_commit: Oid | None


def merge_base(repo: Repository, ours: Commit, theirs: Commit) -> Oid | None:
    return repo.merge_base(ours.id, theirs.id)


def contains(repo: Repository, branch: Commit, commit: Oid) -> bool:
    """Whether a commit is part of a branch's history."""
    return branch.id == commit or repo.descendant_of(branch.id, commit)


def has_conflicts(repo: Repository, target: Commit, source: Commit) -> bool:
    if merge_base(repo, target, source) is None:
        return True
    return bool(repo.merge_commits(target, source).conflicts)


def merge_branch(
    repo: Repository,
    branch: str,
    target: Commit,
    source: Commit,
    *,
    method: Literal["merge", "rebase_merge", "ff"],
    squash: bool,
    message: str,
    squash_message: str,
    author: Signature,
) -> Merged:
    """Merge `source` into `branch`, whose tip is `target`.

    422 for a conflict, or where a fast-forward is asked for and isn't possible; 409 when the branch moved.
    """
    base = merge_base(repo, target, source)
    if base is None:
        raise _unmergeable()
    squashed: Oid | None = None
    if squash:
        tree = _merged_tree(repo, target, source)
        squashed = repo.create_commit(None, author, author, squash_message, tree, [target.id])
        theirs: Oid = squashed
    else:
        theirs = source.id
    if method == "ff":
        if not squash and base != target.id:
            raise _unmergeable()
        move_branch(repo, branch, theirs, target.id)
        return Merged(theirs, None, squashed)
    tree = _merged_tree(repo, target, source)
    made = repo.create_commit(None, author, author, message, tree, [target.id, theirs])
    move_branch(repo, branch, made, target.id)
    return Merged(made, made, squashed)


def _merged_tree(repo: Repository, target: Commit, source: Commit) -> Oid:
    index = repo.merge_commits(target, source)
    if index.conflicts:
        raise _unmergeable()
    return index.write_tree(repo)


def merge_of(branch: Commit, head: Oid) -> Commit | None:
    """The merge commit by which a branch (its tip is given) took in `head`; None where there is none."""
    while branch.parents:
        if head in branch.parent_ids[1:]:
            return branch
        branch = branch.parents[0]
    return None


def apply_commit(
    repo: Repository, branch: str, target: Commit, picked: Commit, author: Signature, *, revert: bool
) -> Oid:
    """Cherry-pick or revert a commit onto a branch whose tip is `target`; 400 for a conflict or a merge."""
    if len(picked.parent_ids) != 1:
        raise ForgeError(400, "Only a commit with one parent can be picked or reverted")
    parent = picked.parents[0]
    if revert:
        index = repo.merge_trees(picked.tree, target.tree, parent.tree)
        subject = message_of(picked).partition("\n")[0]
        message = f'Revert "{subject}"\n\nThis reverts commit {picked.id}\n'
        writer = author
    else:
        index = repo.merge_trees(parent.tree, target.tree, picked.tree)
        message = f"{message_of(picked).rstrip()}\n\n(cherry picked from commit {picked.id})\n"
        writer = picked.author
    tree = None if index.conflicts else index.write_tree(repo)
    if tree is None or tree == target.tree_id:
        verb = "revert" if revert else "cherry-pick"
        raise _unpickable(verb)
    made = repo.create_commit(None, writer, author, message, tree, [target.id])
    move_branch(repo, branch, made, target.id)
    return made


def _unpickable(verb: str) -> ForgeError:
    return ForgeError(
        400,
        f"Sorry, we cannot {verb} this commit automatically. This commit may already have been"
        f" {verb}ed, or a more recent commit may have updated some of its content.",
    )


def _unmergeable() -> ForgeError:
    return ForgeError(422, "Branch cannot be merged")
