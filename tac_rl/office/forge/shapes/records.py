"""Releases, wiki pages, pipelines, jobs, events."""

import json
import sqlite3
from typing import Any, NotRequired

from typing_extensions import TypedDict

from tac_rl.office.forge.clock import moment_of
from tac_rl.office.forge.shapes.git import CommitShape
from tac_rl.office.forge.shapes.view import UserBasic, View
from tac_rl.office.forge.store.people import shown


class Source(TypedDict):
    format: str
    url: str


class Assets(TypedDict):
    count: int
    sources: list[Source]
    links: list[Any]


class ReleaseLinks(TypedDict):
    self: str
    edit_url: str
    closed_issues_url: str
    closed_merge_requests_url: str
    merged_merge_requests_url: str
    opened_issues_url: str
    opened_merge_requests_url: str


class Release(TypedDict):
    tag_name: str
    name: str
    description: str
    created_at: str
    released_at: str
    upcoming_release: bool
    author: UserBasic
    commit: CommitShape | None
    commit_path: str | None
    tag_path: str
    assets: Assets
    evidences: list[Any]
    _links: ReleaseLinks


class WikiPage(TypedDict):
    format: str
    slug: str
    title: str
    wiki_page_meta_id: int | None
    content: NotRequired[str]
    encoding: NotRequired[str]
    front_matter: NotRequired[dict[str, Any]]


class Pipeline(TypedDict):
    id: int
    iid: int
    project_id: int
    sha: str
    ref: str
    status: str
    source: str
    created_at: str
    updated_at: str
    web_url: str
    name: str | None
    before_sha: NotRequired[str]
    tag: NotRequired[bool]
    yaml_errors: NotRequired[str | None]
    user: NotRequired[UserBasic]
    started_at: NotRequired[str | None]
    finished_at: NotRequired[str | None]
    committed_at: NotRequired[str | None]
    duration: NotRequired[float | None]
    queued_duration: NotRequired[float | None]
    coverage: NotRequired[str | None]
    detailed_status: NotRequired[dict[str, Any]]


class Job(TypedDict):
    id: int
    status: str
    stage: str
    name: str
    ref: str
    tag: bool
    coverage: float | None
    allow_failure: bool
    created_at: str
    started_at: str | None
    finished_at: str | None
    erased_at: str | None
    duration: float | None
    queued_duration: float | None
    user: UserBasic
    commit: CommitShape | None
    pipeline: Pipeline
    web_url: str
    artifacts: list[Any]
    artifacts_expire_at: str | None
    runner: dict[str, Any] | None
    tag_list: list[str]


class Event(TypedDict):
    id: int
    project_id: int
    action_name: str
    target_id: int | None
    target_iid: int | None
    target_type: str | None
    author_id: int
    target_title: str | None
    created_at: str
    author: UserBasic
    author_username: str
    imported: bool
    imported_from: str
    push_data: NotRequired[dict[str, Any]]


def release(view: View, row: sqlite3.Row, full_path: str, commit: CommitShape | None) -> Release:
    url, tag = view.project_url(full_path), row["tag"]
    name = f"{full_path.rpartition('/')[2]}-{tag}"
    listed = f"release_tag={tag}&scope=all&state="
    return Release(
        tag_name=tag,
        name=row["name"],
        description=row["description"],
        created_at=row["created_at"],
        released_at=row["released_at"],
        upcoming_release=False,
        author=view.user(row["author"]),
        commit=commit,
        commit_path=None if commit is None else f"/{full_path}/-/commit/{commit['id']}",
        tag_path=f"/{full_path}/-/tags/{tag}",
        assets=Assets(
            count=2,
            sources=[
                Source(format=kind, url=f"{url}/-/archive/{tag}/{name}.{kind}") for kind in ("zip", "tar.gz")
            ],
            links=[],
        ),
        evidences=[],
        _links=ReleaseLinks(
            self=f"{url}/-/releases/{tag}",
            edit_url=f"{url}/-/releases/{tag}/edit",
            closed_issues_url=f"{url}/-/issues?{listed}closed",
            closed_merge_requests_url=f"{url}/-/merge_requests?{listed}closed",
            merged_merge_requests_url=f"{url}/-/merge_requests?{listed}merged",
            opened_issues_url=f"{url}/-/issues?{listed}opened",
            opened_merge_requests_url=f"{url}/-/merge_requests?{listed}opened",
        ),
    )


def wiki_page(row: sqlite3.Row, *, content: bool) -> WikiPage:
    shape = WikiPage(format=row["format"], slug=row["slug"], title=row["title"], wiki_page_meta_id=None)
    if content:
        shape["content"] = row["content"]
        shape["encoding"] = "UTF-8"
        shape["front_matter"] = {}
    return shape


def pipeline(view: View, row: sqlite3.Row, full_path: str, *, details: bool = False) -> Pipeline:
    shape = Pipeline(
        id=row["id"],
        iid=row["iid"],
        project_id=row["project_id"],
        sha=row["sha"],
        ref=row["ref"],
        status=row["status"],
        source=row["source"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        web_url=f"{view.project_url(full_path)}/-/pipelines/{row['id']}",
        name=None,
    )
    if details:
        shape["before_sha"] = "0" * 40
        shape["tag"] = False
        shape["yaml_errors"] = None
        shape["user"] = view.user(row["username"])
        shape["started_at"] = row["started_at"]
        shape["finished_at"] = row["finished_at"]
        shape["committed_at"] = None
        shape["duration"] = _seconds(row)
        shape["queued_duration"] = None
        shape["coverage"] = None
        shape["detailed_status"] = {
            "icon": f"status_{row['status']}",
            "text": row["status"].capitalize(),
            "label": row["status"],
            "group": row["status"],
            "has_details": True,
            "details_path": f"/{full_path}/-/pipelines/{row['id']}",
        }
    return shape


def job(view: View, row: sqlite3.Row, of: sqlite3.Row, full_path: str, commit: CommitShape | None) -> Job:
    return Job(
        id=row["id"],
        status=row["status"],
        stage=row["stage"],
        name=row["name"],
        ref=of["ref"],
        tag=False,
        coverage=None,
        allow_failure=False,
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        erased_at=None,
        duration=_seconds(row),
        queued_duration=None,
        user=view.user(of["username"]),
        commit=commit,
        pipeline=pipeline(view, of, full_path),
        web_url=f"{view.project_url(full_path)}/-/jobs/{row['id']}",
        artifacts=[],
        artifacts_expire_at=None,
        runner=None,
        tag_list=[],
    )


def _seconds(row: sqlite3.Row) -> float | None:
    if row["started_at"] is None or row["finished_at"] is None:
        return None
    return (moment_of(row["finished_at"]) - moment_of(row["started_at"])).total_seconds()


def event(view: View, row: sqlite3.Row) -> Event:
    author = view.user(row["author"])
    shape = Event(
        id=row["id"],
        project_id=row["project_id"],
        action_name=row["action"],
        target_id=row["target_id"],
        target_iid=row["target_iid"],
        target_type=row["target_type"],
        author_id=author["id"],
        target_title=row["target_title"],
        created_at=row["created_at"],
        author=author,
        author_username=shown(row["author"]),
        imported=False,
        imported_from="none",
    )
    if row["push_data"] is not None:
        shape["push_data"] = json.loads(row["push_data"])
    return shape
