"""The forge's REST API, driven by python-gitlab, which none of us wrote."""

import base64
import io
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Any

import gitlab
import pytest
import requests
from gitlab.exceptions import GitlabCreateError, GitlabDeleteError, GitlabGetError
from office_forge_helpers import OVERLAY, client, new_project
from office_helpers import ServedOffice, served_office


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedOffice]:
    with served_office(tmp_path_factory.mktemp("forge"), OVERLAY) as served:
        yield served


@pytest.fixture(scope="module")
def root(office: ServedOffice) -> gitlab.Gitlab:
    return client(office)


@pytest.fixture(scope="module")
def alex(office: ServedOffice) -> gitlab.Gitlab:
    return client(office, "alex_turner")


def test_version_and_who_asks(root: gitlab.Gitlab, alex: gitlab.Gitlab) -> None:
    assert root.version()[0].startswith("17.")
    root.auth()
    alex.auth()
    assert root.user is not None and alex.user is not None
    assert (root.user.username, root.user.id, root.user.is_admin) == ("root", 1, True)
    assert (alex.user.username, alex.user.is_admin) == ("alex_turner", False)


def test_users_are_listed_searched_and_got(root: gitlab.Gitlab) -> None:
    assert {user.username for user in root.users.list(get_all=True)} == {
        "root", "alex_turner", "sarah_johnson", "mike_chen",
    }  # fmt: skip
    (sarah,) = root.users.list(search="sarah")
    assert root.users.get(sarah.id).name == "Sarah Johnson"
    assert [user.id for user in root.users.list(username="sarah_johnson")] == [sarah.id]
    with pytest.raises(GitlabGetError) as caught:
        root.users.get(999)
    assert caught.value.response_code == 404


def test_projects_are_listed_by_pages_with_totals(root: gitlab.Gitlab) -> None:
    first = root.projects.list(per_page=1, order_by="id", sort="asc", iterator=True)
    assert first.total is not None and first.total >= 2 and first.per_page == 1
    assert [project.path_with_namespace for project in first][:2] == ["root/atlas", "vault/secret"]


def test_a_project_is_got_by_number_and_by_path(root: gitlab.Gitlab) -> None:
    by_path = root.projects.get("root/atlas")
    by_number = root.projects.get(by_path.id)
    assert by_number.attributes == by_path.attributes
    assert by_path.open_issues_count == 1
    assert by_path.http_url_to_repo.endswith("/root/atlas.git")
    assert by_path.readme_url.endswith("/root/atlas/-/blob/main/README.md")
    assert by_path.namespace["kind"] == "user" and by_path.owner["username"] == "root"
    assert root.projects.list(search="atla")[0].id == by_path.id
    assert root.projects.list(search="root/atlas")[0].id == by_path.id


def test_a_project_is_made_edited_starred_archived_forked_and_deleted(office: ServedOffice) -> None:
    project = new_project(office, "Life cycle", description="first", topics=["maps"])
    assert (project.path, project.default_branch, project.empty_repo) == ("life-cycle", "main", False)
    project.description = "second"
    project.merge_method = "ff"
    project.save()
    found = client(office).projects.get(project.id)
    assert (found.description, found.merge_method, found.topics) == ("second", "ff", ["maps"])
    project.star()
    assert client(office).projects.get(project.id).star_count == 1
    assert project.id in [one.id for one in client(office).projects.list(starred=True)]
    project.unstar()
    project.archive()
    with pytest.raises(GitlabCreateError):
        project.branches.create({"branch": "late", "ref": "main"})
    project.unarchive()
    fork = client(office, "alex_turner").projects.get(project.id).forks.create({})
    assert fork.path_with_namespace == "alex_turner/life-cycle"
    assert fork.forked_from_project["id"] == project.id
    copied = client(office, "alex_turner").projects.get(fork.id)
    assert copied.files.get("README.md", "main").decode().startswith(b"# Life cycle")
    assert [one.id for one in project.forks.list()] == [fork.id]
    project.delete()
    with pytest.raises(GitlabGetError) as caught:
        client(office).projects.get(project.id)
    assert (caught.value.response_code, caught.value.error_message) == (404, "404 Project Not Found")
    assert client(office).projects.get(fork.id).files.get("README.md", "main")


