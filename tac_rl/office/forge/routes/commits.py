"""Commits: list, get, make, compare, pick."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from pygit2 import Commit, Repository
from typing_extensions import TypedDict

from tac_rl.office.forge.committing import Action, signature
from tac_rl.office.forge.errors import bad_request, not_found
from tac_rl.office.forge.merging import merge_base
from tac_rl.office.forge.reading import (
    HistoryQuery,
    branch_names,
    branch_tip,
    commit_diff,
    diff_trees,
    email_of,
    find_commit,
    history,
    name_of,
    tag_names,
)
from tac_rl.office.forge.shapes import git as shapes
from tac_rl.office.forge.shapes.git import CommitShape, Comparison, Contributor, Diff
from tac_rl.office.forge.shapes.merge_requests import MergeRequest, merge_requests
from tac_rl.office.forge.store.access import Level
from tac_rl.office.forge.store.branches import commit_files, pick_commit
from tac_rl.office.forge.store.merge_requests import MergeRequestQuery, list_merge_requests
from tac_rl.office.forge.store.paging import EVERYTHING
from tac_rl.office.forge.web import (
    PREFIX,
    Ask,
    Asking,
    GitLabRoute,
    Paged,
    Params,
    Segment,
    answer,
    listing,
    reading,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["commits"])
COMPARED = 500
"""The most commits of a comparison."""
COUNTED = 20_000
"""The most commits that contributors are counted over."""


class GivenAction(BaseModel):
    """What a commit does to one file."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    action: Literal["create", "delete", "move", "update", "chmod"]
    file_path: str
    previous_path: str | None = None
    content: str | None = None
    encoding: Literal["text", "base64"] = "text"
    last_commit_id: str | None = None
    execute_filemode: bool | None = None


class NewCommit(Params):
    branch: str
    commit_message: str
    actions: list[GivenAction] = Field(default_factory=list, max_length=2000)
    start_branch: str | None = None
    start_sha: str | None = None
    author_email: str | None = None
    author_name: str | None = None
    force: bool = False
    stats: bool = True


class Pick(Params):
    branch: str


class Ref(TypedDict):
    type: str
    name: str


@router.get("/projects/{id}/repository/commits", **returns(list[CommitShape]))
async def list_commits(
    ask: Ask,
    id: Segment,
    page: Paged,
    ref_name: str | None = None,
    path: str = "",
    author: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    all: bool = False,
    with_stats: bool = False,
    first_parent: bool = False,
    order: Literal["default", "topo"] = "default",
) -> Response:
    """Newest first; of the default branch unless `ref_name` or `all` is given. `a..b` is a range."""
    project = ask.project(id)
    url = ask.view.project_url(project["full_path"])
    query = HistoryQuery(
        path=path,
        author=author,
        since=since,
        until=until,
        first_parent=first_parent,
        topological=order == "topo",
    )

    def read(repo: Repository) -> list[CommitShape] | None:
        hidden: list[Any] = []
        if all:
            tips = [tip for name in branch_names(repo) if (tip := branch_tip(repo, name)) is not None]
        else:
            name = ref_name or project["default_branch"]
            before, dots, after = name.partition("..")
            tip = find_commit(repo, after.lstrip(".") if dots else name)
            start = find_commit(repo, before) if dots else None
            if tip is None or (dots and start is None):
                return [] if project["is_empty"] else None
            tips, hidden = [tip], [start.id] if start is not None else []
        found = history(
            repo, [tip.id for tip in tips], query, hidden=hidden, skip=page.offset, limit=page.size + 1
        )
        return [_with_stats(one, url, with_stats) for one in found]

    found = await reading(ask, project, read)
    if found is None:
        raise not_found("Repository")
    return listing(ask, list(found[: page.size]), page, None, more=len(found) > page.size)


def _with_stats(found: Commit, url: str, stats: bool) -> CommitShape:
    shape = shapes.commit(found, url)
    if stats:
        shape["stats"] = shapes.stats(commit_diff(found))
    return shape


