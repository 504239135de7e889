"""The tracker's records, field by field: what clients may send, what is stored, what is shown.

A `Resource` names the table that keeps its records; the fields have the names of the table's columns.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from tac_rl.office.tracker.fields import (
    Choice,
    Date,
    Field,
    Flag,
    Integer,
    Invalid,
    Json,
    Moment,
    Number,
    Ref,
    Scope,
    Several,
    Text,
    Url,
    Who,
    people_shown,
)
from tac_rl.office.tracker.people import WORKSPACE_ID, Names
from tac_rl.office.tracker.records import Problem

PRIORITIES = ("urgent", "high", "medium", "low", "none")
STATE_GROUPS = ("backlog", "unstarted", "started", "completed", "cancelled")
MODULE_STATUSES = ("backlog", "planned", "in-progress", "paused", "completed", "cancelled")
INTAKE_STATUSES = (-2, -1, 0, 1, 2)
"""Pending, rejected, snoozed, accepted, duplicate."""
RELATIONS = (
    "blocking",
    "blocked_by",
    "duplicate",
    "relates_to",
    "start_after",
    "start_before",
    "finish_after",
    "finish_before",
)


@dataclass(frozen=True, eq=False)
class Resource:
    """One kind of record."""

    name: str
    table: str
    fields: tuple[Field, ...]
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Shown in every record."""
    order: tuple[str, str] | None = None
    """Two date fields of which the first must not be after the second."""

    def parse(self, document: Any, scope: Scope, *, partial: bool = False) -> dict[str, Any]:
        """Column -> value of what a client sent (of a new record: with the defaults); else a `Problem`."""
        if not isinstance(document, dict):
            kind = type(document).__name__
            raise Problem(
                400, {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]}
            )
        values: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for field_ in self.fields:
            if field_.read_only:
                continue
            if field_.name not in document:
                if field_.required and not partial:
                    errors[field_.name] = ["This field is required."]
                elif not partial:
                    values[field_.name] = field_.default
                continue
            value = document[field_.name]
            try:
                if value is None and not field_.null:
                    raise Invalid("This field may not be null.")
                values[field_.name] = None if value is None else field_.parse(value, scope)
            except Invalid as invalid:
                errors[field_.name] = [str(invalid)]
        if errors:
            raise Problem(400, errors)
        return values

    def check_order(self, values: Mapping[str, Any]) -> None:
        """A `Problem` where the dates of a record-to-be are the wrong way round."""
        if self.order is not None:
            first, last = (values.get(name) for name in self.order)
            if first is not None and last is not None and first > last:
                what = "end" if self.order[1] == "end_date" else "target"
                raise Problem(400, {"non_field_errors": [f"Start date cannot exceed {what} date"]})

    def show(
        self, row: sqlite3.Row | Mapping[str, Any], names: Names, *, counted: bool = True
    ) -> dict[str, Any]:
        """A record as JSON."""
        shown = dict(self.constants)
        for field_ in self.fields:
            if field_.counted and not counted:
                continue
            value = row[field_.name]
            shown[field_.name] = value if field_.shown is None else field_.shown(value, names)
        return shown

    def schema(self) -> dict[str, Any]:
        """JSON schema of a record that is shown; `?fields=` may leave out any of them."""
        properties: dict[str, Any] = {name: {} for name in self.constants}
        for field_ in self.fields:
            expandable = isinstance(field_, Ref | Who | Several) or field_.name in ("project", "workspace")
            properties[field_.name] = {} if expandable else field_.schema()
        return {"type": "object", "properties": properties}

    def body_schema(self, *, partial: bool = False) -> dict[str, Any]:
        """JSON schema of what a client may send."""
        writable = [field_ for field_ in self.fields if not field_.read_only]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {field_.name: field_.schema() for field_ in writable},
        }
        required = [field_.name for field_ in writable if field_.required]
        if required and not partial:
            schema["required"] = required
        return schema


def _shown(*fields: Field) -> tuple[Field, ...]:
    """Fields that the tracker itself fills."""
    return tuple(replace(field_, read_only=True) for field_ in fields)


def _counted(*fields: Field) -> tuple[Field, ...]:
    """Fields that are in no column."""
    return tuple(replace(field_, read_only=True, counted=True) for field_ in fields)


