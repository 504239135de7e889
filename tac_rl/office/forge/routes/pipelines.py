"""Pipelines, jobs and the check of CI files."""

import sqlite3
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from typing_extensions import TypedDict

from tac_rl.office.forge.ci import FILE, Linted, lint
from tac_rl.office.forge.errors import ForgeError, forbidden, not_found
from tac_rl.office.forge.reading import find_commit, read_file
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.shapes.git import commit
from tac_rl.office.forge.shapes.records import Job, Pipeline, job, pipeline
from tac_rl.office.forge.store import pipelines as store
from tac_rl.office.forge.store.access import Level, may_push
from tac_rl.office.forge.store.paging import Page
from tac_rl.office.forge.store.people import known
from tac_rl.office.forge.web import (
    NOTHING,
    PREFIX,
    Ask,
    Asking,
    GitLabRoute,
    Id,
    Paged,
    Params,
    Segment,
    answer,
    listing,
    no_content,
    returns,
    sliced,
)

router = APIRouter(prefix=PREFIX, route_class=GitLabRoute, tags=["pipelines"])
Status = Literal[
    "created", "waiting_for_resource", "preparing", "pending", "running", "success", "failed", "canceled",
    "skipped", "manual", "scheduled",
]  # fmt: skip


class NewPipeline(Params):
    ref: str


class Lint(Params):
    content: str
    dry_run: bool = False
    include_jobs: bool = False
    ref: str | None = None


class LintedJob(TypedDict):
    name: str
    stage: str


class LintResult(TypedDict, total=False):
    valid: bool
    errors: list[str]
    warnings: list[str]
    merged_yaml: str
    includes: list[Any]
    jobs: list[LintedJob]


@router.get("/projects/{id}/pipelines", **returns(list[Pipeline]))
async def list_pipelines(
    ask: Ask,
    id: Segment,
    page: Paged,
    status: Status | None = None,
    ref: str | None = None,
    sha: str | None = None,
    username: str | None = None,
    sort: Literal["asc", "desc"] = "desc",
) -> Response:
    """Newest first."""
    project = ask.project(id, setting="jobs_enabled")
    found = store.list_pipelines(
        ask.tenant,
        project["id"],
        page,
        status=status,
        ref=ref,
        sha=sha,
        username=None if username is None else known(username),
        ascending=sort == "asc",
    )
    shapes = [pipeline(ask.view, row, project["full_path"]) for row in found.rows]
    return listing(ask, shapes, page, found.total)


@router.post("/projects/{id}/pipeline", **returns(Pipeline, 201))
async def create_pipeline(ask: Ask, id: Segment, given: NewPipeline) -> Response:
    """For a branch or tag with a CI file. It stays pending: there are no runners."""
    project = ask.project(id, Level.DEVELOPER, setting="jobs_enabled")
    person = ask.user()
    if not may_push(ask.tenant, project, person, given.ref):
        raise forbidden()
    with ask.tenant.transaction():
        row = store.run_pipeline(ask.tenant, project["id"], person.username, given.ref, source="api")
    if row is None:
        raise ForgeError(400, {"base": [f"Missing CI config file ({FILE})"]})
    return answer(pipeline(ask.view, row, project["full_path"], details=True), 201)


@router.get("/projects/{id}/pipelines/latest", **returns(Pipeline))
async def latest_pipeline(ask: Ask, id: Segment, ref: str | None = None) -> Response:
    """Of a branch, by default the default branch."""
    project = ask.project(id, setting="jobs_enabled")
    for row in store.list_pipelines(
        ask.tenant, project["id"], Page(1, 1), ref=ref or project["default_branch"]
    ).rows:
        return answer(pipeline(ask.view, row, project["full_path"], details=True))
    raise forbidden()


@router.get("/projects/{id}/pipelines/{pipeline_id}", **returns(Pipeline))
async def get_pipeline(ask: Ask, id: Segment, pipeline_id: Id) -> Response:
    """One pipeline."""
    project, row = _find(ask, id, pipeline_id)
    return answer(pipeline(ask.view, row, project["full_path"], details=True))


@router.delete("/projects/{id}/pipelines/{pipeline_id}", **NOTHING)
async def delete_pipeline(ask: Ask, id: Segment, pipeline_id: Id) -> Response:
    """With its jobs."""
    _, row = _find(ask, id, pipeline_id, Level.OWNER)
    store.delete_pipeline(ask.tenant, row["id"])
    return no_content()


