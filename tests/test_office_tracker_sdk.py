"""The tracker, driven by Plane's own client (plane-sdk), through every endpoint that the two share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from office_helpers import ServedOffice
from plane import PlaneClient
from plane.errors import HttpError
from plane.models import cycles as cycle_models
from plane.models import labels as label_models
from plane.models import modules as module_models
from plane.models import projects as project_models
from plane.models import states as state_models
from plane.models import work_items as item_models
from plane.models.intake import CreateIntakeWorkItem, UpdateIntakeWorkItem
from plane.models.query_params import (
    CycleListQueryParams,
    CycleLiteListQueryParams,
    LiteListQueryParams,
    MemberListQueryParams,
    MemberQueryParams,
    PaginatedQueryParams,
    ProjectLiteListQueryParams,
    RetrieveQueryParams,
    WorkItemQueryParams,
)
from tracker_helpers import served_tracker

from tac_rl.office.base import TRACKER_KEY
from tac_rl.office.tracker.people import key_of

OVERLAY: dict[str, Any] = {
    "tracker": {
        "projects": [
            {
                "name": "StreamDB",
                "identifier": "SDB",
                "labels": [{"name": "bug", "color": "#FF0000"}],
                "cycles": [
                    {"name": "Sprint 1", "start": "2026-03-02", "end": "2026-03-15"},
                    {"name": "Sprint 2", "start": "2126-03-16", "end": "2126-03-29"},
                ],
                "modules": [{"name": "Storage"}],
                "issues": [
                    {
                        "title": "Compaction stalls",
                        "priority": "urgent",
                        "assignees": ["alex_turner"],
                        "labels": ["bug"],
                        "cycle": "Sprint 1",
                        "module": "Storage",
                        "state": "In Progress",
                        "due": "2026-03-10",
                    },
                    {"title": "Write the manual", "state": "Done", "cycle": "Sprint 1"},
                    {"title": "Measure throughput"},
                ],
            }
        ]
    }
}


class Tracker:
    """A client and the project of `OVERLAY`."""

    def __init__(self, office: ServedOffice) -> None:
        self.url = office.urls["tracker"]
        self.client = PlaneClient(base_url=self.url, api_key=TRACKER_KEY)
        [project] = self.client.projects.list("tac").results
        assert project.id
        self.project: str = project.id

    def item(self, name: str) -> item_models.WorkItem:
        found = self.client.work_items.list("tac", self.project).results
        return next(item for item in found if item.name == name)

    def item_id(self, name: str = "Compaction stalls") -> str:
        identifier = self.item(name).id
        assert identifier
        return identifier

    def state_id(self, name: str) -> str:
        found = self.client.states.list("tac", self.project).results
        return next(state.id or "" for state in found if state.name == name)

    def cycle_id(self, name: str) -> str:
        found = self.client.cycles.list("tac", self.project)
        assert not isinstance(found, list)
        return next(cycle.id or "" for cycle in found.results if cycle.name == name)

    def person_id(self, display_name: str) -> str:
        found = self.client.workspaces.get_members("tac")
        return next(member.id or "" for member in found if member.display_name == display_name)


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Tracker]:
    with served_tracker(tmp_path, OVERLAY) as office:
        yield Tracker(office)


def names(page: Any) -> list[str]:
    return [record.name for record in page.results]


def test_the_caller_and_everybody_else(tracker: Tracker) -> None:
    me = tracker.client.users.get_me()
    assert (me.email, me.display_name) == ("agent@company.com", "theagentcompany")
    everybody = tracker.client.workspaces.get_members("tac")
    assert {member.display_name for member in everybody} == {
        "theagentcompany",
        "alexturner",
        "sarahjohnson",
        "mikechen",
    }
    assert {member.role for member in everybody if member.display_name == "theagentcompany"} == {20}
    page = tracker.client.workspaces.get_members_lite("tac", MemberListQueryParams(per_page=3))
    assert (len(page.results), page.next_page_results) == (3, True)
    page = tracker.client.workspaces.get_members_lite(
        "tac", MemberListQueryParams(per_page=3, cursor=page.next_cursor)
    )
    assert (len(page.results), page.next_page_results) == (1, False)
    alex = PlaneClient(base_url=tracker.url, api_key=key_of("alex_turner")).users.get_me()
    assert alex.id == tracker.person_id("alexturner")


def test_projects(tracker: Tracker) -> None:
    projects = tracker.client.projects
    made = projects.create("tac", project_models.CreateProject(name="Website", identifier="web"))
    assert made.id and (made.identifier, made.total_members, made.member_role) == ("WEB", 1, 20)
    assert names(tracker.client.states.list("tac", made.id)) == [
        "Backlog",
        "Todo",
        "In Progress",
        "Done",
        "Cancelled",
    ]
    changed = projects.update("tac", made.id, project_models.UpdateProject(description="Pages"))
    assert (changed.name, changed.description) == ("Website", "Pages")
    assert projects.retrieve("tac", made.id).description == "Pages"
    features = projects.update_features("tac", made.id, project_models.ProjectFeature(intakes=True))
    assert (features.intakes, projects.get_features("tac", made.id).cycles) == (True, True)
    projects.archive("tac", made.id)
    assert names(projects.list_lite("tac")) == ["StreamDB"]
    assert len(projects.list_lite("tac", ProjectLiteListQueryParams(include_archived=True)).results) == 2
    with pytest.raises(HttpError, match="400"):
        projects.update("tac", made.id, project_models.UpdateProject(name="x"))
    projects.unarchive("tac", made.id)
    assert projects.retrieve("tac", made.id).archived_at is None
    projects.delete("tac", made.id)
    assert names(projects.list("tac", PaginatedQueryParams(per_page=10))) == ["StreamDB"]


def test_members_of_a_project(tracker: Tracker) -> None:
    members = tracker.client.projects.get_members("tac", tracker.project)
    assert len(members) == 4
    found = tracker.client.projects.get_members(
        "tac", tracker.project, MemberQueryParams(first_name="sar", role_slug="contributor")
    )
    assert [member.email for member in found] == ["sarah.johnson@agentcompany.com"]
    page = tracker.client.projects.get_members_lite("tac", tracker.project)
    assert page.total_count == 4


def test_states(tracker: Tracker) -> None:
    states = tracker.client.states
    made = states.create(
        "tac", tracker.project, state_models.CreateState(name="In Review", color="#000000", group="started")
    )
    assert made.id and (made.group, made.project) == ("started", tracker.project)
    changed = states.update("tac", tracker.project, made.id, state_models.UpdateState(default=True))
    assert changed.default is True
    item = tracker.client.work_items.create(
        "tac", tracker.project, item_models.CreateWorkItem(name="Goes to the default state")
    )
    assert item.state == made.id
    defaults = [state.name for state in states.list("tac", tracker.project).results if state.default]
    assert defaults == ["In Review"]
    with pytest.raises(HttpError, match="400"):
        states.delete("tac", tracker.project, made.id)
    states.delete("tac", tracker.project, tracker.state_id("Cancelled"))
    with pytest.raises(HttpError, match="404"):
        states.retrieve("tac", tracker.project, made.project or "")


def test_labels(tracker: Tracker) -> None:
    labels = tracker.client.labels
    made = labels.create("tac", tracker.project, label_models.CreateLabel(name="docs", color="#00FF00"))
    assert made.id
    assert (
        labels.update("tac", tracker.project, made.id, label_models.UpdateLabel(name="Docs")).name == "Docs"
    )
    assert labels.retrieve("tac", tracker.project, made.id).color == "#00FF00"
    with pytest.raises(HttpError, match="409"):
        labels.create("tac", tracker.project, label_models.CreateLabel(name="Docs"))
    bug = next(label for label in labels.list("tac", tracker.project).results if label.name == "bug")
    labels.delete("tac", tracker.project, bug.id or "")
    item = tracker.client.work_items.retrieve("tac", tracker.project, tracker.item_id())
    assert item.labels == []
    assert names(labels.list("tac", tracker.project)) == ["Docs"]


def test_work_items_from_creation_to_deletion(tracker: Tracker) -> None:
    items = tracker.client.work_items
    alex = tracker.person_id("alexturner")
    made = items.create(
        "tac",
        tracker.project,
        item_models.CreateWorkItem(
            name="Sort the keys",
            description_html="<p>Keys &amp; <b>values</b></p>",
            priority="high",
            assignees=[alex],
            start_date="2026-03-02",
            target_date="2026-03-09",
            parent=tracker.item_id(),
        ),
    )
    assert made.id and (made.sequence_id, made.state) == (4, tracker.state_id("Backlog"))
    assert made.description_stripped == "Keys & values"
    expanded = items.retrieve(
        "tac", tracker.project, made.id, RetrieveQueryParams(expand="assignees,state,labels,project")
    )
    assert not isinstance(expanded.state, str) and expanded.state and expanded.state.name == "Backlog"
    assert [getattr(person, "display_name", person) for person in expanded.assignees] == ["alexturner"]
    assert isinstance(expanded.project, dict) and expanded.project["identifier"] == "SDB"
    done = tracker.state_id("Done")
    changed = items.update(
        "tac", tracker.project, made.id, item_models.UpdateWorkItem(state=done, assignees=[], parent=None)
    )
    assert (changed.state, changed.parent) == (done, None) and changed.completed_at
    by_number = items.retrieve_by_identifier("tac", "SDB", 4)
    assert (by_number.id, by_number.assignees) == (made.id, [])
    items.archive("tac", tracker.project, made.id)
    assert names(items.list_archived("tac", tracker.project)) == ["Sort the keys"]
    assert "Sort the keys" not in names(items.list("tac", tracker.project))
    items.unarchive("tac", tracker.project, made.id)
    items.delete("tac", tracker.project, made.id)
    with pytest.raises(HttpError, match="404"):
        items.retrieve("tac", tracker.project, made.id)
    again = items.create("tac", tracker.project, item_models.CreateWorkItem(name="The next number"))
    assert again.sequence_id == 5, "a deleted issue's number was given again"


def test_work_items_in_pages_in_order_and_filtered(tracker: Tracker) -> None:
    items, alex = tracker.client.work_items, tracker.person_id("alexturner")
    first = items.list("tac", tracker.project, WorkItemQueryParams(per_page=2, order_by="sequence_id"))
    assert (names(first), first.total_count, first.total_pages, first.next_page_results) == (
        ["Compaction stalls", "Write the manual"],
        3,
        2,
        True,
    )
    rest = items.list(
        "tac",
        tracker.project,
        WorkItemQueryParams(per_page=2, order_by="sequence_id", cursor=first.next_cursor),
    )
    assert (names(rest), rest.next_page_results, rest.prev_page_results) == (
        ["Measure throughput"],
        False,
        True,
    )
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"priority": "urgent"}, ["Compaction stalls"]),
        ({"state_group__in": ["completed", "cancelled"]}, ["Write the manual"]),
        ({"assignee_id": alex}, ["Compaction stalls"]),
        ({"assignee_id__isnull": True}, ["Measure throughput", "Write the manual"]),
        ({"name__icontains": "THE"}, ["Write the manual"]),
        ({"target_date__range": ["2026-03-01", "2026-03-31"]}, ["Compaction stalls"]),
        ({"cycle_id": tracker.cycle_id("Sprint 1")}, ["Compaction stalls", "Write the manual"]),
        ({"not": {"cycle_id__isnull": False}}, ["Measure throughput"]),
        (
            {"or": [{"priority": "urgent"}, {"and": [{"sequence_id__gte": 3}, {"priority": "none"}]}]},
            ["Compaction stalls", "Measure throughput"],
        ),
    ]
    for filters, expected in cases:
        found = items.list("tac", tracker.project, WorkItemQueryParams(filters=filters, order_by="name"))
        assert (filters, names(found)) == (filters, expected)
    assert len(items.list_workspace("tac").results) == 3
    with pytest.raises(HttpError, match="400"):
        items.list("tac", tracker.project, WorkItemQueryParams(filters={"colour": "red"}))
    with pytest.raises(HttpError, match="400"):
        items.list("tac", tracker.project, WorkItemQueryParams(pql="priority = urgent"))


def test_search(tracker: Tracker) -> None:
    items = tracker.client.work_items
    [found] = items.search("tac", "compaction").issues
    assert (found.sequence_id, found.project__identifier, found.workspace__slug) == (1, "SDB", "tac")
    assert items.search("tac", "' OR '' = '").issues == []
    [advanced] = items.advanced_search(
        "tac", item_models.AdvancedSearchWorkItem(query="the", filters={"state_group": "completed"})
    )
    assert (advanced.name, advanced.project_identifier) == ("Write the manual", "SDB")


def test_comments(tracker: Tracker) -> None:
    comments, item = tracker.client.work_items.comments, tracker.item_id()
    made = comments.create(
        "tac", tracker.project, item, item_models.CreateWorkItemComment(comment_html="<p>First</p>")
    )
    assert made.id and (made.comment_stripped, made.issue) == ("First", item)
    reply = comments.create(
        "tac",
        tracker.project,
        item,
        item_models.CreateWorkItemComment(comment_html="<p>Second</p>", parent=made.id),
    )
    changed = comments.update(
        "tac", tracker.project, item, made.id, item_models.UpdateWorkItemComment(comment_html="<p>1st</p>")
    )
    assert changed.comment_stripped == "1st" and changed.edited_at
    assert comments.retrieve("tac", tracker.project, item, made.id).comment_html == "<p>1st</p>"
    assert [c.id for c in comments.list("tac", tracker.project, item).results] == [reply.id, made.id]
    comments.delete("tac", tracker.project, item, made.id)
    assert comments.list("tac", tracker.project, item).total_count == 0


def test_every_change_of_a_work_item_is_an_activity(tracker: Tracker) -> None:
    items, item = tracker.client.work_items, tracker.item_id()
    bug = tracker.client.labels.list("tac", tracker.project).results[0].id
    items.update(
        "tac",
        tracker.project,
        item,
        item_models.UpdateWorkItem(
            name="Compaction hangs",
            priority="low",
            state=tracker.state_id("Todo"),
            assignees=[tracker.person_id("sarahjohnson")],
            labels=[],
        ),
    )
    found = items.activities.list("tac", tracker.project, item).results
    changes = {(a.field, a.old_value, a.new_value) for a in found if a.verb == "updated"}
    assert changes == {
        ("name", "Compaction stalls", "Compaction hangs"),
        ("priority", "urgent", "low"),
        ("state", "In Progress", "Todo"),
        ("assignees", None, "sarahjohnson"),
        ("assignees", "alexturner", None),
        ("labels", "bug", None),
    }
    label = next(activity for activity in found if activity.field == "labels")
    assert (label.old_identifier, label.actor) == (bug, tracker.client.users.get_me().id)
    one = items.activities.retrieve("tac", tracker.project, item, label.id or "")
    assert one.old_value == "bug"


def test_links(tracker: Tracker) -> None:
    links, item = tracker.client.work_items.links, tracker.item_id()
    made = links.create(
        "tac", tracker.project, item, item_models.CreateWorkItemLink(url="http://the-agent-company.com:8929/")
    )
    assert made.id
    changed = links.update(
        "tac", tracker.project, item, made.id, item_models.UpdateWorkItemLink(title="The forge")
    )
    assert changed.title == "The forge"
    assert links.retrieve("tac", tracker.project, item, made.id).url.endswith(":8929/")
    for url in (made.url, "javascript:alert(1)", "not a url"):
        with pytest.raises(HttpError, match="400"):
            links.create("tac", tracker.project, item, item_models.CreateWorkItemLink(url=url))
    assert links.list("tac", tracker.project, item).total_count == 1
    links.delete("tac", tracker.project, item, made.id)
    assert links.list("tac", tracker.project, item).total_count == 0


def test_relations(tracker: Tracker) -> None:
    relations = tracker.client.work_items.relations
    first, second = tracker.item_id(), tracker.item_id("Write the manual")
    relations.create(
        "tac",
        tracker.project,
        first,
        item_models.CreateWorkItemRelation(relation_type="blocking", issues=[second]),
    )
    assert relations.list("tac", tracker.project, first).blocking == [second]
    assert relations.list("tac", tracker.project, second).blocked_by == [first]
    relations.delete("tac", tracker.project, second, item_models.RemoveWorkItemRelation(related_issue=first))
    assert relations.list("tac", tracker.project, first).blocking == []


def test_attachments(tracker: Tracker) -> None:
    attachments, item = tracker.client.work_items.attachments, tracker.item_id()
    made = attachments.upload_from_bytes(
        "tac", tracker.project, item, b"<script>1</script>", "../plan.html", "text/html"
    )
    url = attachments.get_download_url("tac", tracker.project, item, made.id or "")
    answer = requests.get(url, timeout=10)
    assert answer.content == b"<script>1</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    [listed] = attachments.list("tac", tracker.project, item)
    assert (listed.is_uploaded, listed.size) == (True, 18)
    request = item_models.WorkItemAttachmentUploadRequest(name="a.txt", type="text/plain", size=4)
    announced = attachments.create("tac", tracker.project, item, request)
    attachments.delete("tac", tracker.project, item, announced.id or "")
    attachments.delete("tac", tracker.project, item, made.id or "")
    assert requests.get(url, timeout=10).status_code == 404
    assert attachments.list("tac", tracker.project, item) == []


def test_cycles(tracker: Tracker) -> None:
    cycles, me = tracker.client.cycles, tracker.client.users.get_me().id or ""
    made = cycles.create(
        "tac",
        tracker.project,
        cycle_models.CreateCycle(
            name="Sprint 3",
            start_date="2126-04-01",
            end_date="2126-04-14",
            owned_by=me,
            project_id=tracker.project,
        ),
    )
    assert made.id and (made.start_date, made.owned_by) == ("2126-04-01", me)
    changed = cycles.update("tac", tracker.project, made.id, cycle_models.UpdateCycle(description="Last"))
    assert changed.description == "Last"
    first = cycles.retrieve("tac", tracker.project, tracker.cycle_id("Sprint 1"))
    assert (first.total_issues, first.completed_issues, first.started_issues) == (2, 1, 1)
    upcoming = cycles.list("tac", tracker.project, CycleListQueryParams(status="upcoming"))
    assert names(upcoming) == ["Sprint 3", "Sprint 2"]
    assert cycles.list("tac", tracker.project, CycleListQueryParams(status="current")) == []
    lite = cycles.list_lite("tac", tracker.project, CycleLiteListQueryParams(status="completed"))
    assert names(lite) == ["Sprint 1"]
    with pytest.raises(HttpError, match="400"):
        cycles.archive("tac", tracker.project, made.id)
    cycles.archive("tac", tracker.project, first.id or "")
    assert names(cycles.list_archived("tac", tracker.project)) == ["Sprint 1"]
    cycles.unarchive("tac", tracker.project, first.id or "")
    with pytest.raises(HttpError, match="400"):
        cycles.update("tac", tracker.project, first.id or "", cycle_models.UpdateCycle(name="Over"))
    cycles.delete("tac", tracker.project, made.id)
    with pytest.raises(HttpError, match="404"):
        cycles.retrieve("tac", tracker.project, made.id)


def test_work_items_of_cycles(tracker: Tracker) -> None:
    cycles, loose = tracker.client.cycles, tracker.item_id("Measure throughput")
    first, second = tracker.cycle_id("Sprint 1"), tracker.cycle_id("Sprint 2")
    cycles.add_work_items("tac", tracker.project, first, [loose])
    listed = cycles.list_work_items("tac", tracker.project, first, WorkItemQueryParams(order_by="name"))
    assert names(listed) == ["Compaction stalls", "Measure throughput", "Write the manual"]
    cycles.add_work_items("tac", tracker.project, second, [loose])
    assert names(cycles.list_work_items("tac", tracker.project, second)) == ["Measure throughput"]
    assert len(cycles.list_work_items("tac", tracker.project, first).results) == 2
    cycles.transfer_work_items(
        "tac", tracker.project, first, cycle_models.TransferCycleWorkItemsRequest(new_cycle_id=second)
    )
    assert names(cycles.list_work_items("tac", tracker.project, first)) == ["Write the manual"]
    cycles.remove_work_item("tac", tracker.project, second, loose)
    assert names(cycles.list_work_items("tac", tracker.project, second)) == ["Compaction stalls"]
    with pytest.raises(HttpError, match="404"):
        cycles.remove_work_item("tac", tracker.project, second, loose)
    with pytest.raises(HttpError, match="400"):
        cycles.transfer_work_items(
            "tac", tracker.project, second, cycle_models.TransferCycleWorkItemsRequest(new_cycle_id=first)
        )


def test_modules_and_their_work_items(tracker: Tracker) -> None:
    modules, item = tracker.client.modules, tracker.item_id("Measure throughput")
    made = modules.create(
        "tac",
        tracker.project,
        module_models.CreateModule(name="Speed", lead=tracker.person_id("alexturner"), status="planned"),
    )
    assert made.id
    modules.add_work_items("tac", tracker.project, made.id, [item])
    assert names(modules.list_work_items("tac", tracker.project, made.id)) == ["Measure throughput"]
    assert modules.retrieve("tac", tracker.project, made.id).total_issues == 1
    modules.remove_work_item("tac", tracker.project, made.id, item)
    assert modules.list_work_items("tac", tracker.project, made.id).results == []
    changed = modules.update("tac", tracker.project, made.id, module_models.UpdateModule(status="completed"))
    assert changed.status == "completed"
    modules.archive("tac", tracker.project, made.id)
    assert names(modules.list_archived("tac", tracker.project)) == ["Speed"]
    modules.unarchive("tac", tracker.project, made.id)
    assert len(modules.list_lite("tac", tracker.project, LiteListQueryParams(order_by="name")).results) == 2
    modules.delete("tac", tracker.project, made.id)
    assert names(modules.list("tac", tracker.project)) == ["Storage"]


def test_the_intake(tracker: Tracker) -> None:
    intake = tracker.client.intake
    request = CreateIntakeWorkItem(issue=item_models.WorkItemForIntakeRequest(name="A wish", priority="low"))
    with pytest.raises(HttpError, match="400"):
        intake.create("tac", tracker.project, request)
    tracker.client.projects.update("tac", tracker.project, project_models.UpdateProject(intake_view=True))
    made = intake.create("tac", tracker.project, request)
    assert made.issue and made.issue_detail and made.issue_detail.name == "A wish"
    assert made.status == -2
    assert "A wish" not in names(tracker.client.work_items.list("tac", tracker.project))
    assert [waiting.issue for waiting in intake.list("tac", tracker.project).results] == [made.issue]
    accepted = intake.update_status("tac", tracker.project, made.issue, UpdateIntakeWorkItem(status=1))
    assert accepted.status == 1
    assert tracker.item("A wish").state == tracker.state_id("Backlog")
    assert intake.retrieve("tac", tracker.project, made.issue).status == 1
    intake.delete("tac", tracker.project, made.issue)
    assert intake.list("tac", tracker.project).results == []
