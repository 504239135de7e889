"""Commits, branches, tags, trees, files and differences."""

import base64
import hashlib
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NotRequired
from urllib.parse import quote

from pygit2 import Commit, Signature, Tag
from pygit2.enums import FileMode
from typing_extensions import TypedDict

from tac_rl.office.forge.reading import Entry, FileDiff, email_of, message_of, name_of


class Stats(TypedDict):
    additions: int
    deletions: int
    total: int


class CommitShape(TypedDict):
    id: str
    short_id: str
    created_at: str
    parent_ids: list[str]
    title: str
    message: str
    author_name: str
    author_email: str
    authored_date: str
    committer_name: str
    committer_email: str
    committed_date: str
    trailers: dict[str, str]
    extended_trailers: dict[str, Any]
    web_url: str
    stats: NotRequired[Stats]
    status: NotRequired[str | None]
    project_id: NotRequired[int]
    last_pipeline: NotRequired[dict[str, Any] | None]


class Branch(TypedDict):
    name: str
    commit: CommitShape
    merged: bool
    protected: bool
    developers_can_push: bool
    developers_can_merge: bool
    can_push: bool
    default: bool
    web_url: str


class TagRelease(TypedDict):
    tag_name: str
    description: str


class TagShape(TypedDict):
    name: str
    message: str
    target: str
    commit: CommitShape
    release: TagRelease | None
    protected: bool
    created_at: str | None


class TreeEntry(TypedDict):
    id: str
    name: str
    type: str
    path: str
    mode: str


class File(TypedDict):
    file_name: str
    file_path: str
    size: int
    encoding: str
    content_sha256: str
    ref: str
    blob_id: str
    commit_id: str
    last_commit_id: str
    execute_filemode: bool
    content: str


class FileWritten(TypedDict):
    file_path: str
    branch: str


class Diff(TypedDict):
    old_path: str
    new_path: str
    a_mode: str
    b_mode: str
    diff: str
    new_file: bool
    renamed_file: bool
    deleted_file: bool
    generated_file: bool
    collapsed: bool
    too_large: bool


class Comparison(TypedDict):
    commit: CommitShape | None
    commits: list[CommitShape]
    diffs: list[Diff]
    compare_timeout: bool
    compare_same_ref: bool
    web_url: str


class Blob(TypedDict):
    sha: str
    size: int
    encoding: str
    content: str


class Contributor(TypedDict):
    name: str
    email: str
    commits: int
    additions: int
    deletions: int


class FoundBlob(TypedDict):
    basename: str
    data: str
    path: str
    filename: str
    id: str | None
    ref: str
    startline: int
    project_id: int


def git_time(signature: Signature) -> str:
    """With the zone in which it was written."""
    try:
        zone = timezone(timedelta(minutes=signature.offset))
        moment = datetime.fromtimestamp(signature.time, zone)
    except (OverflowError, ValueError, OSError):  # a pushed commit may claim any time
        moment = datetime.fromtimestamp(0, UTC)
    return moment.isoformat(timespec="milliseconds")


def commit(found: Commit, project_url: str) -> CommitShape:
    sha = str(found.id)
    message = message_of(found)
    author, committer = found.author, found.committer
    written = git_time(committer)
    return CommitShape(
        id=sha,
        short_id=sha[:8],
        created_at=written,
        parent_ids=[str(parent) for parent in found.parent_ids],
        title=message.partition("\n")[0],
        message=message,
        author_name=name_of(author),
        author_email=email_of(author),
        authored_date=git_time(author),
        committer_name=name_of(committer),
        committer_email=email_of(committer),
        committed_date=written,
        trailers={},
        extended_trailers={},
        web_url=f"{project_url}/-/commit/{sha}",
    )


def stats(diffs: list[FileDiff]) -> Stats:
    added, removed = sum(d.added for d in diffs), sum(d.removed for d in diffs)
    return Stats(additions=added, deletions=removed, total=added + removed)


def branch(
    name: str,
    tip: Commit,
    project_url: str,
    *,
    default_branch: str,
    rules: list[sqlite3.Row],
    merged: bool,
    can_push: bool,
) -> Branch:
    return Branch(
        name=name,
        commit=commit(tip, project_url),
        merged=merged,
        protected=bool(rules),
        developers_can_push=any(0 < rule["push_level"] <= 30 for rule in rules),
        developers_can_merge=any(0 < rule["merge_level"] <= 30 for rule in rules),
        can_push=can_push,
        default=name == default_branch,
        web_url=f"{project_url}/-/tree/{name}",
    )


def tag(name: str, found: Tag | Commit, target: Commit, release: sqlite3.Row | None, url: str) -> TagShape:
    tagger = found.tagger if isinstance(found, Tag) else None
    return TagShape(
        name=name,
        message=(found.message or "").rstrip("\n") if isinstance(found, Tag) else "",
        target=str(found.id),
        commit=commit(target, url),
        release=None
        if release is None
        else TagRelease(tag_name=release["tag"], description=release["description"]),
        protected=False,
        created_at=git_time(tagger) if tagger is not None else None,
    )


def tree_entry(entry: Entry) -> TreeEntry:
    return TreeEntry(id=entry.id, name=entry.name, type=entry.kind, path=entry.path, mode=f"{entry.mode:06o}")


def file(entry: Entry, content: bytes, ref: str, commit_id: str, last_commit_id: str) -> File:
    return File(
        file_name=entry.name,
        file_path=entry.path,
        size=len(content),
        encoding="base64",
        content_sha256=hashlib.sha256(content).hexdigest(),
        ref=ref,
        blob_id=entry.id,
        commit_id=commit_id,
        last_commit_id=last_commit_id,
        execute_filemode=entry.mode == FileMode.BLOB_EXECUTABLE,
        content=base64.b64encode(content).decode(),
    )


def diff(found: FileDiff) -> Diff:
    return Diff(
        old_path=found.old_path,
        new_path=found.new_path,
        a_mode=f"{found.old_mode:o}",
        b_mode=f"{found.new_mode:o}",
        diff=found.text,
        new_file=found.status == "added",
        renamed_file=found.status == "renamed",
        deleted_file=found.status == "deleted",
        generated_file=False,
        collapsed=False,
        too_large=found.too_large,
    )


def blob(sha: str, content: bytes) -> Blob:
    return Blob(sha=sha, size=len(content), encoding="base64", content=base64.b64encode(content).decode())


def header_text(text: str) -> str:
    """What a header may hold: printable ASCII without quotes, the rest percent-encoded."""
    return quote(text, safe="!#$&'()*+,/:;=?@[]^_`{|}~ .-")
