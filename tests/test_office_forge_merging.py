"""Merge requests, from creation to merging, over real repositories."""

from collections.abc import Iterator

import gitlab
import pytest
from gitlab.exceptions import GitlabCreateError, GitlabMRApprovalError, GitlabMRClosedError
from gitlab.v4.objects import Project, ProjectMergeRequest
from office_forge_helpers import OVERLAY, client, new_project
from office_helpers import ServedOffice, served_office

from tac_rl.office.forge.closing import closed_issues


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedOffice]:
    with served_office(tmp_path_factory.mktemp("forge"), OVERLAY) as served:
        yield served


def write(project: Project, branch: str, path: str, content: str, message: str = "Change") -> str:
    """Commit one file, on a new branch from main if need be; gives the commit's id."""
    names = [one.name for one in project.branches.list(get_all=True)]
    ref = branch if branch in names else "main"
    tree = project.repository_tree(ref=ref, recursive=True, get_all=True)
    there = path in [entry["path"] for entry in tree]
    given = {
        "branch": branch,
        "commit_message": message,
        "actions": [{"action": "update" if there else "create", "file_path": path, "content": content}],
    }
    if branch not in names:
        given["start_branch"] = "main"
    return str(project.commits.create(given).id)


def request(project: Project, branch: str, **more: object) -> ProjectMergeRequest:
    given = {"source_branch": branch, "target_branch": "main", "title": f"Merge {branch}", **more}
    return project.mergerequests.create(given)  # type: ignore[return-value]


def test_the_overlays_request_is_shown_with_its_difference(office: ServedOffice) -> None:
    project = client(office).projects.get("root/atlas")
    found = project.mergerequests.get(1)
    assert (found.author["username"], found.reviewers[0]["username"]) == ("alex_turner", "sarah_johnson")
    assert (found.merge_status, found.detailed_merge_status, found.has_conflicts) == (
        "can_be_merged", "mergeable", False,
    )  # fmt: skip
    assert (found.changes_count, found.sha) == ("1", project.branches.get("feature/colour").commit["id"])
    assert [commit.title for commit in found.commits()] == ["Try colours"]
    (change,) = found.changes()["changes"]
    assert change["diff"] == "@@ -1,2 +1,2 @@\n def draw():\n-    return 'map'\n+    return 'colour map'\n"
    assert [issue.iid for issue in found.closes_issues()] == [7]
    assert [one["iid"] for one in project.issues.get(7).closed_by()] == [1]


def test_requests_are_filtered(office: ServedOffice) -> None:
    project = new_project(office, "filtered")
    write(project, "one", "1", "1")
    write(project, "two", "2", "2")
    first = request(project, "one", labels=["small"], title="Draft: first")
    second = request(project, "two", reviewer_ids=[1], assignee_id=1)
    first.state_event = "close"
    first.save()

    def found(**query: object) -> list[int]:
        return [one.iid for one in project.mergerequests.list(query_parameters=query)]

    assert found() == [2, 1]
    assert found(state="opened") == [second.iid]
    assert found(state="closed") == [first.iid]
    assert found(state="merged") == []
    assert found(source_branch="two") == [second.iid]
    assert found(target_branch="elsewhere") == []
    assert found(labels="small") == [first.iid]
    assert found(wip="yes") == [first.iid]
    assert found(reviewer_username="root") == [second.iid]
    assert found(assignee_id=1) == [second.iid]
    assert found(search="merge") == [second.iid]
    assert {one.iid for one in client(office).mergerequests.list(scope="all", search="Draft")} == {first.iid}


