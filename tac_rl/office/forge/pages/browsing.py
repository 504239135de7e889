"""A project's front page, files, branches, members, pipelines."""

import mimetypes
from typing import Any

from fastapi import APIRouter, Request, Response

from tac_rl.office.forge.errors import not_found
from tac_rl.office.forge.pages.rendering import go, page_of, project_at, render, split_ref, text_of
from tac_rl.office.forge.reading import (
    branch_names,
    branch_tip,
    find_commit,
    list_tree,
    message_of,
    read_file,
    tag_names,
)
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.routes.files import packed, raw_type
from tac_rl.office.forge.store import pipelines, releases
from tac_rl.office.forge.store.access import may_see, protections_of
from tac_rl.office.forge.store.members import list_members
from tac_rl.office.forge.store.projects import find_project
from tac_rl.office.forge.web import Ask, Segment

router = APIRouter(include_in_schema=False)
last = APIRouter(include_in_schema=False)
"""Of an address so wide that all others come first."""
_KINDS = frozenset(
    ("tree", "blob", "raw", "commits", "commit", "branches", "tags", "releases", "issues", "labels", "milestones",
     "merge_requests", "wikis", "pipelines", "project_members", "compare")
)  # fmt: skip


@router.get("/{namespace}/{project}")
async def front(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project)
    repo = open_repository(ask.tenant, row["id"])
    tip = branch_tip(repo, row["default_branch"])
    entries = [] if tip is None else list_tree(repo, tip, "", recursive=False)
    found = None if tip is None or row["readme"] is None else read_file(repo, tip, row["readme"])
    return render(
        ask,
        "project.html",
        project=row,
        ref=row["default_branch"],
        path="",
        entries=entries,
        tip=tip,
        subject=None if tip is None else message_of(tip).partition("\n")[0],
        readme=None if found is None else text_of(found[1]),
        stars=ask.tenant.value("SELECT count(*) FROM forge_stars WHERE project_id = ?", row["id"]),
    )


@router.get("/{namespace}/{project}/-/tree/{rest:path}")
async def tree(ask: Ask, namespace: Segment, project: Segment, rest: str) -> Response:
    row = project_at(ask, namespace, project)
    repo = open_repository(ask.tenant, row["id"])
    ref, path, commit = split_ref(repo, rest)
    entries = list_tree(repo, commit, path, recursive=False)
    if entries is None:
        raise not_found("Folder")
    return render(ask, "tree.html", project=row, ref=ref, path=path, entries=entries)


@router.get("/{namespace}/{project}/-/blob/{rest:path}")
async def blob(ask: Ask, namespace: Segment, project: Segment, rest: str) -> Response:
    row = project_at(ask, namespace, project)
    repo = open_repository(ask.tenant, row["id"])
    ref, path, commit = split_ref(repo, rest)
    found = read_file(repo, commit, path)
    if found is None:
        raise not_found("File")
    on_branch = branch_tip(repo, ref) is not None
    values: dict[str, Any] = {"text": text_of(found[1]), "size": len(found[1]), "on_branch": on_branch}
    return render(ask, "blob.html", project=row, ref=ref, path=path, **values)


@router.get("/{namespace}/{project}/-/raw/{rest:path}")
async def raw(ask: Ask, namespace: Segment, project: Segment, rest: str) -> Response:
    row = project_at(ask, namespace, project)
    repo = open_repository(ask.tenant, row["id"])
    _, path, commit = split_ref(repo, rest)
    found = read_file(repo, commit, path)
    if found is None:
        raise not_found("File")
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return Response(found[1], headers=headers, media_type=raw_type(found[1]))


@router.get("/{namespace}/{project}/-/archive/{ref}/{name}")
async def archive(ask: Ask, namespace: Segment, project: Segment, ref: Segment, name: Segment) -> Response:
    kinds = [kind for kind in ("tar.gz", "zip", "tar") if name.endswith(f".{kind}")]
    if not kinds:
        raise not_found("File")
    return await packed(ask, project_at(ask, namespace, project), ref, kinds[0])


@router.get("/{namespace}/{project}/-/branches")
async def branches(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project)
    repo = open_repository(ask.tenant, row["id"])
    found = [
        (name, tip, message_of(tip).partition("\n")[0], bool(protections_of(ask.tenant, row["id"], name)))
        for name in branch_names(repo)
        if (tip := branch_tip(repo, name)) is not None
    ]
    return render(ask, "branches.html", project=row, branches=found)


@router.get("/{namespace}/{project}/-/tags")
async def tags(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project)
    repo = open_repository(ask.tenant, row["id"])
    found = [
        (name, commit, message_of(commit).partition("\n")[0])
        for name in tag_names(repo)
        if (commit := find_commit(repo, f"refs/tags/{name}")) is not None
    ]
    return render(ask, "tags.html", project=row, tags=found)


@router.get("/{namespace}/{project}/-/releases")
async def list_releases(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project)
    found = releases.list_releases(ask.tenant, row["id"])
    return render(ask, "releases.html", project=row, releases=found)


@router.get("/{namespace}/{project}/-/project_members")
async def members(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project)
    found = list_members(ask.tenant, [("project", row["id"]), ("group", row["namespace_id"])])
    return render(ask, "members.html", project=row, members=found)


@router.get("/{namespace}/{project}/-/pipelines")
async def list_pipelines(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row = project_at(ask, namespace, project)
    page = page_of(request)
    found = pipelines.list_pipelines(ask.tenant, row["id"], page)
    return render(ask, "pipelines.html", project=row, found=found, page=page)


@router.get("/{namespace}/{project}/-/pipelines/{pipeline_id}")
async def show_pipeline(ask: Ask, namespace: Segment, project: Segment, pipeline_id: int) -> Response:
    row = project_at(ask, namespace, project)
    found = pipelines.find_pipeline(ask.tenant, row["id"], min(pipeline_id, 2**31))
    if found is None:
        raise not_found("Pipeline")
    jobs = pipelines.jobs_of(ask.tenant, found["id"])
    return render(ask, "pipeline.html", project=row, pipeline=found, jobs=jobs)


@router.get("/uploads/-/system/project/avatar/{project_id}/{name}")
async def avatar(ask: Ask, project_id: int, name: Segment) -> Response:
    row = find_project(ask.tenant, project_id) if 0 < project_id < 2**31 else None
    found = ask.tenant.row("SELECT * FROM forge_avatars WHERE project_id = ?", row["id"]) if row else None
    if row is None or found is None or found["filename"] != name or not may_see(ask.tenant, row, ask.person):
        raise not_found()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return Response(found["content"], headers=headers, media_type=kind)


@last.get("/{namespace}/{project}/{kind}")
@last.get("/{namespace}/{project}/{kind}/{rest:path}")
async def old_address(
    ask: Ask, request: Request, namespace: Segment, project: Segment, kind: str
) -> Response:
    """Addresses without `/-/`, as GitLab once had them."""
    if kind not in _KINDS:
        raise not_found()
    row = project_at(ask, namespace, project)
    after = request.url.path.split("/", 3)[3]
    query = f"?{request.url.query}" if request.url.query else ""
    return go(f"/{row['full_path']}/-/{after}{query}")
