"""Trees, files, blobs, archives."""

import asyncio
import hashlib
import sqlite3
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pygit2 import Blob, Commit, Repository

from tac_rl.office.forge.committing import Action, signature
from tac_rl.office.forge.errors import not_found
from tac_rl.office.forge.git_process import run_git
from tac_rl.office.forge.reading import Entry, find_commit, find_entry, last_commit_of, list_tree, read_file
from tac_rl.office.forge.repositories import open_repository, repository_folder
from tac_rl.office.forge.routes.commits import decoded
from tac_rl.office.forge.shapes import git as shapes
from tac_rl.office.forge.shapes.git import Blob as BlobShape
from tac_rl.office.forge.shapes.git import File, FileWritten, TreeEntry
from tac_rl.office.forge.store.access import Level
from tac_rl.office.forge.store.branches import commit_files
from tac_rl.office.forge.web import (
    NOTHING,
    PREFIX,
    Ask,
    Asking,
    GitLabRoute,
    Paged,
    Params,
    Segment,
    answer,
    no_content,
    reading,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["files"])
ARCHIVES = {
    "tar.gz": "application/gzip",
    "tgz": "application/gzip",
    "tar": "application/x-tar",
    "zip": "application/zip",
}
_RAW: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}, "text/plain": {}}, "description": "The bytes"}
}
_PACKED: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in ARCHIVES.values()}, "description": "The archive"}
}


class WrittenFile(Params):
    branch: str
    commit_message: str
    content: str
    encoding: Literal["text", "base64"] = "text"
    start_branch: str | None = None
    author_email: str | None = None
    author_name: str | None = None
    last_commit_id: str | None = None
    execute_filemode: bool | None = None


class DeletedFile(Params):
    branch: str
    commit_message: str
    start_branch: str | None = None
    author_email: str | None = None
    author_name: str | None = None
    last_commit_id: str | None = None


@router.get("/projects/{id}/repository/tree", **returns(list[TreeEntry]))
async def tree(
    ask: Ask, id: Segment, page: Paged, path: str = "", ref: str | None = None, recursive: bool = False
) -> Response:
    """A folder; with `recursive` all below it."""
    project = ask.project(id)

    def read(repo: Repository) -> list[TreeEntry] | None:
        commit = find_commit(repo, ref or project["default_branch"])
        found = None if commit is None else list_tree(repo, commit, path, recursive=recursive)
        return None if found is None else [shapes.tree_entry(entry) for entry in found]

    found = (
        await reading(ask, project, read) if recursive else read(open_repository(ask.tenant, project["id"]))
    )
    if found is None:
        raise not_found("Tree" if not ref and not path else "invalid revision or path")
    return sliced(ask, list(found), page)


@router.get("/projects/{id}/repository/files/{file_path}", **returns(File))
async def get_file(ask: Ask, id: Segment, file_path: Segment, ref: str | None = None) -> Response:
    """Content and facts (these as headers too, for HEAD); the path with slashes encoded."""
    project = ask.project(id)
    shape = await reading(ask, project, lambda repo: _file(repo, project, file_path, ref))
    facts = {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in shape.items()
    }
    del facts["content"]
    headers = {
        f"X-Gitlab-{key.replace('_', ' ').title().replace(' ', '-')}": shapes.header_text(value)
        for key, value in facts.items()
    }
    return answer(shape, headers=headers)


def _file(repo: Repository, project: sqlite3.Row, path: str, ref: str | None) -> File:
    commit, entry, content = _content(repo, project, path, ref)
    last = last_commit_of(repo, commit, path)
    return shapes.file(entry, content, ref or project["default_branch"], str(commit.id), str(last.id))


def _content(
    repo: Repository, project: sqlite3.Row, path: str, ref: str | None
) -> tuple[Commit, Entry, bytes]:
    commit = find_commit(repo, ref or project["default_branch"])
    if commit is None:
        raise not_found("Commit")
    found = read_file(repo, commit, path)
    if found is None:
        raise not_found("File")
    return commit, *found


@router.get("/projects/{id}/repository/files/{file_path}/raw", responses=_RAW, response_class=Response)
async def raw_file(ask: Ask, id: Segment, file_path: Segment, ref: str | None = None) -> Response:
    """The content alone."""
    project = ask.project(id)
    commit, entry, content = _content(open_repository(ask.tenant, project["id"]), project, file_path, ref)
    headers = {
        "X-Gitlab-Blob-Id": entry.id,
        "X-Gitlab-Commit-Id": str(commit.id),
        "X-Gitlab-Ref": shapes.header_text(ref or project["default_branch"]),
        "X-Gitlab-Size": str(len(content)),
        "X-Gitlab-Content-Sha256": hashlib.sha256(content).hexdigest(),
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": "inline",
    }
    return Response(content, headers=headers, media_type=raw_type(content))