@router.post("/projects/{id}/repository/commits", **returns(CommitShape, 201))
async def create_commit(ask: Ask, id: Segment, given: NewCommit) -> Response:
    """Several actions in one commit."""
    project = ask.project(id, Level.DEVELOPER)
    person = ask.user()
    author = None
    if given.author_email or given.author_name:
        author = signature(
            given.author_name or person.name, given.author_email or person.email, ask.tenant.now()
        )
    commit = commit_files(
        ask.tenant,
        project,
        person,
        branch=given.branch,
        message=given.commit_message,
        actions=[_action(action) for action in given.actions],
        author=author,
        start_branch=given.start_branch,
        start_sha=given.start_sha,
        force=given.force,
    )
    shape = _with_stats(commit, ask.view.project_url(project["full_path"]), given.stats)
    shape["project_id"] = project["id"]
    return answer(shape, 201)


def _action(given: GivenAction) -> Action:
    if given.action == "move" and not given.previous_path:
        raise bad_request("actions[previous_path] is missing")
    content = None if given.content is None else decoded(given.content, given.encoding)
    if given.action in ("create", "update") and content is None:
        content = b""
    return Action(
        kind=given.action,
        path=given.file_path.lstrip("/"),
        content=content,
        previous_path=(given.previous_path or "").lstrip("/"),
        executable=given.execute_filemode,
        last_commit_id=given.last_commit_id or "",
    )


def decoded(content: str, encoding: str) -> bytes:
    """Bytes of a file as it was sent; 400 for wrong base64."""
    if encoding != "base64":
        return content.encode()
    try:
        return base64.b64decode(content)
    except (binascii.Error, ValueError) as error:
        raise bad_request("content is not valid base64") from error


@router.get("/projects/{id}/repository/commits/{sha}", **returns(CommitShape))
async def get_commit(ask: Ask, id: Segment, sha: Segment, stats: bool = True) -> Response:
    """By id, branch or tag."""
    project = ask.project(id)
    url = ask.view.project_url(project["full_path"])
    shape = await reading(ask, project, lambda repo: _with_stats(_commit(repo, sha), url, stats))
    shape["status"] = None
    shape["project_id"] = project["id"]
    shape["last_pipeline"] = None
    return answer(shape)


@router.get("/projects/{id}/repository/commits/{sha}/diff", **returns(list[Diff]))
async def get_diff(ask: Ask, id: Segment, sha: Segment, page: Paged) -> Response:
    """Against its first parent, by file."""
    project = ask.project(id)
    found = await reading(
        ask, project, lambda repo: [shapes.diff(one) for one in commit_diff(_commit(repo, sha))]
    )
    return sliced(ask, list(found), page)


@router.get("/projects/{id}/repository/commits/{sha}/refs", **returns(list[Ref]))
async def get_refs(
    ask: Ask, id: Segment, sha: Segment, page: Paged, type: Literal["branch", "tag", "all"] = "all"
) -> Response:
    """Branches and tags that contain it."""
    project = ask.project(id)

    def read(repo: Repository) -> list[Ref]:
        wanted = _commit(repo, sha).id
        named = [("branch", f"refs/heads/{name}", name) for name in branch_names(repo) if type != "tag"]
        named += [("tag", f"refs/tags/{name}", name) for name in tag_names(repo) if type != "branch"]
        found = []
        for kind, ref, name in named:
            tip = find_commit(repo, ref)
            if tip is not None and (tip.id == wanted or repo.descendant_of(tip.id, wanted)):
                found.append(Ref(type=kind, name=name))
        return found

    return sliced(ask, list(await reading(ask, project, read)), page)


