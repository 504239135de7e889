"""Merge requests."""

import sqlite3
from typing import Any, NotRequired

from typing_extensions import TypedDict

from tac_rl.office.forge.shapes.git import Diff
from tac_rl.office.forge.shapes.issues import (
    NO_TIME,
    Attachments,
    Completion,
    References,
    TimeStats,
    completion,
    references,
)
from tac_rl.office.forge.shapes.projects import Milestone
from tac_rl.office.forge.shapes.view import UserBasic, View
from tac_rl.office.forge.store.merge_requests import DiffRefs, is_draft


class DiffRefsShape(TypedDict):
    base_sha: str | None
    head_sha: str | None
    start_sha: str | None


class MayMerge(TypedDict):
    can_merge: bool


class MergeRequest(TypedDict):
    id: int
    iid: int
    project_id: int
    title: str
    description: str
    state: str
    created_at: str
    updated_at: str
    merged_by: UserBasic | None
    merge_user: UserBasic | None
    merged_at: str | None
    closed_by: UserBasic | None
    closed_at: str | None
    target_branch: str
    source_branch: str
    user_notes_count: int
    upvotes: int
    downvotes: int
    author: UserBasic
    assignees: list[UserBasic]
    assignee: UserBasic | None
    reviewers: list[UserBasic]
    source_project_id: int
    target_project_id: int
    labels: list[str]
    draft: bool
    imported: bool
    imported_from: str
    work_in_progress: bool
    milestone: Milestone | None
    merge_when_pipeline_succeeds: bool
    merge_status: str
    detailed_merge_status: str
    merge_after: str | None
    sha: str | None
    merge_commit_sha: str | None
    squash_commit_sha: str | None
    discussion_locked: bool | None
    should_remove_source_branch: bool | None
    force_remove_source_branch: bool
    prepared_at: str
    reference: str
    references: References
    web_url: str
    time_stats: TimeStats
    squash: bool
    squash_on_merge: bool
    task_completion_status: Completion
    has_conflicts: bool
    blocking_discussions_resolved: bool
    approvals_before_merge: int | None
    subscribed: NotRequired[bool]
    changes_count: NotRequired[str | None]
    latest_build_started_at: NotRequired[str | None]
    latest_build_finished_at: NotRequired[str | None]
    first_deployed_to_production_at: NotRequired[str | None]
    pipeline: NotRequired[dict[str, Any] | None]
    head_pipeline: NotRequired[dict[str, Any] | None]
    diff_refs: NotRequired[DiffRefsShape | None]
    merge_error: NotRequired[str | None]
    user: NotRequired[MayMerge]
    changes: NotRequired[list[Diff]]
    overflow: NotRequired[bool]
    rebase_in_progress: NotRequired[bool]


class ApprovedBy(TypedDict):
    user: UserBasic


class Approvals(TypedDict):
    id: int
    iid: int
    project_id: int
    title: str
    state: str
    approved: bool
    approvals_required: int
    approvals_left: int
    user_has_approved: bool
    user_can_approve: bool
    approved_by: list[ApprovedBy]


def merge_requests(
    view: View, rows: list[sqlite3.Row], status: tuple[str, str] | None = None
) -> list[MergeRequest]:
    """Whether they can be merged is found out only for a single one (`status`), as it takes a trial merge."""
    attached = Attachments(view, rows)
    return [_merge_request(view, row, attached, status) for row in rows]


def merge_request(
    view: View,
    row: sqlite3.Row,
    *,
    status: tuple[str, str],
    refs: DiffRefs | None,
    changes_count: int | None,
    may_merge: bool,
) -> MergeRequest:
    shape = merge_requests(view, [row], status)[0]
    shape["subscribed"] = False
    shape["changes_count"] = None if changes_count is None else str(changes_count)
    shape["latest_build_started_at"] = shape["latest_build_finished_at"] = None
    shape["first_deployed_to_production_at"] = None
    shape["pipeline"] = shape["head_pipeline"] = None
    shape["diff_refs"] = None
    if refs is not None:
        shape["diff_refs"] = DiffRefsShape(
            base_sha=None if refs.base is None else str(refs.base.id),
            head_sha=str(refs.head.id),
            start_sha=str(refs.start.id),
        )
    shape["merge_error"] = None
    shape["rebase_in_progress"] = False
    shape["user"] = MayMerge(can_merge=may_merge)
    return shape


def _merge_request(
    view: View, row: sqlite3.Row, attached: Attachments, status: tuple[str, str] | None
) -> MergeRequest:
    assignees = view.users(attached.people(row, "assignee"))
    opened = row["state"] == "opened"
    merge_status, detailed = status or ("unchecked", "unchecked" if opened else "not_open")
    draft = is_draft(row["title"])
    merger = view.user_or_none(row["merged_by"])
    return MergeRequest(
        id=row["id"],
        iid=row["iid"],
        project_id=row["project_id"],
        title=row["title"],
        description=row["description"],
        state=row["state"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        merged_by=merger,
        merge_user=merger,
        merged_at=row["merged_at"],
        closed_by=view.user_or_none(row["closed_by"]),
        closed_at=row["closed_at"],
        target_branch=row["target_branch"],
        source_branch=row["source_branch"],
        user_notes_count=attached.notes.get(row["id"], 0),
        upvotes=0,
        downvotes=0,
        author=view.user(row["author"]),
        assignees=assignees,
        assignee=assignees[0] if assignees else None,
        reviewers=view.users(attached.people(row, "reviewer")),
        source_project_id=row["source_project_id"],
        target_project_id=row["project_id"],
        labels=attached.label_names(row),
        draft=draft,
        imported=False,
        imported_from="none",
        work_in_progress=draft,
        milestone=attached.milestones.get(row["milestone_id"]),
        merge_when_pipeline_succeeds=False,
        merge_status=merge_status,
        detailed_merge_status=detailed,
        merge_after=None,
        sha=row["head_sha"],
        merge_commit_sha=row["merge_commit_sha"],
        squash_commit_sha=row["squash_commit_sha"],
        discussion_locked=True if row["locked"] else None,
        should_remove_source_branch=None,
        force_remove_source_branch=bool(row["remove_source_branch"]),
        prepared_at=row["created_at"],
        reference=f"!{row['iid']}",
        references=references(row, "!"),
        web_url=f"{view.project_url(row['full_path'])}/-/merge_requests/{row['iid']}",
        time_stats=NO_TIME,
        squash=bool(row["squash"]),
        squash_on_merge=bool(row["squash"]),
        task_completion_status=completion(row["description"]),
        has_conflicts=detailed == "conflict",
        blocking_discussions_resolved=True,
        approvals_before_merge=None,
    )


def approvals(view: View, row: sqlite3.Row, approvers: list[str]) -> Approvals:
    me = view.person
    return Approvals(
        id=row["id"],
        iid=row["iid"],
        project_id=row["project_id"],
        title=row["title"],
        state=row["state"],
        approved=bool(approvers),
        approvals_required=0,
        approvals_left=0,
        user_has_approved=me is not None and me.username in approvers,
        user_can_approve=me is not None and me.username not in approvers,
        approved_by=[ApprovedBy(user=view.user(username)) for username in approvers],
    )