def raw_type(content: bytes) -> str:
    """Nothing that a browser would run: text, or plain bytes."""
    return "application/octet-stream" if b"\0" in content[:8000] else "text/plain; charset=utf-8"


@router.post("/projects/{id}/repository/files/{file_path}", **returns(FileWritten, 201))
async def create_file(ask: Ask, id: Segment, file_path: Segment, given: WrittenFile) -> Response:
    """A commit with a new file."""
    return _write(ask, id, "create", file_path, given, 201)


@router.put("/projects/{id}/repository/files/{file_path}", **returns(FileWritten))
async def update_file(ask: Ask, id: Segment, file_path: Segment, given: WrittenFile) -> Response:
    """A commit with a changed file."""
    return _write(ask, id, "update", file_path, given, 200)


@router.delete("/projects/{id}/repository/files/{file_path}", **NOTHING)
async def delete_file(ask: Ask, id: Segment, file_path: Segment, given: DeletedFile) -> Response:
    """A commit without the file."""
    _commit(ask, id, Action("delete", file_path, last_commit_id=given.last_commit_id or ""), given)
    return no_content()


def _write(
    ask: Asking, key: str, kind: Literal["create", "update"], path: str, given: WrittenFile, status: int
) -> Response:
    action = Action(
        kind,
        path,
        decoded(given.content, given.encoding),
        executable=given.execute_filemode,
        last_commit_id=given.last_commit_id or "",
    )
    _commit(ask, key, action, given)
    return answer(FileWritten(file_path=path, branch=given.branch), status)


def _commit(ask: Asking, key: str, action: Action, given: WrittenFile | DeletedFile) -> None:
    project = ask.project(key, Level.DEVELOPER)
    person = ask.user()
    author = None
    if given.author_email or given.author_name:
        author = signature(
            given.author_name or person.name, given.author_email or person.email, ask.tenant.now()
        )
    commit_files(
        ask.tenant,
        project,
        person,
        branch=given.branch,
        message=given.commit_message,
        actions=[action],
        author=author,
        start_branch=given.start_branch,
    )


@router.get("/projects/{id}/repository/blobs/{sha}", **returns(BlobShape))
async def get_blob(ask: Ask, id: Segment, sha: Segment) -> Response:
    """By its id."""
    content = _blob(ask, id, sha)
    return answer(shapes.blob(sha, content))


@router.get("/projects/{id}/repository/blobs/{sha}/raw", responses=_RAW, response_class=Response)
async def raw_blob(ask: Ask, id: Segment, sha: Segment) -> Response:
    """The bytes alone."""
    content = _blob(ask, id, sha)
    return Response(content, headers={"X-Content-Type-Options": "nosniff"}, media_type=raw_type(content))


def _blob(ask: Asking, key: str, sha: str) -> bytes:
    repo = open_repository(ask.tenant, ask.project(key)["id"])
    full = len(sha) == 40 and all(digit in "0123456789abcdef" for digit in sha)
    found = repo.get(sha) if full else None
    if not isinstance(found, Blob):
        raise not_found("Blob")
    return found.data


@router.get("/projects/{id}/repository/{archive_name}", responses=_PACKED, response_class=Response)
async def archive(
    ask: Ask,
    id: Segment,
    archive_name: Literal["archive", "archive.tar.gz", "archive.tgz", "archive.tar", "archive.zip"],
    sha: str | None = None,
    path: Annotated[str, Query()] = "",
) -> Response:
    """All files of a commit, packed."""
    project = ask.project(id)
    kind = archive_name.partition(".")[2] or "tar.gz"
    return await packed(ask, project, sha or project["default_branch"], kind, path)


async def packed(ask: Asking, project: sqlite3.Row, ref: str, kind: str, path: str = "") -> Response:
    """An archive as an answer; 404 for what isn't there."""
    repo = open_repository(ask.tenant, project["id"])
    commit = find_commit(repo, ref)
    if commit is None or kind not in ARCHIVES:
        raise not_found("File")
    name = f"{project['path']}-{ref.replace('/', '-')}"
    wanted = [path.strip("/")] if path.strip("/") else []
    if find_entry(repo, commit, path) is None:
        raise not_found("File")
    arguments = ["archive", f"--format={kind}", f"--prefix={name}/", str(commit.id), "--", *wanted]
    content = await asyncio.to_thread(run_git, arguments, repository_folder(ask.tenant, project["id"]))
    disposition = f'attachment; filename="{shapes.header_text(name)}.{kind}"'
    return Response(content, headers={"Content-Disposition": disposition}, media_type=ARCHIVES[kind])