_EXTERNAL = (Text("external_source", null=True), Text("external_id", null=True))
_OF_WORKSPACE = {"workspace": WORKSPACE_ID, "deleted_at": None}
_RECORD = _shown(Text("id"), Moment("created_at"), Moment("updated_at"), Who("created_by"), Who("updated_by"))
_OF_PROJECT = (*_RECORD, *_shown(Text("project")))
_OF_ISSUE = (*_OF_PROJECT, *_shown(Text("issue")))
_COUNTS = _counted(Integer("total_issues"), *(Integer(f"{group}_issues") for group in STATE_GROUPS))
_STATE = Ref("state", table="tracker_states", wrong="State is not valid please pass a valid state_id")
_LABELS = Several(
    "labels",
    of=Ref("label", table="tracker_labels", anywhere=True),
    belongs="SELECT 1 FROM tracker_labels WHERE project = ? AND id = ?",
)


def _members(name: str) -> Several:
    return Several(
        name,
        belongs="SELECT 1 FROM tracker_members WHERE project = ? AND username = ?",
        shown=people_shown,
    )


PROJECT = Resource(
    "Project",
    "tracker_projects",
    (
        *_RECORD,
        Text("name", required=True, blank=False),
        Text("identifier", required=True, blank=False, most=12),
        Text("description", default="", most=None),
        Json("description_text", null=True),
        Json("description_html", null=True),
        Choice("network", default=2, of=(0, 2)),
        Who("project_lead"),
        Who("default_assignee"),
        Text("emoji", null=True),
        Json("icon_prop", null=True),
        Json("logo_props", default="{}"),
        Text("cover_image", null=True, most=800),
        Flag("module_view", default=True),
        Flag("cycle_view", default=True),
        Flag("issue_views_view", default=True),
        Flag("page_view", default=True),
        Flag("intake_view", default=False),
        Flag("is_time_tracking_enabled"),
        Flag("is_issue_type_enabled"),
        Flag("guest_view_all_features"),
        Integer("archive_in", default=0, most=12),
        Integer("close_in", default=0, most=12),
        Text("timezone", default="UTC"),
        Ref("default_state", table="tracker_states"),
        *_EXTERNAL,
        *_shown(Moment("archived_at")),
        *_counted(
            Integer("total_members"),
            Integer("total_cycles"),
            Integer("total_modules"),
            Flag("is_member"),
            Integer("member_role", null=True),
            Number("sort_order", null=True),
        ),
    ),
    {**_OF_WORKSPACE, "is_deployed": False, "cover_image_url": None, "estimate": None},
)
STATE = Resource(
    "State",
    "tracker_states",
    (
        *_OF_PROJECT,
        Text("name", required=True, blank=False),
        Text("description", default="", most=None),
        Text("color", required=True, blank=False),
        *_shown(Text("slug")),
        Number("sequence", default=None),
        Choice("group", default="backlog", of=STATE_GROUPS),
        *_shown(Flag("is_triage")),
        Flag("default"),
        *_EXTERNAL,
    ),
    _OF_WORKSPACE,
)
LABEL = Resource(
    "Label",
    "tracker_labels",
    (
        *_OF_PROJECT,
        Text("name", required=True, blank=False),
        Text("description", default="", most=None),
        Text("color", default=""),
        Number("sort_order", default=None),
        Ref("parent", table="tracker_labels"),
        *_EXTERNAL,
    ),
    _OF_WORKSPACE,
)
ISSUE = Resource(
    "Issue",
    "tracker_issues",
    (
        *_OF_PROJECT,
        *_shown(Integer("sequence_id")),
        Text("name", required=True, blank=False),
        Text("description_html", default="<p></p>", most=None),
        *_shown(Text("description_stripped", most=None)),
        Choice("priority", default="none", of=PRIORITIES),
        _STATE,
        _members("assignees"),
        _LABELS,
        Ref(
            "parent",
            table="tracker_issues",
            anywhere=True,
            wrong="Parent is not valid issue_id please pass a valid issue_id",
        ),
        Integer("point", null=True, most=12),
        Date("start_date"),
        Date("target_date"),
        *_shown(Moment("completed_at"), Date("archived_at")),
        Flag("is_draft"),
        Number("sort_order", default=None),
        *_EXTERNAL,
    ),
    {**_OF_WORKSPACE, "type": None, "type_id": None, "estimate_point": None, "description_binary": None},
    order=("start_date", "target_date"),
)
COMMENT = Resource(
    "Comment",
    "tracker_comments",
    (
        *_OF_ISSUE,
        Text("comment_html", default="<p></p>", most=None),
        *_shown(Text("comment_stripped", most=None)),
        Choice("access", default="INTERNAL", of=("INTERNAL", "EXTERNAL")),
        *_shown(Who("actor"), Moment("edited_at")),
        Ref("parent", table="tracker_comments"),
        *_EXTERNAL,
    ),
    {**_OF_WORKSPACE, "attachments": [], "is_member": True},
)
LINK = Resource(
    "Link",
    "tracker_links",
    (
        *_OF_ISSUE,
        Text("title", null=True),
        Url("url", required=True, blank=False, most=None),
        Json("metadata", default="{}"),
    ),
    _OF_WORKSPACE,
)
ATTACHMENT = Resource(
    "Attachment",
    "tracker_attachments",
    (
        *_OF_ISSUE,
        *_shown(Json("attributes"), Text("asset"), Integer("size"), Flag("is_uploaded")),
        *_EXTERNAL,
    ),
    {**_OF_WORKSPACE, "entity_type": "ISSUE_ATTACHMENT", "is_deleted": False, "is_archived": False},
)
ACTIVITY = Resource(
    "Activity",
    "tracker_activities",
    _shown(
        Text("id"),
        Moment("created_at"),
        Moment("updated_at"),
        Text("project"),
        Text("issue", null=True),
        Text("issue_comment", null=True),
        Text("verb"),
        Text("field", null=True),
        Text("old_value", null=True, most=None),
        Text("new_value", null=True, most=None),
        Text("comment", most=None),
        Text("old_identifier", null=True),
        Text("new_identifier", null=True),
        Who("actor"),
        Integer("epoch", most=2**53),
    ),
    {**_OF_WORKSPACE, "attachments": []},
)
CYCLE = Resource(
    "Cycle",
    "tracker_cycles",
    (
        *_OF_PROJECT,
        Text("name", required=True, blank=False),
        Text("description", default="", most=None),
        Date("start_date"),
        Date("end_date"),
        *_shown(Who("owned_by")),
        Number("sort_order", default=None),
        Text("timezone", default="UTC"),
        Json("logo_props", default="{}"),
        *_shown(Moment("archived_at")),
        *_EXTERNAL,
        *_COUNTS,
    ),
    {**_OF_WORKSPACE, "view_props": {}, "progress_snapshot": {}},
    order=("start_date", "end_date"),
)
MODULE = Resource(
    "Module",
    "tracker_modules",
    (
        *_OF_PROJECT,
        Text("name", required=True, blank=False),
        Text("description", default="", most=None),
        Json("description_text", null=True),
        Json("description_html", null=True),
        Date("start_date"),
        Date("target_date"),
        Choice("status", default="planned", of=MODULE_STATUSES),
        Who("lead"),
        _members("members"),
        Number("sort_order", default=None),
        Json("logo_props", default="{}"),
        *_shown(Moment("archived_at")),
        *_EXTERNAL,
        *_COUNTS,
    ),
    {**_OF_WORKSPACE, "view_props": {}},
    order=("start_date", "target_date"),
)
CYCLE_ISSUE = Resource(
    "CycleIssue",
    "tracker_cycle_issues",
    (*_OF_ISSUE, *_shown(Text("cycle")), *_counted(Integer("sub_issues_count"))),
    _OF_WORKSPACE,
)
MODULE_ISSUE = Resource(
    "ModuleIssue",
    "tracker_module_issues",
    (*_OF_ISSUE, *_shown(Text("module")), *_counted(Integer("sub_issues_count"))),
    _OF_WORKSPACE,
)
INTAKE = Resource(
    "IntakeIssue",
    "tracker_intake",
    (
        *_OF_ISSUE,
        Choice("status", default=-2, of=INTAKE_STATUSES),
        Moment("snoozed_till"),
        Text("source", default="IN_APP", null=True),
        Text("source_email", null=True),
        Ref("duplicate_to", table="tracker_issues"),
        *_EXTERNAL,
    ),
    _OF_WORKSPACE,
)


@lru_cache(256)
def columns(resource: Resource, extra: tuple[str, ...] = ()) -> str:
    """The resource's own columns for a SELECT, and what is counted: `SQL AS name`."""
    plain = [f'{resource.table}."{field_.name}"' for field_ in resource.fields if not field_.counted]
    return ", ".join([*plain, *extra])
