"""What the tracker's lists read: one SELECT for each kind, with an order that the client may choose."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.records import refused
from tac_rl.office.tracker.resources import PRIORITIES, STATE_GROUPS, Resource, columns


@dataclass(frozen=True)
class Listing:
    """Records of one kind."""

    resource: Resource
    where: str
    arguments: tuple[Any, ...]
    order: str
    """A name of `orders`, with `-` in front for descending."""
    joins: str = ""
    extra: tuple[str, ...] = ()
    """What is counted for each record: `SQL AS name`."""
    group: bool = False
    before: tuple[Any, ...] = ()
    """Arguments of the joins, which come before those of `where`."""
    orders: Mapping[str, str] = field(default_factory=dict)
    """SQL of orders that aren't just a column."""

    def page(self, tenant: Tenant, limit: int, offset: int) -> tuple[list[sqlite3.Row], int]:
        """Some of the records, and how many there are."""
        rows = tenant.rows(
            f"SELECT {columns(self.resource, self.extra)} {self._source()}"
            f"{' GROUP BY ' + self.resource.table + '.id' if self.group else ''}"
            f" ORDER BY {self._order_sql()} LIMIT ? OFFSET ?",
            *(*self.before, *self.arguments, limit, offset),
        )
        if offset == 0 and len(rows) < limit:
            return rows, len(rows)
        count = f"SELECT count(DISTINCT {self.resource.table}.id) {self._source()}"
        return rows, tenant.value(count, *self.before, *self.arguments)

    def one(self, tenant: Tenant, identifier: str, column: str = "id") -> sqlite3.Row | None:
        """The record with this id, if it is among these."""
        narrow = self.narrowed(f"{self.resource.table}.{column} = ?", identifier)
        found = narrow.page(tenant, 2, 0)[0]
        return found[0] if found else None

    def narrowed(self, condition: str, *arguments: Any) -> "Listing":
        """Only those that meet a condition too."""
        return replace(self, where=f"{self.where} AND {condition}", arguments=(*self.arguments, *arguments))

    def ordered(self, order: str | None) -> "Listing":
        """As the client asked; a field that can't be ordered by is refused."""
        if not order:
            return self
        name = order.removeprefix("-")
        if name not in self.orders and name not in {f.name for f in self.resource.fields}:
            raise refused(f"Cannot order by '{name[:100]}'")
        return replace(self, order=order)

    def _source(self) -> str:
        return f"FROM {self.resource.table} {self.joins} WHERE {self.where}"

    def _order_sql(self) -> str:
        name = self.order.removeprefix("-")
        counted = {item.rpartition(" AS ")[2] for item in self.extra}
        plain = f'"{name}"' if name in counted else f'{self.resource.table}."{name}"'
        direction = "DESC" if self.order.startswith("-") else "ASC"
        tie = f"{self.resource.table}.rowid DESC" if direction == "DESC" else f"{self.resource.table}.rowid"
        return f"{self.orders.get(name, plain)} {direction} NULLS LAST, {tie}"


def _case(column: str, values: tuple[str, ...]) -> str:
    whens = " ".join(f"WHEN '{value}' THEN {number}" for number, value in enumerate(values))
    return f"CASE {column} {whens} ELSE {len(values)} END"


_ISSUE_JOINS = (
    "JOIN tracker_states s ON s.id = tracker_issues.state"
    " JOIN tracker_projects p ON p.id = tracker_issues.project"
)
_LIVE = (
    "NOT s.is_triage AND tracker_issues.archived_at IS NULL AND NOT tracker_issues.is_draft"
    " AND p.archived_at IS NULL"
)
_ISSUE_ORDERS = {
    "priority": _case("tracker_issues.priority", PRIORITIES),
    "state__group": _case('s."group"', STATE_GROUPS),
    "state__name": _case('s."group"', STATE_GROUPS),
    "labels__name": "tracker_issues.labels",
    "assignees__first_name": "tracker_issues.assignees",
}


def issues(where: str, *arguments: Any, joins: str = "", order: str = "-created_at") -> Listing:
    """Live issues: not archived, not drafts, not waiting in the intake, of projects that aren't archived."""
    return Listing(
        r.ISSUE,
        f"{where} AND {_LIVE}",
        arguments,
        order,
        joins=f"{_ISSUE_JOINS} {joins}",
        orders=_ISSUE_ORDERS,
    )


def issues_of(project: str) -> Listing:
    return issues("tracker_issues.project = ?", project)


def issues_of_workspace(username: str) -> Listing:
    """Of every project that somebody is a member of."""
    member = "tracker_issues.project IN (SELECT project FROM tracker_members WHERE username = ?)"
    return issues(member, username)