def test_a_taken_name_is_refused(office: ServedOffice) -> None:
    new_project(office, "taken")
    with pytest.raises(GitlabCreateError) as caught:
        new_project(office, "taken")
    assert caught.value.response_code == 400
    assert caught.value.error_message["name"] == ["has already been taken"]


def test_an_avatar_is_uploaded_shown_and_removed(office: ServedOffice) -> None:
    project = new_project(office, "pictured")
    picture = b"\x89PNG\r\n\x1a\n" + bytes(100)
    client(office).projects.update(project.id, {"avatar": picture})
    url = client(office).projects.get(project.id).avatar_url
    shown = requests.get(url, timeout=30)
    assert (shown.content, shown.headers["content-type"]) == (picture, "image/png")
    client(office).projects.update(project.id, {"avatar": ""})


def test_languages_are_told_by_bytes(root: gitlab.Gitlab) -> None:
    assert root.projects.get("root/atlas").languages() == {"Python": 100.0}


def test_groups_and_their_projects(office: ServedOffice, root: gitlab.Gitlab) -> None:
    vault = root.groups.get("vault")
    assert [project.path for project in vault.projects.list()] == ["secret"]
    made = root.groups.create({"name": "Ocean", "path": "ocean", "visibility": "public"})
    made.description = "deep"
    made.save()
    project = root.projects.create({"name": "fish", "namespace_id": made.id})
    assert project.path_with_namespace == "ocean/fish"
    assert "ocean" in [group.path for group in root.groups.list(search="oce")]
    assert root.namespaces.get("ocean").kind == "group"
    assert "root" in [namespace.path for namespace in root.namespaces.list(get_all=True)]
    made.members.create({"user_id": root.users.list(username="mike_chen")[0].id, "access_level": 30})
    mike = client(office, "mike_chen")
    assert mike.projects.get("ocean/fish").permissions["group_access"]["access_level"] == 30
    made.delete()
    with pytest.raises(GitlabGetError):
        root.projects.get("ocean/fish")


def test_members_are_added_changed_and_removed(root: gitlab.Gitlab, office: ServedOffice) -> None:
    project = new_project(office, "crew")
    mike = root.users.list(username="mike_chen")[0].id
    member = project.members.create({"user_id": mike, "access_level": gitlab.const.AccessLevel.DEVELOPER})
    assert member.access_level == 30
    member.access_level = 40
    member.save()
    assert project.members.get(mike).access_level == 40
    assert {one.username for one in project.members_all.list()} == {"mike_chen", "root"}
    assert project.members_all.get(1).access_level == 50
    with pytest.raises(GitlabCreateError) as caught:
        project.members.create({"user_id": mike, "access_level": 10})
    assert caught.value.response_code == 409
    member.delete()
    assert project.members.list() == []


def test_labels(office: ServedOffice) -> None:
    project = new_project(office, "labelled")
    label = project.labels.create({"name": "needs care", "color": "#112233"})
    issue = project.issues.create({"title": "one", "labels": ["needs care"]})
    label.color = "red"
    label.save()
    assert project.labels.get("needs care").color == "#FF0000"
    project.labels.update(name="needs care", new_data={"new_name": "careful"})
    assert project.issues.get(issue.iid).labels == ["careful"]
    assert [one.name for one in project.labels.list(search="care")] == ["careful"]
    with pytest.raises(GitlabCreateError) as caught:
        project.labels.create({"name": "careful", "color": "#112233"})
    assert caught.value.response_code == 409
    project.labels.delete("careful")
    assert project.issues.get(issue.iid).labels == []