@router.get("/projects/{id}/repository/commits/{sha}/merge_requests", **returns(list[MergeRequest]))
async def commit_merge_requests(ask: Ask, id: Segment, sha: Segment, page: Paged) -> Response:
    """Merge requests of which it is the head or the merge commit."""
    project = ask.project(id)
    wanted = await reading(ask, project, lambda repo: str(_commit(repo, sha).id))
    found = list_merge_requests(ask.tenant, ask.person, MergeRequestQuery(), EVERYTHING, project=project)
    rows = [row for row in found.rows if wanted in (row["head_sha"], row["merge_commit_sha"])]
    return sliced(ask, list(merge_requests(ask.view, rows)), page)


@router.post("/projects/{id}/repository/commits/{sha}/cherry_pick", **returns(CommitShape, 201))
async def cherry_pick(ask: Ask, id: Segment, sha: Segment, given: Pick) -> Response:
    """Apply it to another branch."""
    return _pick(ask, id, sha, given.branch, revert=False)


@router.post("/projects/{id}/repository/commits/{sha}/revert", **returns(CommitShape, 201))
async def revert(ask: Ask, id: Segment, sha: Segment, given: Pick) -> Response:
    """Undo it on a branch."""
    return _pick(ask, id, sha, given.branch, revert=True)


def _pick(ask: Asking, key: str, sha: str, branch: str, *, revert: bool) -> Response:
    project = ask.project(key, Level.DEVELOPER)
    made = pick_commit(ask.tenant, project, ask.user(), sha, branch, revert=revert)
    return answer(shapes.commit(made, ask.view.project_url(project["full_path"])), 201)


@router.get("/projects/{id}/repository/compare", **returns(Comparison))
async def compare(
    ask: Ask,
    id: Segment,
    from_: Annotated[str, Query(alias="from")],
    to: Annotated[str, Query()],
    straight: bool = False,
) -> Response:
    """What `to` has that `from` hasn't, since they parted (or, `straight`, in all)."""
    project = ask.project(id)
    url = ask.view.project_url(project["full_path"])

    def read(repo: Repository) -> Comparison | None:
        start, end = find_commit(repo, from_), find_commit(repo, to)
        if start is None or end is None:
            return None
        base_id = start.id if straight else merge_base(repo, start, end)
        base = None if base_id is None else find_commit(repo, str(base_id))
        commits = history(repo, [end.id], HistoryQuery(), hidden=[start.id], limit=COMPARED)
        return Comparison(
            commit=shapes.commit(end, url) if commits else None,
            commits=[shapes.commit(one, url) for one in reversed(commits)],
            diffs=[shapes.diff(one) for one in diff_trees(None if base is None else base.tree, end.tree)],
            compare_timeout=False,
            compare_same_ref=from_ == to,
            web_url=f"{url}/-/compare/{from_}...{to}",
        )

    found = await reading(ask, project, read)
    if found is None:
        raise not_found("Ref")
    return answer(found)


@router.get("/projects/{id}/repository/contributors", **returns(list[Contributor]))
async def contributors(
    ask: Ask,
    id: Segment,
    page: Paged,
    ref: str | None = None,
    order_by: Literal["name", "email", "commits"] = "commits",
    sort: Literal["asc", "desc"] = "asc",
) -> Response:
    """Authors of commits, by e-mail address."""
    project = ask.project(id)

    def read(repo: Repository) -> list[Contributor]:
        tip = find_commit(repo, ref or project["default_branch"])
        counted: dict[str, Contributor] = {}
        for commit in history(repo, [tip.id], HistoryQuery(), limit=COUNTED) if tip is not None else ():
            name, email = name_of(commit.author), email_of(commit.author)
            fresh = Contributor(name=name, email=email, commits=0, additions=0, deletions=0)
            counted.setdefault(email, fresh)["commits"] += 1
        return list(counted.values())

    found = await reading(ask, project, read)
    found.sort(key=lambda one: (one[order_by], one["email"]), reverse=sort == "desc")
    return sliced(ask, list(found), page)


def _commit(repo: Repository, sha: str) -> Commit:
    found = find_commit(repo, sha)
    if found is None:
        raise not_found("Commit")
    return found