def archived_issues_of(project: str) -> Listing:
    where = "tracker_issues.project = ? AND tracker_issues.archived_at IS NOT NULL"
    return Listing(r.ISSUE, where, (project,), "-created_at", joins=_ISSUE_JOINS, orders=_ISSUE_ORDERS)


def any_issue_of(project: str) -> Listing:
    """Also archived ones and drafts: what can be changed or deleted."""
    return Listing(r.ISSUE, "tracker_issues.project = ?", (project,), "-created_at")


def issues_in(kind: str, plan: str, project: str) -> Listing:
    """Issues of a `cycle` or `module`."""
    return issues(
        f"b.{kind} = ? AND tracker_issues.project = ?",
        *(plan, project),
        joins=f"JOIN tracker_{kind}_issues b ON b.issue = tracker_issues.id",
        order="created_at",
    )


def bridges(kind: str, plan: str) -> Listing:
    """The records that put issues into a cycle or module."""
    resource = r.CYCLE_ISSUE if kind == "cycle" else r.MODULE_ISSUE
    children = f"(SELECT count(*) FROM tracker_issues c WHERE c.parent = {resource.table}.issue)"
    return Listing(
        resource, f"{kind} = ?", (plan,), "-created_at", extra=(f"{children} AS sub_issues_count",)
    )


def _count(table: str) -> str:
    return f"(SELECT count(*) FROM {table} c WHERE c.project = tracker_projects.id)"


def projects(username: str) -> Listing:
    """Public ones, and those that somebody is a member of."""
    return Listing(
        r.PROJECT,
        "(me.role IS NOT NULL OR tracker_projects.network = 2)",
        (),
        "sort_order",
        joins="LEFT JOIN tracker_members me ON me.project = tracker_projects.id AND me.username = ?",
        before=(username,),
        extra=(
            f"{_count('tracker_members')} AS total_members",
            f"{_count('tracker_cycles')} AS total_cycles",
            f"{_count('tracker_modules')} AS total_modules",
            "me.role IS NOT NULL AS is_member",
            "me.role AS member_role",
            "me.sort_order AS sort_order",
        ),
    )


_GROUP_COUNTS = (
    "count(i.id) AS total_issues",
    *(f"count(*) FILTER (WHERE s.\"group\" = '{group}') AS {group}_issues" for group in STATE_GROUPS),
)


def _plans(resource: Resource, project: str, where: str) -> Listing:
    table = resource.table
    kind = "cycle" if resource is r.CYCLE else "module"
    return Listing(
        resource,
        f"{table}.project = ? AND {where}",
        (project,),
        "-created_at",
        joins=(
            f"LEFT JOIN {table[:-1]}_issues b ON b.{kind} = {table}.id"
            " LEFT JOIN tracker_issues i ON i.id = b.issue AND i.archived_at IS NULL AND NOT i.is_draft"
            " LEFT JOIN tracker_states s ON s.id = i.state"
        ),
        extra=_GROUP_COUNTS,
        group=True,
    )


def cycles_of(project: str, *, archived: bool = False) -> Listing:
    return _plans(r.CYCLE, project, f"tracker_cycles.archived_at IS {'NOT ' * archived}NULL")


def modules_of(project: str, *, archived: bool = False) -> Listing:
    return _plans(r.MODULE, project, f"tracker_modules.archived_at IS {'NOT ' * archived}NULL")


def cycles_by_status(project: str, status: str, today: str) -> Listing:
    """Cycles that are `current`, `upcoming`, `completed`, `draft` (without dates) or `incomplete` (not over)."""
    start, end = "tracker_cycles.start_date", "tracker_cycles.end_date"
    conditions: dict[str, tuple[str, tuple[str, ...]]] = {
        "current": (f"{start} <= ? AND {end} >= ?", (today, today)),
        "upcoming": (f"{start} > ?", (today,)),
        "completed": (f"{end} < ?", (today,)),
        "draft": (f"{start} IS NULL AND {end} IS NULL", ()),
        "incomplete": (f"({end} >= ? OR {end} IS NULL)", (today,)),
    }
    if status not in conditions:
        raise refused(f"Unknown status; known are {', '.join(conditions)}")
    where, arguments = conditions[status]
    return cycles_of(project).narrowed(where, *arguments)


def of_project(resource: Resource, project: str, order: str = "-created_at", where: str = "1") -> Listing:
    return Listing(resource, f"{resource.table}.project = ? AND {where}", (project,), order)


def of_issue(
    resource: Resource, project: str, issue: str, order: str = "-created_at", where: str = "1"
) -> Listing:
    return Listing(
        resource,
        f"{resource.table}.project = ? AND {resource.table}.issue = ? AND {where}",
        (project, issue),
        order,
    )