def test_milestones(office: ServedOffice) -> None:
    project = new_project(office, "planned")
    milestone = project.milestones.create(
        {"title": "M1", "due_date": "2026-05-01", "start_date": "2026-04-01"}
    )
    issue = project.issues.create({"title": "one", "milestone_id": milestone.id})
    assert issue.milestone["title"] == "M1"
    assert [one.iid for one in milestone.issues()] == [issue.iid]
    assert list(milestone.merge_requests()) == []
    milestone.due_date = "2026-05-09"
    milestone.state_event = "close"
    milestone.save()
    found = project.milestones.get(milestone.id)
    assert (found.due_date, found.state) == ("2026-05-09", "closed")
    assert [one.id for one in project.milestones.list(search="m1", state="closed")] == [milestone.id]
    assert project.milestones.list(state="active") == []
    with pytest.raises(GitlabCreateError):
        project.milestones.create({"title": "M1"})
    milestone.delete()
    assert project.issues.get(issue.iid).milestone is None


def test_an_issue_is_made_edited_closed_reopened_and_deleted(
    root: gitlab.Gitlab, office: ServedOffice
) -> None:
    project = new_project(office, "worked")
    sarah = root.users.list(username="sarah_johnson")[0].id
    issue = project.issues.create(
        {
            "title": "It breaks",
            "description": "- [x] a\n- [ ] b",
            "assignee_ids": [sarah],
            "labels": "bug,urgent",
        }
    )
    assert (issue.iid, issue.state, issue.labels) == (1, "opened", ["bug", "urgent"])
    assert issue.task_completion_status == {"count": 2, "completed_count": 1}
    assert issue.web_url == f"{office.urls['forge']}/root/worked/-/issues/1"
    issue.title = "It broke"
    issue.labels = ["urgent"]
    issue.assignee_ids = []
    issue.save()
    assert (issue.title, issue.labels, issue.assignees) == ("It broke", ["urgent"], [])
    project.issues.update(1, {"add_labels": "new", "remove_labels": "urgent"})
    assert project.issues.get(1).labels == ["new"]
    issue.state_event = "close"
    issue.save()
    closed = project.issues.get(1)
    assert (closed.state, closed.attributes["closed_by"]["username"]) == ("closed", "root")
    assert client(office).projects.get(project.id).open_issues_count == 0
    project.issues.update(1, {"state_event": "reopen"})
    assert project.issues.get(1).closed_at is None
    assert project.issues.create({"title": "numbered", "iid": 40}).iid == 40
    assert project.issues.create({"title": "next"}).iid == 41
    with pytest.raises(GitlabCreateError) as caught:
        project.issues.create({"title": "again", "iid": 40})
    assert caught.value.response_code == 409
    project.issues.delete(1)
    with pytest.raises(GitlabGetError):
        project.issues.get(1)


def test_parameters_may_come_in_the_query_as_a_form_or_as_json(office: ServedOffice) -> None:
    project = new_project(office, "given")
    url = f"{office.urls['forge']}/api/v4/projects/root%2Fgiven/issues"
    headers = {"PRIVATE-TOKEN": "root-token"}
    for given in ({"params": {"title": "q"}}, {"data": {"title": "f"}}, {"json": {"title": "j"}}):
        assert requests.post(url, headers=headers, timeout=30, **given).status_code == 201  # type: ignore[arg-type]
    closed = requests.put(f"{url}/1?state_event=close", headers=headers, timeout=30)
    assert closed.json()["state"] == "closed"
    assert [issue.title for issue in project.issues.list(sort="asc")] == ["q", "f", "j"]


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"Rivers flow uphill", "Legend is missing"}),
    ({"state": "opened"}, {"Rivers flow uphill"}),
    ({"state": "closed"}, {"Legend is missing"}),
    ({"search": "rivers UPHILL"}, {"Rivers flow uphill"}),
    ({"search": "rivers legend"}, set()),
    ({"search": "100%"}, set()),
    ({"labels": ["bug"]}, {"Rivers flow uphill"}),
    ({"labels": "None"}, {"Legend is missing"}),
    ({"labels": "Any"}, {"Rivers flow uphill"}),
    ({"labels": "bug,docs"}, set()),
    ({"not[labels]": "bug"}, {"Legend is missing"}),
    ({"milestone": "Spring"}, {"Rivers flow uphill"}),
    ({"milestone": "None"}, {"Legend is missing"}),
    ({"author_username": "sarah_johnson"}, {"Rivers flow uphill"}),
    ({"author_id": 1}, {"Legend is missing"}),
    ({"assignee_username": "alex_turner"}, {"Rivers flow uphill"}),
    ({"assignee_id": "None"}, {"Legend is missing"}),
    ({"assignee_id": "Any"}, {"Rivers flow uphill"}),
    ({"iids": [7]}, {"Rivers flow uphill"}),
    ({"created_after": "2030-01-01T00:00:00Z"}, set()),
    ({"updated_before": "2030-01-01T00:00:00Z"}, {"Rivers flow uphill", "Legend is missing"}),
    ({"scope": "created_by_me"}, {"Legend is missing"}),
    ({"due_date": "0"}, {"Rivers flow uphill", "Legend is missing"}),
]