def test_merging_makes_a_merge_commit_closes_issues_and_removes_the_branch(office: ServedOffice) -> None:
    project = new_project(office, "merged")
    issue = project.issues.create({"title": "Wanted"})
    head = write(project, "topic", "new.txt", "new\n")
    made = request(project, "topic", description=f"Closes #{issue.iid}", remove_source_branch=True)
    made.merge(should_remove_source_branch=True)
    found = project.mergerequests.get(made.iid)
    assert (found.state, found.merged_by["username"], found.sha) == ("merged", "root", head)
    tip = project.commits.get("main")
    assert (tip.id, len(tip.parent_ids)) == (found.merge_commit_sha, 2)
    assert tip.message == (
        f"Merge branch 'topic' into 'main'\n\nMerge topic\n\nCloses #1\n\nSee merge request root/merged!{made.iid}\n"
    )
    assert project.files.raw("new.txt", "main") == b"new\n"
    assert [branch.name for branch in project.branches.list()] == ["main"]
    assert project.issues.get(issue.iid).state == "closed"
    assert [change["new_path"] for change in found.changes()["changes"]] == ["new.txt"]
    assert [commit.id for commit in found.commits()] == [head]
    with pytest.raises(GitlabMRClosedError) as caught:
        found.merge()
    assert caught.value.response_code == 405


def test_a_squash_makes_one_commit(office: ServedOffice) -> None:
    project = new_project(office, "squashed")
    write(project, "topic", "a", "a")
    write(project, "topic", "b", "b")
    made = request(project, "topic")
    made.merge(squash=True, squash_commit_message="Both", merge_commit_message="Joined")
    titles = [commit.title for commit in project.commits.list()]
    assert titles == ["Joined", "Both", "Initial commit"]
    assert project.mergerequests.get(made.iid).squash_commit_sha is not None


def test_a_fast_forward_is_made_where_the_project_asks_for_it(office: ServedOffice) -> None:
    project = new_project(office, "straight", merge_method="ff")
    head = write(project, "topic", "a", "a")
    request(project, "topic").merge()
    assert project.commits.get("main").id == head
    write(project, "other", "b", "b")
    write(project, "main", "c", "c")
    with pytest.raises(GitlabMRClosedError) as caught:
        request(project, "other").merge()
    assert caught.value.response_code == 422


def test_a_conflict_is_told_and_not_merged(office: ServedOffice) -> None:
    project = new_project(office, "conflicting")
    write(project, "topic", "README.md", "theirs\n")
    write(project, "main", "README.md", "ours\n")
    made = request(project, "topic")
    found = project.mergerequests.get(made.iid)
    assert (found.merge_status, found.has_conflicts) == ("cannot_be_merged", True)
    with pytest.raises(GitlabMRClosedError) as caught:
        found.merge()
    assert (caught.value.response_code, caught.value.error_message) == (422, "Branch cannot be merged")
    assert project.files.raw("README.md", "main") == b"ours\n"


def test_drafts_and_other_heads_are_not_merged(office: ServedOffice) -> None:
    project = new_project(office, "careful")
    write(project, "topic", "a", "a")
    made = request(project, "topic", title="Draft: later")
    assert made.draft and made.detailed_merge_status == "draft_status"
    with pytest.raises(GitlabMRClosedError) as draft:
        made.merge()
    assert draft.value.response_code == 405
    made.title = "Now"
    made.save()
    with pytest.raises(gitlab.exceptions.GitlabHttpError) as stale:
        client(office).http_put(
            f"/projects/{project.id}/merge_requests/{made.iid}/merge", post_data={"sha": "0" * 40}
        )
    assert stale.value.response_code == 409
    made.merge()


def test_only_who_may_merge_merges(office: ServedOffice) -> None:
    project = new_project(office, "guarded")
    alex, sarah = (
        client(office).users.list(username=name)[0].id for name in ("alex_turner", "sarah_johnson")
    )
    project.members.create({"user_id": alex, "access_level": 30})
    project.members.create({"user_id": sarah, "access_level": 40})
    write(project, "topic", "a", "a")
    made = request(project, "topic")
    with pytest.raises(gitlab.exceptions.GitlabAuthenticationError) as caught:
        client(office, "alex_turner").projects.get(project.id).mergerequests.get(made.iid).merge()
    assert caught.value.response_code == 401
    client(office, "sarah_johnson").projects.get(project.id).mergerequests.get(made.iid).merge()
    assert project.mergerequests.get(made.iid).merged_by["username"] == "sarah_johnson"


