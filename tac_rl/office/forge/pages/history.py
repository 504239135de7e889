"""Pages of commits, and comparisons."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pygit2 import Repository

from tac_rl.office.forge.errors import not_found
from tac_rl.office.forge.merging import merge_base
from tac_rl.office.forge.pages.rendering import page_of, project_at, render, split_ref
from tac_rl.office.forge.reading import FileDiff, HistoryQuery, commit_diff, diff_trees, find_commit, history
from tac_rl.office.forge.shapes.git import CommitShape, commit
from tac_rl.office.forge.web import Ask, Segment, reading

router = APIRouter(include_in_schema=False)
COMPARED = 200


@router.get("/{namespace}/{project}/-/commits")
@router.get("/{namespace}/{project}/-/commits/{rest:path}")
async def commits(
    ask: Ask, namespace: Segment, project: Segment, request: Request, rest: str = ""
) -> Response:
    row = project_at(ask, namespace, project)
    page = page_of(request)

    def read(repo: Repository) -> tuple[str, str, list[CommitShape]]:
        ref, path, tip = split_ref(repo, rest or row["default_branch"])
        query = HistoryQuery(path=path, text=request.query_params.get("search", ""))
        found = history(repo, [tip.id], query, skip=page.offset, limit=page.size + 1)
        return ref, path, [commit(one, "") for one in found]

    ref, path, found = await reading(ask, row, read)
    values: dict[str, Any] = {"commits": found[: page.size], "more": len(found) > page.size, "page": page}
    return render(ask, "commits.html", project=row, ref=ref, path=path, **values)


@router.get("/{namespace}/{project}/-/commit/{sha}")
async def show_commit(ask: Ask, namespace: Segment, project: Segment, sha: Segment) -> Response:
    row = project_at(ask, namespace, project)

    def read(repo: Repository) -> tuple[CommitShape, list[FileDiff]]:
        found = find_commit(repo, sha)
        if found is None:
            raise not_found("Commit")
        return commit(found, ""), commit_diff(found)

    found, diffs = await reading(ask, row, read)
    return render(ask, "commit.html", project=row, commit=found, diffs=diffs)


@router.get("/{namespace}/{project}/-/compare/{range}")
async def compare(ask: Ask, namespace: Segment, project: Segment, range: Segment) -> Response:
    row = project_at(ask, namespace, project)

    def read(repo: Repository) -> tuple[list[CommitShape], list[FileDiff]]:
        before, _, after = range.partition("...")
        start, end = find_commit(repo, before), find_commit(repo, after)
        if start is None or end is None:
            raise not_found("Revision")
        base_id = merge_base(repo, start, end)
        base = None if base_id is None else find_commit(repo, str(base_id))
        new = history(repo, [end.id], HistoryQuery(), hidden=[start.id], limit=COMPARED)
        return [commit(one, "") for one in new], diff_trees(None if base is None else base.tree, end.tree)

    found, diffs = await reading(ask, row, read)
    return render(ask, "compare.html", project=row, range=range, commits=found, diffs=diffs)