@pytest.mark.parametrize(("filters", "titles"), FILTERS, ids=[str(filters) for filters, _ in FILTERS])
def test_issues_are_filtered(root: gitlab.Gitlab, filters: dict[str, Any], titles: set[str]) -> None:
    found = root.projects.get("root/atlas").issues.list(query_parameters=filters)
    assert {issue.title for issue in found} == titles


def test_issues_are_ordered(root: gitlab.Gitlab) -> None:
    project = root.projects.get("root/atlas")
    by_title = project.issues.list(order_by="title", sort="asc")
    assert [issue.title for issue in by_title] == ["Legend is missing", "Rivers flow uphill"]
    assert [issue.iid for issue in project.issues.list()] == [8, 7]
    assert [issue.iid for issue in project.issues.list(order_by="due_date", sort="asc")] == [7, 8]


def test_issues_everywhere_and_of_a_group(root: gitlab.Gitlab, alex: gitlab.Gitlab) -> None:
    assert "Buried treasure" in [issue.title for issue in root.issues.list(scope="all", get_all=True)]
    assert [issue.title for issue in root.groups.get("vault").issues.list()] == ["Buried treasure"]
    assert "Buried treasure" not in [issue.title for issue in alex.issues.list(scope="all", get_all=True)]
    assert [issue.iid for issue in alex.issues.list(scope="assigned_to_me")] == [7]


def test_notes_are_written_edited_and_deleted(root: gitlab.Gitlab, office: ServedOffice) -> None:
    project = new_project(office, "discussed")
    issue = project.issues.create({"title": "Talk"})
    note = issue.notes.create({"body": "First <b>words</b>"})
    issue.notes.create({"body": "Second"})
    assert [one.body for one in issue.notes.list()] == ["Second", "First <b>words</b>"]
    assert [one.body for one in issue.notes.list(sort="asc")] == ["First <b>words</b>", "Second"]
    note.body = "Changed"
    note.save()
    assert issue.notes.get(note.id).body == "Changed"
    assert project.issues.get(1).user_notes_count == 2
    assert [one["username"] for one in issue.participants()] == ["root"]
    note.delete()
    assert [one.body for one in issue.notes.list()] == ["Second"]
    assert root.projects.get("root/atlas").mergerequests.get(1).notes.create({"body": "Fine"}).body == "Fine"