def test_a_request_follows_its_branch_and_is_merged_by_a_push_of_its_commits(office: ServedOffice) -> None:
    project = new_project(office, "following")
    write(project, "topic", "a", "a")
    made = request(project, "topic")
    head = write(project, "topic", "a", "b", "More")
    assert project.mergerequests.get(made.iid).sha == head
    assert [commit.title for commit in made.commits()] == ["More", "Change"]
    project.branches.create({"branch": "release", "ref": "topic"})
    into_release = project.mergerequests.create(
        {"source_branch": "main", "target_branch": "release", "title": "Back"}
    )
    write(project, "main", "z", "z")
    made.merge()
    project.mergerequests.get(into_release.iid).merge()
    assert [one.state for one in project.mergerequests.list()] == ["merged", "merged"]


def test_a_wrong_request_is_refused(office: ServedOffice) -> None:
    project = new_project(office, "wrong")
    write(project, "topic", "a", "a")
    request(project, "topic")
    for given, status in (
        ({"source_branch": "topic"}, 409),
        ({"source_branch": "nowhere"}, 400),
        ({"source_branch": "main"}, 400),
        ({"source_branch": "topic", "target_branch": "nowhere"}, 400),
    ):
        with pytest.raises(GitlabCreateError) as caught:
            project.mergerequests.create({"target_branch": "main", "title": "x", **given})
        assert caught.value.response_code == status


def test_a_request_from_a_fork(office: ServedOffice) -> None:
    project = new_project(office, "upstream")
    alex = client(office, "alex_turner")
    fork = alex.projects.get(project.id).forks.create({})
    copied = alex.projects.get(fork.id)
    head = write(copied, "idea", "idea.txt", "better\n")
    made = copied.mergerequests.create(
        {"source_branch": "idea", "target_branch": "main", "title": "Idea", "target_project_id": project.id}
    )
    found = project.mergerequests.get(made.iid)
    assert (found.source_project_id, found.target_project_id, found.sha) == (fork.id, project.id, head)
    assert [change["new_path"] for change in found.changes()["changes"]] == ["idea.txt"]
    copied.delete()
    found.merge()
    assert project.files.raw("idea.txt", "main") == b"better\n"


def test_approvals_are_kept(office: ServedOffice) -> None:
    project = new_project(office, "approved")
    write(project, "topic", "a", "a")
    made = request(project, "topic")
    made.approve()
    assert [one["user"]["username"] for one in made.approvals.get().approved_by] == ["root"]
    with pytest.raises((gitlab.exceptions.GitlabAuthenticationError, GitlabMRApprovalError)):
        made.approve()
    made.unapprove()
    assert made.approvals.get().approved_by == []


def test_a_request_is_closed_reopened_and_deleted(office: ServedOffice) -> None:
    project = new_project(office, "reopened")
    write(project, "topic", "a", "a")
    made = request(project, "topic")
    made.state_event = "close"
    made.save()
    assert project.mergerequests.get(made.iid).state == "closed"
    made.state_event = "reopen"
    made.save()
    assert project.mergerequests.get(made.iid).state == "opened"
    made.delete()
    assert project.mergerequests.list() == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Closes #3", [3]),
        ("fixes: #3, #4 and #5", [3, 4, 5]),
        ("Resolved issue root/atlas#9 and other/atlas#8", [9]),
        ("See #3; close nothing", []),
        ("disclose #3", []),
        ("Fix #3. Closes #3", [3]),
        ("implements #1" + " " * 30_000 + "and #2", [1]),
        ("closes " * 5_000 + "#7", []),
    ],
)
def test_which_issues_a_text_closes(text: str, numbers: list[int]) -> None:
    assert closed_issues(text, "root/atlas") == numbers
