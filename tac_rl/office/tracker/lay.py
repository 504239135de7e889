"""Lay the tracker's section of an overlay over a tenant: accounts, projects, and what is in them."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tac_rl.errors import OverlayError
from tac_rl.office import overlay as o
from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker import issues, plans, projects, threads
from tac_rl.office.tracker import resources as r
from tac_rl.office.tracker.fields import Scope, moment_text
from tac_rl.office.tracker.people import AGENT, names_of
from tac_rl.office.tracker.records import Act, Problem, html_of_text
from tac_rl.office.tracker.resources import Resource

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""When things begin where an overlay gives no time."""


def lay(tenant: Tenant, overlay: o.TrackerOverlay) -> None:
    """Add what the overlay names; a project that is there is extended, and given fields replace what was."""
    for username, identifier in overlay.accounts.items():
        _check_person(tenant, username, "tracker accounts")
        given = _check_uuid(identifier, f"tracker account of {username}")
        tenant.db.execute("DELETE FROM tracker_accounts WHERE username = ? OR id = ?", (username, given))
        tenant.db.execute("INSERT INTO tracker_accounts VALUES (?, ?)", (username, given))
    for project in overlay.projects:
        _Project(tenant, project).lay()


class _Project:
    """One project of an overlay, being laid."""

    def __init__(self, tenant: Tenant, overlay: o.TrackerProjectOverlay) -> None:
        self.tenant = tenant
        self.overlay = overlay
        self.where = f"tracker project {overlay.name!r}"
        times = [_utc(issue.at) for issue in overlay.issues if issue.at is not None]
        self.begun = moment_text(min([START, *times]))
        self.id = ""

    def lay(self) -> None:
        found = self.tenant.value("SELECT id FROM tracker_projects WHERE name = ?", self.overlay.name)
        if found is None:
            self._create()
        else:
            self.id = found
            self._extend()
        for state in self.overlay.states:
            self._state(state)
        for label in self.overlay.labels:
            values = {"name": label.name, "color": label.color, "description": label.description}
            self._put(
                r.LABEL,
                label.name,
                values,
                None,
                lambda act, v, given: projects.create_label(act, self.id, v),
            )
        for cycle in self.overlay.cycles:
            self._cycle(cycle)
        for module in self.overlay.modules:
            values = {"name": module.name, "description": module.description, "status": module.status}
            self._put(r.MODULE, module.name, values, module.id, self._new_module)
        for issue in self.overlay.issues:
            self._issue(issue)

    # The project itself

    def _create(self) -> None:
        overlay = self.overlay
        identifier = overlay.identifier or self._free_identifier()
        values = {"name": overlay.name, "identifier": identifier, "description": overlay.description}
        given = None if overlay.id is None else self._free_uuid("tracker_projects", overlay.id, self.where)
        act = Act(self.tenant, AGENT, self.begun)
        with self._told(self.where):
            parsed = r.PROJECT.parse(values, self._scope())
            parsed["project_lead"] = self._person(overlay.lead)
            self.id = projects.create_project(
                act, parsed, identifier=given, default_states=not overlay.states
            )
        self._members()

    def _extend(self) -> None:
        overlay, given = self.overlay, self.overlay.model_fields_set
        if overlay.id is not None and _check_uuid(overlay.id, self.where) != self.id:
            raise OverlayError(
                f"{self.where} is there with the id {self.id}: leave the id out, or give that one"
            )
        values: dict[str, Any] = {
            name: getattr(overlay, name) for name in ("identifier", "description") if name in given
        }
        with self._told(self.where):
            parsed = r.PROJECT.parse(values, self._scope(), partial=True)
            if "lead" in given:
                parsed["project_lead"] = self._person(overlay.lead)
            if parsed:
                projects.update_project(Act(self.tenant, AGENT, self.begun), self.id, parsed)
        if "members" in given:
            self._members()

    def _free_identifier(self) -> str:
        """The name's first letters, with a number where another project has them."""
        words = "".join(c if c.isascii() and c.isalnum() else " " for c in self.overlay.name).upper().split()
        base = "".join(word[0] for word in words)[:5] if len(words) > 2 else "".join(words)[:5]
        base, number = base or "P", 1
        candidate = base
        taken = "SELECT 1 FROM tracker_projects WHERE identifier = ?"
        while self.tenant.value(taken, candidate) is not None:
            number += 1
            candidate = f"{base}{number}"
        return candidate

    def _members(self) -> None:
        members = self.overlay.members
        everyone = [person.username for person in self.tenant.people()]
        for username in everyone if members == "everyone" else members:
            self._member(username)

    def _member(self, username: str) -> None:
        """Make somebody a member who isn't one."""
        _check_person(self.tenant, username, self.where)
        if not projects.role_in(self.tenant, self.id, username):
            role = projects.workspace_role(self.tenant, username)
            projects.set_member(Act(self.tenant, AGENT, self.begun), self.id, username, role)

    # What is in it

    def _state(self, state: o.StateOverlay) -> None:
        values = {"name": state.name, "group": state.group, "color": state.color}
        first = self.tenant.value("SELECT 1 FROM tracker_states WHERE project = ?", self.id) is None
        has_default = any(each.default for each in self.overlay.states)
        values["default"] = state.default or (first and not has_default)  # type: ignore[assignment]

        def create(act: Act, parsed: dict[str, Any], given: str | None) -> str:
            return projects.create_state(act, self.id, parsed, identifier=given)

        self._put(r.STATE, state.name, values, state.id, create)

    def _cycle(self, cycle: o.CycleOverlay) -> None:
        values = {
            "name": cycle.name,
            "description": cycle.description,
            "start_date": cycle.start,
            "end_date": cycle.end,
        }
        self._put(r.CYCLE, cycle.name, values, cycle.id, self._new_cycle)

    def _new_cycle(self, act: Act, values: dict[str, Any], given: str | None) -> str:
        return plans.create_cycle(act, self.id, values, identifier=given)

    def _new_module(self, act: Act, values: dict[str, Any], given: str | None) -> str:
        return plans.create_module(act, self.id, values, identifier=given)

    def _put(
        self,
        resource: Resource,
        name: str,
        values: Mapping[str, Any],
        given: str | None,
        create: Callable[[Act, dict[str, Any], str | None], str],
    ) -> None:
        """Create a named thing of the project, or change the one that is there."""
        where = f"{self.where}: {resource.name.lower()} {name!r}"
        table = resource.table
        find = f"SELECT id FROM {table} WHERE project = ? AND name = ?"
        found = self.tenant.value(find, self.id, name)
        if given is not None and found != _check_uuid(given, where):
            if found is not None:
                raise OverlayError(
                    f"{where} is there with the id {found}: leave the id out, or give that one"
                )
            given = self._free_uuid(table, given, where)
        lead = self.tenant.value("SELECT project_lead FROM tracker_projects WHERE id = ?", self.id)
        last = self.tenant.value(f"SELECT max(created_at) FROM {table} WHERE project = ?", self.id)
        act = Act(self.tenant, lead or AGENT, _after(last, self.begun))
        with self._told(where):
            parsed = resource.parse(values, self._scope(), partial=found is not None)
            resource.check_order(parsed)
            if found is None:
                create(act, parsed, given)
            else:
                # Not by the operations that people use: these refuse to touch a cycle that is over.
                columns = ", ".join(f'"{column}" = ?' for column in parsed)
                self.tenant.db.execute(
                    f"UPDATE {table} SET {columns} WHERE id = ?", (*parsed.values(), found)
                )

    def _issue(self, issue: o.TrackerIssueOverlay) -> None:
        where = f"{self.where}: issue {issue.title!r}"
        values = {
            "name": issue.title,
            "description_html": html_of_text(issue.description),
            "priority": issue.priority,
            "start_date": issue.start,
            "target_date": issue.due,
        }
        given = None if issue.id is None else self._free_uuid("tracker_issues", issue.id, where)
        taken = "SELECT name FROM tracker_issues WHERE project = ? AND sequence_id = ?"
        if issue.number and (other := self.tenant.value(taken, self.id, issue.number)) is not None:
            raise OverlayError(
                f"{where}: number {issue.number} is taken by {other!r}: leave it out, or give another"
            )
        last = self.tenant.value("SELECT max(created_at) FROM tracker_issues WHERE project = ?", self.id)
        at = _after(last, self.begun) if issue.at is None else moment_text(_utc(issue.at))
        for username in (issue.author, *issue.assignees):
            self._member(username)
        act = Act(self.tenant, issue.author, at)
        with self._told(where):
            parsed = r.ISSUE.parse(values, self._scope())
            parsed["assignees"] = json.dumps(list(dict.fromkeys(issue.assignees)))
            labels = [self._named("tracker_labels", "label", label, where) for label in issue.labels]
            parsed["labels"] = json.dumps(list(dict.fromkeys(labels)))
            if issue.state is not None:
                parsed["state"] = self._named("tracker_states", "state", issue.state, where)
            made = issues.create_issue(act, self.id, parsed, identifier=given, number=issue.number)
            if issue.cycle is not None:
                cycle = self._named("tracker_cycles", "cycle", issue.cycle, where)
                plans.put_in_cycle(act, self.id, cycle, [made])
            if issue.module is not None:
                module = self._named("tracker_modules", "module", issue.module, where)
                plans.put_in_module(act, self.id, module, [made])
            self._comments(made, at, issue.comments)

    def _comments(self, issue: str, last: str, comments: Iterable[o.NoteOverlay]) -> None:
        for comment in comments:
            self._member(comment.author)
            last = _after(last, last) if comment.at is None else moment_text(_utc(comment.at))
            parsed = r.COMMENT.parse({"comment_html": html_of_text(comment.text)}, self._scope())
            threads.create_comment(Act(self.tenant, comment.author, last), self.id, issue, parsed)

    # Looking up

    def _named(self, table: str, what: str, name: str, where: str) -> str:
        found = self.tenant.value(f"SELECT id FROM {table} WHERE project = ? AND name = ?", self.id, name)
        if found is None:
            rows = self.tenant.rows(f"SELECT name FROM {table} WHERE project = ? ORDER BY name", self.id)
            there = ", ".join(row["name"] for row in rows) or "none"
            raise OverlayError(
                f"{where}: the project has no {what} {name!r} (there: {there}): add it to {what}s"
            )
        return str(found)

    def _free_uuid(self, table: str, identifier: str, where: str) -> str:
        given = _check_uuid(identifier, where)
        if self.tenant.value(f"SELECT 1 FROM {table} WHERE id = ?", given) is not None:
            raise OverlayError(f"{where}: the id {given} is taken: leave it out, or give another")
        return given

    def _person(self, username: str | None) -> str | None:
        if username is not None:
            _check_person(self.tenant, username, self.where)
        return username

    def _scope(self) -> Scope:
        return Scope(self.tenant, names_of(self.tenant), self.id)

    @contextmanager
    def _told(self, where: str) -> Iterator[None]:
        """What the operations refuse is the overlay's fault, and told as such."""
        try:
            yield
        except Problem as problem:
            raise OverlayError(f"{where}: {problem}") from None


def _check_person(tenant: Tenant, username: str, where: str) -> None:
    if username != AGENT and tenant.person(username) is None:
        raise OverlayError(f"{where}: there is nobody called {username!r}: add them to people")


def _check_uuid(text: str, where: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise OverlayError(f"{where}: {text!r} is not a UUID") from None


def _utc(when: datetime) -> datetime:
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _after(last: str | None, begun: str) -> str:
    """A minute after what came before, else the beginning."""
    return begun if last is None else moment_text(datetime.fromisoformat(last) + timedelta(minutes=1))