def test_files_are_written_and_read(office: ServedOffice) -> None:
    project = new_project(office, "filed")
    made = project.files.create(
        {"file_path": "a/deep file.txt", "branch": "main", "content": "one\n", "commit_message": "Add"}
    )
    assert made.file_path == "a/deep file.txt"
    found = project.files.get("a/deep file.txt", "main")
    assert (found.decode(), found.size, found.encoding) == (b"one\n", 4, "base64")
    assert found.last_commit_id == project.commits.list(query_parameters={"path": "a"})[0].id
    found.content = "two\n"
    found.save(branch="main", commit_message="Change")
    assert project.files.raw("a/deep file.txt", "main") == b"two\n"
    assert project.files.head("a/deep file.txt", "main")["X-Gitlab-Size"] == "4"
    project.files.create(
        {
            "file_path": "bytes.bin",
            "branch": "main",
            "content": base64.b64encode(b"\0\xff").decode(),
            "encoding": "base64",
            "commit_message": "Bytes",
        }
    )
    assert project.files.raw("bytes.bin", "main") == b"\0\xff"
    with pytest.raises(GitlabCreateError) as caught:
        project.files.create(
            {"file_path": "bytes.bin", "branch": "main", "content": "", "commit_message": "Again"}
        )
    assert caught.value.error_message == "A file with this name already exists"
    project.files.delete("bytes.bin", branch="main", commit_message="Remove")
    with pytest.raises(GitlabGetError) as missing:
        project.files.get("bytes.bin", "main")
    assert missing.value.error_message == "404 File Not Found"
    with pytest.raises(GitlabGetError):
        project.files.raw("a/deep file.txt", "no-such-branch")


def test_a_stale_edit_is_refused(office: ServedOffice) -> None:
    project = new_project(office, "stale")
    seen = project.files.get("README.md", "main")
    project.files.update("README.md", {"branch": "main", "content": "new", "commit_message": "First"})
    with pytest.raises(gitlab.exceptions.GitlabUpdateError) as caught:
        given = {
            "branch": "main",
            "content": "old",
            "commit_message": "x",
            "last_commit_id": seen.last_commit_id,
        }
        project.files.update("README.md", given)
    assert caught.value.response_code == 400


def test_a_commit_of_several_actions(office: ServedOffice) -> None:
    project = new_project(office, "acting")
    commit = project.commits.create(
        {
            "branch": "topic",
            "start_branch": "main",
            "commit_message": "Several\n\nThings",
            "author_name": "Ada",
            "author_email": "ada@example.org",
            "actions": [
                {"action": "create", "file_path": "run.sh", "content": "echo\n", "execute_filemode": True},
                {"action": "move", "file_path": "docs/README.md", "previous_path": "README.md"},
            ],
        }
    )
    assert (commit.title, commit.author_name, commit.stats["additions"]) == ("Several", "Ada", 1)
    assert project.files.get("run.sh", "topic").execute_filemode is True
    (renamed,) = [diff for diff in commit.diff() if diff["renamed_file"]]
    assert (renamed["old_path"], renamed["new_path"]) == ("README.md", "docs/README.md")
    assert {ref["name"] for ref in commit.refs("all")} == {"topic"}
    undone = project.commits.create(
        {"branch": "topic", "commit_message": "x", "actions": [{"action": "delete", "file_path": "run.sh"}]}
    )
    assert undone.parent_ids == [commit.id]
    with pytest.raises(GitlabCreateError):
        project.commits.create(
            {
                "branch": "topic",
                "commit_message": "x",
                "actions": [{"action": "delete", "file_path": "run.sh"}],
            }
        )


MAP_HISTORY = {"ref_name": "feature/colour", "path": "src/map.py"}


def test_commits_are_listed_by_branch_path_author_and_time(root: gitlab.Gitlab) -> None:
    project = root.projects.get("root/atlas")
    assert [commit.title for commit in project.commits.list()] == ["Draw rivers", "Begin"]
    assert [commit.title for commit in project.commits.list(query_parameters=MAP_HISTORY)] == [
        "Try colours", "Begin",
    ]  # fmt: skip
    assert [commit.title for commit in project.commits.list(author="alex.turner@")] == ["Draw rivers"]
    assert [commit.title for commit in project.commits.list(since="2026-01-05T10:00:30Z")] == ["Draw rivers"]
    assert [commit.title for commit in project.commits.list(until="2026-01-05T10:00:30Z")] == ["Begin"]
    assert len(project.commits.list(query_parameters={"all": True})) == 3
    assert len(project.commits.list(per_page=1, get_all=True)) == 2
    assert (project.commits.get("main~1").title, project.commits.get("v1.0").title) == ("Begin", "Begin")
    assert [commit.title for commit in project.commits.list(ref_name="v1.0..main")] == ["Draw rivers"]
    assert project.commits.list(with_stats=True)[0].stats == {"additions": 1, "deletions": 0, "total": 1}
    with pytest.raises(gitlab.exceptions.GitlabListError):
        project.commits.list(ref_name="nowhere")