@router.post("/projects/{id}/pipelines/{pipeline_id}/cancel", **returns(Pipeline))
async def cancel_pipeline(ask: Ask, id: Segment, pipeline_id: Id) -> Response:
    """What isn't finished becomes canceled."""
    return _change(ask, id, pipeline_id, "canceled", ("created", "pending", "running"), 200)


@router.post("/projects/{id}/pipelines/{pipeline_id}/retry", **returns(Pipeline, 201))
async def retry_pipeline(ask: Ask, id: Segment, pipeline_id: Id) -> Response:
    """What failed or was canceled becomes pending."""
    return _change(ask, id, pipeline_id, "pending", ("failed", "canceled"), 201)


def _change(
    ask: Asking, key: str, pipeline_id: int, status: str, only: tuple[str, ...], code: int
) -> Response:
    project, row = _find(ask, key, pipeline_id, Level.DEVELOPER)
    changed = store.set_status(ask.tenant, row, status, only=only)
    return answer(pipeline(ask.view, changed, project["full_path"], details=True), code)


@router.get("/projects/{id}/pipelines/{pipeline_id}/jobs", **returns(list[Job]))
async def pipeline_jobs(
    ask: Ask, id: Segment, pipeline_id: Id, page: Paged, scope: Annotated[list[Status] | None, Query()] = None
) -> Response:
    """Of one pipeline."""
    project, row = _find(ask, id, pipeline_id)
    rows = [one for one in store.jobs_of(ask.tenant, row["id"]) if not scope or one["status"] in scope]
    return sliced(ask, _jobs(ask, project, rows), page)


@router.get("/projects/{id}/jobs", **returns(list[Job]))
async def list_jobs(
    ask: Ask, id: Segment, page: Paged, scope: Annotated[list[Status] | None, Query()] = None
) -> Response:
    """Of all pipelines, newest first."""
    project = ask.project(id, setting="jobs_enabled")
    found = store.list_jobs(ask.tenant, project["id"], page, scope=scope or ())
    return listing(ask, _jobs(ask, project, found.rows), page, found.total)


@router.get("/projects/{id}/jobs/{job_id}", **returns(Job))
async def get_job(ask: Ask, id: Segment, job_id: Id) -> Response:
    """One job."""
    project = ask.project(id, setting="jobs_enabled")
    row = store.find_job(ask.tenant, project["id"], job_id)
    if row is None:
        raise not_found()
    return answer(_jobs(ask, project, [row])[0])


def _jobs(ask: Asking, project: sqlite3.Row, rows: list[sqlite3.Row]) -> list[Job]:
    repo = open_repository(ask.tenant, project["id"])
    url = ask.view.project_url(project["full_path"])
    shapes = []
    for row in rows:
        of = store.find_pipeline(ask.tenant, project["id"], row["pipeline_id"])
        assert of is not None
        built = find_commit(repo, of["sha"])
        shapes.append(
            job(ask.view, row, of, project["full_path"], None if built is None else commit(built, url))
        )
    return shapes


@router.get("/projects/{id}/ci/lint", **returns(LintResult))
async def lint_project(
    ask: Ask, id: Segment, content_ref: str | None = None, sha: str | None = None, include_jobs: bool = False
) -> Response:
    """Check the project's CI file."""
    project = ask.project(id, Level.GUEST)
    repo = open_repository(ask.tenant, project["id"])
    built = find_commit(repo, content_ref or sha or project["default_branch"])
    found = None if built is None else read_file(repo, built, FILE)
    if found is None:
        return answer(_lint_result(Linted(["Please provide content of .gitlab-ci.yml"]), "", include_jobs))
    text = found[1].decode(errors="replace")
    return answer(_lint_result(lint(text), text, include_jobs))


@router.post("/projects/{id}/ci/lint", **returns(LintResult))
async def lint_content(ask: Ask, id: Segment, given: Lint) -> Response:
    """Check a text."""
    ask.project(id, Level.DEVELOPER)
    return answer(_lint_result(lint(given.content), given.content, given.include_jobs))


def _lint_result(found: Linted, text: str, jobs: bool) -> LintResult:
    result = LintResult(valid=found.valid, errors=found.errors, warnings=[], merged_yaml=text, includes=[])
    if jobs:
        result["jobs"] = [LintedJob(name=name, stage=stage) for name, stage in found.jobs]
    return result


def _find(
    ask: Asking, key: str, pipeline_id: int, level: Level | None = None
) -> tuple[sqlite3.Row, sqlite3.Row]:
    project = ask.project(key, level, setting="jobs_enabled")
    row = store.find_pipeline(ask.tenant, project["id"], pipeline_id)
    if row is None:
        raise not_found()
    return project, row
