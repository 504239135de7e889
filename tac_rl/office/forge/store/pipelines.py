"""Pipelines and jobs, as records: nothing runs here."""

import sqlite3
from collections.abc import Sequence

from tac_rl.office.forge.ci import FILE, lint
from tac_rl.office.forge.clock import stamp
from tac_rl.office.forge.errors import ForgeError, bad_request
from tac_rl.office.forge.reading import find_commit, read_file
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.store.paging import Found, Page, select_page
from tac_rl.office.tenant import Tenant

FINISHED = ("success", "failed", "canceled", "skipped")


def list_pipelines(
    tenant: Tenant,
    project_id: int,
    page: Page,
    *,
    status: str | None = None,
    ref: str | None = None,
    sha: str | None = None,
    username: str | None = None,
    ascending: bool = False,
) -> Found:
    """Newest first unless `ascending`."""
    where, arguments = ["project_id = ?"], list[object]([project_id])
    for column, value in (("status", status), ("ref", ref), ("sha", sha), ("username", username)):
        if value is not None:
            where.append(f"{column} = ?")
            arguments.append(value)
    order = "id ASC" if ascending else "id DESC"
    return select_page(
        tenant, "*", f"FROM forge_pipelines WHERE {' AND '.join(where)}", arguments, order, page
    )


def find_pipeline(tenant: Tenant, project_id: int, pipeline_id: int) -> sqlite3.Row | None:
    return tenant.row(
        "SELECT * FROM forge_pipelines WHERE project_id = ? AND id = ?", project_id, pipeline_id
    )


def add_pipeline(
    tenant: Tenant,
    project_id: int,
    username: str,
    *,
    ref: str,
    sha: str,
    status: str,
    source: str = "push",
    jobs: Sequence[tuple[str, str]] = (("test", "test"),),
    at: str | None = None,
) -> sqlite3.Row:
    """A pipeline and its jobs (name, stage), all of one status."""
    now = at or stamp(tenant.now())
    begun = None if status in ("pending", "created", "skipped") else now
    ended = now if status in FINISHED else None
    iid = tenant.value(
        "UPDATE forge_projects SET next_pipeline = next_pipeline + 1 WHERE id = ? RETURNING next_pipeline - 1",
        project_id,
    )
    made = tenant.row(
        "INSERT INTO forge_pipelines (project_id, iid, ref, sha, status, source, username, created_at,"
        " updated_at, started_at, finished_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        *(project_id, iid, ref, sha, status, source, username, now, now, begun, ended),
    )
    assert made is not None
    tenant.db.executemany(
        "INSERT INTO forge_jobs (pipeline_id, name, stage, status, created_at, started_at, finished_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(made["id"], name, stage, status, now, begun, ended) for name, stage in jobs],
    )
    return made


def run_pipeline(
    tenant: Tenant, project_id: int, username: str, ref: str, *, source: str
) -> sqlite3.Row | None:
    """A pending pipeline for a branch or tag (no runner ever takes it), as its CI file says.

    None where there is no CI file; 400 where it is wrong.
    """
    repo = open_repository(tenant, project_id)
    commit = find_commit(repo, ref)
    if commit is None:
        raise bad_request("Reference not found")
    found = read_file(repo, commit, FILE)
    if found is None:
        return None
    linted = lint(found[1].decode(errors="replace"))
    if not linted.valid:
        raise ForgeError(400, {"base": linted.errors})
    return add_pipeline(
        tenant,
        project_id,
        username,
        ref=ref,
        sha=str(commit.id),
        status="pending",
        source=source,
        jobs=linted.jobs,
    )


def jobs_of(tenant: Tenant, pipeline_id: int) -> list[sqlite3.Row]:
    """Latest first, as GitLab lists them."""
    return tenant.rows("SELECT * FROM forge_jobs WHERE pipeline_id = ? ORDER BY id DESC", pipeline_id)


def list_jobs(tenant: Tenant, project_id: int, page: Page, *, scope: Sequence[str] = ()) -> Found:
    where = ["n.project_id = ?"]
    if scope:
        where.append(f"j.status IN ({', '.join('?' * len(scope))})")
    body = f"FROM forge_jobs j JOIN forge_pipelines n ON n.id = j.pipeline_id WHERE {' AND '.join(where)}"
    return select_page(tenant, "j.*", body, [project_id, *scope], "j.id DESC", page)


def find_job(tenant: Tenant, project_id: int, job_id: int) -> sqlite3.Row | None:
    return tenant.row(
        "SELECT j.* FROM forge_jobs j JOIN forge_pipelines n ON n.id = j.pipeline_id"
        " WHERE n.project_id = ? AND j.id = ?",
        project_id,
        job_id,
    )


def set_status(tenant: Tenant, pipeline: sqlite3.Row, status: str, *, only: Sequence[str]) -> sqlite3.Row:
    """Cancel or retry: jobs with one of the statuses in `only` get the new one, and so does the pipeline."""
    now = stamp(tenant.now())
    ended = now if status in FINISHED else None
    marks = ", ".join("?" * len(only))
    with tenant.transaction() as db:
        db.execute(
            f"UPDATE forge_jobs SET status = ?, finished_at = ? WHERE pipeline_id = ? AND status IN ({marks})",
            (status, ended, pipeline["id"], *only),
        )
        db.execute(
            "UPDATE forge_pipelines SET updated_at = ?, status = CASE WHEN status IN"
            f" ({marks}) THEN ? ELSE status END, finished_at = ? WHERE id = ?",
            (now, *only, status, ended, pipeline["id"]),
        )
    found = find_pipeline(tenant, pipeline["project_id"], pipeline["id"])
    assert found is not None
    return found


def delete_pipeline(tenant: Tenant, pipeline_id: int) -> None:
    tenant.db.execute("DELETE FROM forge_pipelines WHERE id = ?", (pipeline_id,))