def test_a_commit_is_picked_and_reverted(office: ServedOffice) -> None:
    project = new_project(office, "picked")
    project.branches.create({"branch": "side", "ref": "main"})
    commit = project.commits.create(
        {
            "branch": "side",
            "commit_message": "Add x",
            "actions": [{"action": "create", "file_path": "x", "content": "x"}],
        }
    )
    commit.cherry_pick("main")
    assert project.files.raw("x", "main") == b"x"
    assert commit.revert("side")["title"] == 'Revert "Add x"'
    with pytest.raises(GitlabGetError):
        project.files.raw("x", "side")
    with pytest.raises(gitlab.exceptions.GitlabCherryPickError):
        commit.cherry_pick("main")


def test_trees_blobs_archives_contributors_and_comparisons(root: gitlab.Gitlab) -> None:
    project = root.projects.get("root/atlas")
    assert [entry["name"] for entry in project.repository_tree()] == ["src", "README.md"]
    paths = [entry["path"] for entry in project.repository_tree(recursive=True, get_all=True)]
    assert paths == ["src", "README.md", "src/map.py", "src/river.py"]
    (river,) = [entry for entry in project.repository_tree(path="src") if entry["name"] == "river.py"]
    assert project.repository_raw_blob(river["id"]) == b"RIVERS = ['Po']\n"
    assert project.repository_blob(river["id"])["size"] == 16
    packed = project.repository_archive(format="tar.gz")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:  # type: ignore[arg-type]
        assert "atlas-main/src/river.py" in archive.getnames()
    zipped = project.repository_archive(sha="v1.0", format="zip")
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive_zip:  # type: ignore[arg-type]
        assert "atlas-v1.0/src/map.py" in archive_zip.namelist()
        assert "atlas-v1.0/src/river.py" not in archive_zip.namelist()
    assert {one["name"]: one["commits"] for one in project.repository_contributors()} == {
        "The Agent": 1, "Alex Turner": 1,
    }  # fmt: skip
    compared = project.repository_compare("main", "feature/colour")
    assert [commit["title"] for commit in compared["commits"]] == ["Try colours"]
    assert [diff["new_path"] for diff in compared["diffs"]] == ["src/map.py"]


def test_branches_and_their_protection(office: ServedOffice) -> None:
    project = new_project(office, "branching")
    assert [branch.name for branch in project.branches.list()] == ["main"]
    assert project.branches.get("main").protected
    branch = project.branches.create({"branch": "feature/x", "ref": "main"})
    assert (branch.protected, branch.merged, branch.default) == (False, True, False)
    with pytest.raises(GitlabCreateError) as caught:
        project.branches.create({"branch": "feature/x", "ref": "main"})
    assert caught.value.error_message == "Branch already exists"
    for name in ("bad..name", "-x", "a b", "x.lock"):
        with pytest.raises(GitlabCreateError):
            project.branches.create({"branch": name, "ref": "main"})
    rule = project.protectedbranches.create(
        {"name": "feature/*", "push_access_level": 0, "merge_access_level": 30}
    )
    assert project.branches.get("feature/x").protected
    assert rule.push_access_levels[0]["access_level"] == 0
    assert rule.merge_access_levels[0]["access_level_description"] == "Developers + Maintainers"
    with pytest.raises(GitlabCreateError):
        project.files.create({"file_path": "n", "branch": "feature/x", "content": "", "commit_message": "n"})
    assert [one.name for one in project.protectedbranches.list()] == ["feature/*", "main"]
    project.protectedbranches.delete("feature/*")
    branch.delete()
    with pytest.raises(GitlabGetError) as gone:
        project.branches.get("feature/x")
    assert gone.value.error_message == "404 Branch Not Found"
    with pytest.raises(GitlabDeleteError):
        project.branches.delete("main")


