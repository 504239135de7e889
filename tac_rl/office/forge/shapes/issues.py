"""Issues and notes."""

import sqlite3
from typing import Any, NotRequired

from typing_extensions import TypedDict

from tac_rl.office.forge.shapes.projects import Label, Milestone, label, milestone
from tac_rl.office.forge.shapes.view import UserBasic, View

_NOTEABLE = {"issue": "Issue", "merge_request": "MergeRequest"}


class Completion(TypedDict):
    count: int
    completed_count: int


class References(TypedDict):
    short: str
    relative: str
    full: str


class TimeStats(TypedDict):
    time_estimate: int
    total_time_spent: int
    human_time_estimate: str | None
    human_total_time_spent: str | None


class IssueLinks(TypedDict):
    self: str
    notes: str
    award_emoji: str
    project: str
    closed_as_duplicate_of: str | None


class Issue(TypedDict):
    id: int
    iid: int
    project_id: int
    title: str
    description: str
    state: str
    created_at: str
    updated_at: str
    closed_at: str | None
    closed_by: UserBasic | None
    labels: list[str] | list[Label]
    milestone: Milestone | None
    assignees: list[UserBasic]
    author: UserBasic
    type: str
    assignee: UserBasic | None
    user_notes_count: int
    merge_requests_count: int
    upvotes: int
    downvotes: int
    due_date: str | None
    confidential: bool
    discussion_locked: bool | None
    issue_type: str
    web_url: str
    time_stats: TimeStats
    task_completion_status: Completion
    weight: int | None
    blocking_issues_count: int
    has_tasks: bool
    task_status: str
    _links: IssueLinks
    references: References
    severity: str
    moved_to_id: int | None
    imported: bool
    imported_from: str
    service_desk_reply_to: str | None
    subscribed: NotRequired[bool]


class Note(TypedDict):
    id: int
    type: str | None
    body: str
    author: UserBasic
    created_at: str
    updated_at: str
    system: bool
    noteable_id: int
    noteable_type: str
    project_id: int
    resolvable: bool
    confidential: bool
    internal: bool
    imported: bool
    imported_from: str
    noteable_iid: int
    commands_changes: dict[str, Any]


NO_TIME = TimeStats(
    time_estimate=0, total_time_spent=0, human_time_estimate=None, human_total_time_spent=None
)


class Attachments:
    """Labels, people, milestones and counts of several issues or merge requests, in a query each."""

    def __init__(self, view: View, rows: list[sqlite3.Row]) -> None:
        tenant, ids = view.tenant, [row["id"] for row in rows]
        marks = ", ".join("?" * len(ids))
        paths = {row["project_id"]: row["full_path"] for row in rows}
        self.labels: dict[int, list[sqlite3.Row]] = {}
        for row in tenant.rows(
            "SELECT d.issuable_id, l.* FROM forge_labelled d JOIN forge_labels l ON l.id = d.label_id"
            f" WHERE d.issuable_id IN ({marks}) ORDER BY l.name",
            *ids,
        ):
            self.labels.setdefault(row["issuable_id"], []).append(row)
        self._people: dict[tuple[int, str], list[str]] = {}
        for row in tenant.rows(
            f"SELECT * FROM forge_assigned WHERE issuable_id IN ({marks}) ORDER BY issuable_id, role, position",
            *ids,
        ):
            self._people.setdefault((row["issuable_id"], row["role"]), []).append(row["username"])
        counted = tenant.rows(
            f"SELECT issuable_id, count(*) AS n FROM forge_notes WHERE issuable_id IN ({marks}) GROUP BY 1",
            *ids,
        )
        self.notes: dict[int, int] = {row["issuable_id"]: row["n"] for row in counted}
        wanted = sorted({row["milestone_id"] for row in rows if row["milestone_id"] is not None})
        found = tenant.rows(
            f"SELECT * FROM forge_milestones WHERE id IN ({', '.join('?' * len(wanted))})", *wanted
        )
        self.milestones = {row["id"]: milestone(view, row, paths[row["project_id"]]) for row in found}

    def people(self, row: sqlite3.Row, role: str) -> list[str]:
        return self._people.get((row["id"], role), [])

    def label_names(self, row: sqlite3.Row) -> list[str]:
        return [found["name"] for found in self.labels.get(row["id"], ())]


def issues(view: View, rows: list[sqlite3.Row], *, label_details: bool = False) -> list[Issue]:
    attached = Attachments(view, rows)
    return [_issue(view, row, attached, label_details) for row in rows]


def issue(view: View, row: sqlite3.Row) -> Issue:
    shape = issues(view, [row])[0]
    shape["subscribed"] = False
    return shape


def _issue(view: View, row: sqlite3.Row, attached: Attachments, label_details: bool) -> Issue:
    assignees = view.users(attached.people(row, "assignee"))
    api = view.api_url(f"/projects/{row['project_id']}")
    return Issue(
        id=row["id"],
        iid=row["iid"],
        project_id=row["project_id"],
        title=row["title"],
        description=row["description"],
        state=row["state"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        closed_at=row["closed_at"],
        closed_by=view.user_or_none(row["closed_by"]),
        labels=[label(found) for found in attached.labels.get(row["id"], ())]
        if label_details
        else attached.label_names(row),
        milestone=attached.milestones.get(row["milestone_id"]),
        assignees=assignees,
        author=view.user(row["author"]),
        type=row["issue_type"].upper(),
        assignee=assignees[0] if assignees else None,
        user_notes_count=attached.notes.get(row["id"], 0),
        merge_requests_count=0,
        upvotes=0,
        downvotes=0,
        due_date=row["due_date"],
        confidential=bool(row["confidential"]),
        discussion_locked=True if row["locked"] else None,
        issue_type=row["issue_type"],
        web_url=f"{view.project_url(row['full_path'])}/-/issues/{row['iid']}",
        time_stats=NO_TIME,
        task_completion_status=completion(row["description"]),
        weight=None,
        blocking_issues_count=0,
        has_tasks=completion(row["description"])["count"] > 0,
        task_status="",
        _links=IssueLinks(
            self=f"{api}/issues/{row['iid']}",
            notes=f"{api}/issues/{row['iid']}/notes",
            award_emoji=f"{api}/issues/{row['iid']}/award_emoji",
            project=api,
            closed_as_duplicate_of=None,
        ),
        references=references(row, "#"),
        severity="UNKNOWN",
        moved_to_id=None,
        imported=False,
        imported_from="none",
        service_desk_reply_to=None,
    )


def references(row: sqlite3.Row, mark: str) -> References:
    short = f"{mark}{row['iid']}"
    return References(short=short, relative=short, full=f"{row['full_path']}{short}")


def completion(description: str) -> Completion:
    """Of the check boxes of a task list in Markdown."""
    boxes = [line.lstrip()[:5] for line in description.splitlines() if line.lstrip()[:3] in ("- [", "* [")]
    marked = [box for box in boxes if box[3:5] in ("x]", "X]")]
    return Completion(count=len([b for b in boxes if b[4:5] == "]"]), completed_count=len(marked))


def note(view: View, row: sqlite3.Row, issuable: sqlite3.Row | dict[str, Any]) -> Note:
    return Note(
        id=row["id"],
        type=None,
        body=row["body"],
        author=view.user(row["author"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        system=False,
        noteable_id=issuable["id"],
        noteable_type=_NOTEABLE[issuable["kind"]],
        project_id=issuable["project_id"],
        resolvable=False,
        confidential=bool(row["internal"]),
        internal=bool(row["internal"]),
        imported=False,
        imported_from="none",
        noteable_iid=issuable["iid"],
        commands_changes={},
    )