def test_what_levels_may_do_to_protected_branches(office: ServedOffice, alex: gitlab.Gitlab) -> None:
    atlas = alex.projects.get("root/atlas")
    change = {"branch": "main", "content": "x", "commit_message": "x", "file_path": "hello.txt"}
    with pytest.raises(GitlabCreateError) as caught:
        atlas.files.create(change)
    assert caught.value.response_code == 403
    assert (
        atlas.files.create({**change, "branch": "alex/hello", "start_branch": "main"}).branch == "alex/hello"
    )
    with pytest.raises(GitlabCreateError):
        atlas.protectedbranches.create({"name": "alex/*"})
    mike = client(office, "mike_chen").projects.get("root/atlas")
    with pytest.raises(GitlabCreateError) as outsider:
        mike.files.create({**change, "branch": "mike", "start_branch": "main"})
    assert outsider.value.response_code == 403
    assert mike.issues.create({"title": "From outside", "labels": ["bug"]}).labels == []
    mike.issues.create({"title": "Again"})
    atlas.branches.delete("alex/hello")


def test_tags_and_releases(office: ServedOffice) -> None:
    project = new_project(office, "released")
    plain = project.tags.create({"tag_name": "v0.1", "ref": "main"})
    assert (plain.message, plain.commit["title"]) == ("", "Initial commit")
    noted = project.tags.create({"tag_name": "v0.2", "ref": "main", "message": "Second"})
    assert noted.message == "Second" and noted.target != noted.commit["id"]
    release = project.releases.create({"tag_name": "v0.2", "name": "Two", "description": "notes"})
    assert release.commit["id"] == noted.commit["id"]
    project.releases.create({"tag_name": "v0.3", "ref": "main", "name": "Three", "description": "more"})
    assert [one.name for one in project.releases.list()] == ["Three", "Two"]
    release.name = "2"
    release.save()
    assert project.releases.get("v0.2").name == "2"
    with pytest.raises(GitlabCreateError) as caught:
        project.releases.create({"tag_name": "v0.2", "name": "x"})
    assert caught.value.response_code == 409
    assert {tag.name for tag in project.tags.list()} == {"v0.1", "v0.2", "v0.3"}
    project.releases.delete("v0.3")
    project.tags.delete("v0.1")
    assert {tag.name for tag in project.tags.list()} == {"v0.2", "v0.3"}


def test_wiki_pages(office: ServedOffice) -> None:
    project = new_project(office, "told")
    page = project.wikis.create({"title": "How to sail", "content": "# Sail"})
    assert page.slug == "How-to-sail"
    project.wikis.create({"title": "guides/Knots", "content": "loops"})
    assert project.wikis.get("guides/Knots").content == "loops"
    page.content = "# Sail on"
    page.save()
    listed = project.wikis.list(with_content=1)
    assert [(one.slug, one.content) for one in listed] == [
        ("How-to-sail", "# Sail on"),
        ("guides/Knots", "loops"),
    ]
    assert "content" not in project.wikis.list()[0].attributes
    with pytest.raises(GitlabCreateError):
        project.wikis.create({"title": "How to sail", "content": "again"})
    page.delete()
    with pytest.raises(GitlabGetError):
        project.wikis.get("How-to-sail")


CI = """stages: [build, test]
compile: {stage: build, script: make}
check:
  stage: test
  script: [!reference [compile, script]]
"""


def test_a_ci_file_makes_pipelines_and_is_checked(office: ServedOffice) -> None:
    project = new_project(office, "built")
    assert project.pipelines.list() == []
    given = {"file_path": ".gitlab-ci.yml", "branch": "main", "content": CI, "commit_message": "CI"}
    project.files.create(given)
    (pipeline,) = project.pipelines.list()
    assert (pipeline.status, pipeline.ref, pipeline.source) == ("pending", "main", "push")
    assert [(job.name, job.stage) for job in pipeline.jobs.list()] == [
        ("check", "test"),
        ("compile", "build"),
    ]
    assert project.jobs.get(project.jobs.list()[0].id).pipeline["id"] == pipeline.id
    again = project.pipelines.create({"ref": "main"})
    assert again.source == "api" and project.pipelines.latest().id == again.id
    again.cancel()
    assert project.pipelines.get(again.id).status == "canceled"
    again.retry()
    assert [one.id for one in project.pipelines.list(status="pending")] == [again.id, pipeline.id]
    again.delete()
    assert project.ci_lint.get().valid
    assert project.ci_lint.create({"content": "a: {script: x"}).valid is False
    bad = project.ci_lint.create({"content": "job: {stage: nowhere, script: x}"})
    assert "chosen stage" in bad.errors[0]


def test_pipelines_of_the_overlay_are_records(root: gitlab.Gitlab) -> None:
    assert [one.status for one in root.projects.get("root/atlas").pipelines.list()] == ["success"]


def test_search_finds_in_every_scope(root: gitlab.Gitlab) -> None:
    assert root.search("projects", "atlas")[0]["path"] == "atlas"
    assert root.search("issues", "uphill")[0]["iid"] == 7
    assert root.search("merge_requests", "Colours")[0]["iid"] == 1
    assert root.search("milestones", "Spring")[0]["title"] == "Spring"
    assert [user["username"] for user in root.search("users", "alex")] == ["alex_turner"]
    atlas = root.projects.get("root/atlas")
    (blob,) = atlas.search("blobs", "RIVERS")
    assert (blob["path"], blob["startline"]) == ("src/river.py", 1)
    assert [commit["title"] for commit in atlas.search("commits", "rivers")] == ["Draw rivers"]
    assert [note["body"] for note in atlas.search("notes", "Looking")] == ["Looking into it"]
    assert [page["slug"] for page in atlas.search("wiki_blobs", "pen")] == ["How-to-draw"]
    assert [found["title"] for found in root.groups.get("vault").search("issues", "treasure")] == [
        "Buried treasure"
    ]


def test_search_hides_what_one_may_not_see(alex: gitlab.Gitlab) -> None:
    assert alex.search("issues", "treasure") == []
    assert alex.search("blobs", "oak") == []
    assert alex.search("projects", "secret") == []


def test_events_tell_what_happened(office: ServedOffice, root: gitlab.Gitlab) -> None:
    project = new_project(office, "eventful")
    project.issues.create({"title": "Something"})
    seen = [(event.action_name, event.target_title) for event in project.events.list()]
    assert seen == [("opened", "Something"), ("pushed new", None), ("created", None)]
    assert root.events.list(get_all=False)[0].project_id == project.id


def test_private_projects_look_absent_to_others(office: ServedOffice, alex: gitlab.Gitlab) -> None:
    nobody = gitlab.Gitlab(office.urls["forge"])
    for asking in (nobody, alex):
        with pytest.raises(GitlabGetError) as caught:
            asking.projects.get("vault/secret")
        assert (caught.value.response_code, caught.value.error_message) == (404, "404 Project Not Found")
        assert "secret" not in [project.path for project in asking.projects.list(get_all=True)]
    assert nobody.projects.get("root/atlas").name == "atlas"


def test_answers_name_the_address_by_which_the_client_came(office: ServedOffice) -> None:
    url = f"{office.urls['forge']}/api/v4/projects/root%2Fatlas"
    found = requests.get(url, headers={"Host": "the-agent-company.com:8929"}, timeout=30).json()
    assert found["web_url"] == "http://the-agent-company.com:8929/root/atlas"
    assert (
        found["_links"]["issues"] == f"http://the-agent-company.com:8929/api/v4/projects/{found['id']}/issues"
    )
