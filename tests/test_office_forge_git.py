"""The real git against the forge: clones, pushes, refusals, and pushes that mean harm."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from office_forge_helpers import OVERLAY, client, git, new_project, repository_url
from office_helpers import ServedOffice, served_office

from tac_rl.office.forge.repositories import repository_folder


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedOffice]:
    with served_office(tmp_path_factory.mktemp("forge"), OVERLAY) as served:
        yield served


def cloned(office: ServedOffice, folder: Path, path: str, username: str = "root") -> Path:
    done = git("clone", repository_url(office, path, username), "work", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "work"


def commit(work: Path, name: str, content: str, message: str = "Change") -> None:
    path = work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    for arguments in (("add", "--all", "--force"), ("commit", "-qm", message)):
        done = git(*arguments, cwd=work)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("suffix", [".git", ""])
def test_a_public_project_is_cloned_without_credentials(
    office: ServedOffice, tmp_path: Path, suffix: str
) -> None:
    done = git("clone", f"{office.urls['forge']}/root/atlas{suffix}", "work", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "src" / "river.py").read_text() == "RIVERS = ['Po']\n"
    assert git("branch", "-r", cwd=tmp_path / "work").stdout.split() == [
        "origin/HEAD", "->", "origin/main", "origin/feature/colour", "origin/main",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options", [("--depth", "1"), ("--filter=blob:none", "--bare"), ("-c", "protocol.version=0")]
)
def test_clones_of_every_kind(office: ServedOffice, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = git("clone", *options, repository_url(office, "root/atlas"), "work", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("username", "password", "works"),
    [
        ("", "", False),
        ("root", "theagentcompany", True),
        ("theagentcompany", "theagentcompany", True),
        ("oauth2", "root-token", True),
        ("root", "wrong", False),
        ("alex_turner", "theagentcompany", False),
    ],
)
def test_a_private_project_needs_credentials(
    office: ServedOffice, tmp_path: Path, username: str, password: str, works: bool
) -> None:
    done = git("ls-remote", repository_url(office, "vault/secret", username, password), cwd=tmp_path)
    assert (done.returncode == 0) is works, done.stderr


def test_wrong_credentials_are_refused_for_public_projects_too(office: ServedOffice) -> None:
    url = f"{repository_url(office, 'root/atlas')}/info/refs?service=git-upload-pack"
    answer = requests.get(url, auth=("root", "wrong"), timeout=30)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="GitLab"')


def test_a_push_is_seen_by_the_api_and_closes_issues(office: ServedOffice, tmp_path: Path) -> None:
    project = new_project(office, "pushed")
    issue = project.issues.create({"title": "Wanted"})
    work = cloned(office, tmp_path, "root/pushed")
    commit(work, "new.txt", "new\n", f"Add new. Fixes #{issue.iid}")
    assert git("push", cwd=work).returncode == 0
    assert project.files.raw("new.txt", "main") == b"new\n"
    assert project.issues.get(issue.iid).state == "closed"
    assert project.events.list()[1].push_data["ref"] == "main"


def test_the_first_push_makes_the_default_branch(office: ServedOffice, tmp_path: Path) -> None:
    project = new_project(office, "first", initialize_with_readme=False)
    assert project.empty_repo
    work = tmp_path / "work"
    work.mkdir()
    git("init", "-q", "-b", "trunk", cwd=work)
    commit(work, "README.md", "# First\n")
    assert git("push", repository_url(office, "root/first", "root"), "trunk", cwd=work).returncode == 0
    found = client(office).projects.get(project.id)
    assert (found.default_branch, found.empty_repo) == ("trunk", False)
    assert [rule.name for rule in project.protectedbranches.list()] == ["trunk"]


def test_a_push_without_credentials_or_rights_is_refused(office: ServedOffice, tmp_path: Path) -> None:
    work = cloned(office, tmp_path, "root/atlas")
    commit(work, "x", "x")
    anonymous = git("push", repository_url(office, "root/atlas"), "HEAD:refs/heads/x", cwd=work)
    outsider = git("push", repository_url(office, "root/atlas", "mike_chen"), "HEAD:refs/heads/x", cwd=work)
    assert anonymous.returncode != 0 and "could not read Username" in anonymous.stderr
    assert outsider.returncode != 0 and "You are not allowed to push code to this project." in outsider.stderr
    assert "x" not in [branch.name for branch in client(office).projects.get("root/atlas").branches.list()]


def test_developers_push_branches_but_not_protected_ones(office: ServedOffice, tmp_path: Path) -> None:
    work = cloned(office, tmp_path, "root/atlas", "alex_turner")
    commit(work, "x", "x")
    refused = git("push", "origin", "HEAD:main", cwd=work)
    assert refused.returncode != 0
    assert "remote: GitLab: You are not allowed to push code to protected branches" in refused.stderr
    assert "pre-receive hook declined" in refused.stderr
    told = git("push", "origin", "HEAD:refs/heads/alex", cwd=work)
    assert told.returncode == 0
    assert "To create a merge request for alex, visit:" in told.stderr
    assert git("push", "origin", ":alex", cwd=work).returncode == 0


def test_nobody_forces_a_protected_branch_or_deletes_it(office: ServedOffice, tmp_path: Path) -> None:
    project = new_project(office, "forced")
    work = cloned(office, tmp_path, "root/forced")
    commit(work, "a", "a")
    git("push", cwd=work)
    git("reset", "-q", "--hard", "HEAD~1", cwd=work)
    commit(work, "b", "b")
    forced = git("push", "--force", "origin", "HEAD:main", cwd=work)
    assert forced.returncode != 0 and "non-fast-forward" in forced.stderr
    assert project.files.raw("a", "main") == b"a"
    for delete in ((":main",), ("--mirror",)):
        assert git("push", "origin", *delete, cwd=work).returncode != 0
    free = git("push", "--force", "origin", "HEAD:refs/heads/free", cwd=work)
    git("reset", "-q", "--hard", "HEAD~1", cwd=work)
    assert free.returncode == 0
    assert git("push", "--force", "origin", "HEAD:refs/heads/free", cwd=work).returncode == 0
    project.protectedbranches.delete("main")
    assert git("push", "--force", "origin", "HEAD:main", cwd=work).returncode == 0


def test_an_open_request_shows_what_is_pushed_to_its_branch(office: ServedOffice, tmp_path: Path) -> None:
    project = new_project(office, "live")
    work = cloned(office, tmp_path, "root/live")
    git("checkout", "-q", "-b", "topic", cwd=work)
    commit(work, "a", "a\n")
    git("push", "origin", "topic", cwd=work)
    made = project.mergerequests.create({"source_branch": "topic", "target_branch": "main", "title": "Live"})
    commit(work, "b", "b\n")
    told = git("push", "origin", "topic", cwd=work)
    assert f"{office.urls['forge']}/root/live/-/merge_requests/{made.iid}" in told.stderr
    assert [change["new_path"] for change in made.changes()["changes"]] == ["a", "b"]
    fetched = git("fetch", "origin", f"merge-requests/{made.iid}/head", cwd=work)
    assert fetched.returncode == 0, fetched.stderr
    git("push", "origin", "topic:main", cwd=work)
    assert project.mergerequests.get(made.iid).state == "merged"


def test_archived_projects_are_read_only(office: ServedOffice, tmp_path: Path) -> None:
    project = new_project(office, "frozen")
    work = cloned(office, tmp_path, "root/frozen")
    project.archive()
    commit(work, "a", "a")
    assert git("push", cwd=work).returncode != 0


# Pushes that mean harm


@pytest.mark.parametrize(
    "ref",
    [
        "refs/merge-requests/1/head",
        "refs/hooks/pre-receive",
        "refs/heads/../../config",
        "refs/../hooks/post-receive",
        "hooks/post-receive",
        "HEAD",
        "config",
        "refs/heads/x.lock",
        "/etc/passwd",
    ],
)
def test_references_lead_nowhere_but_to_branches_and_tags(office: ServedOffice, ref: str) -> None:
    project = client(office).projects.get("root/atlas")
    folder = repository_folder(office.tenant, project.id)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    tip = project.branches.get("main").commit["id"]
    line = f"{'0' * 40} {tip} {ref}\0report-status".encode()
    body = f"{len(line) + 4:04x}".encode() + line + b"0000" + empty_pack(folder)
    answer = requests.post(
        f"{office.urls['forge']}/root/atlas.git/git-receive-pack",
        data=body,
        headers={"Content-Type": "application/x-git-receive-pack-request"},
        auth=("root", "theagentcompany"),
        timeout=30,
    )
    assert b"ng " in answer.content or answer.status_code >= 400
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path: content for path, content in after.items() if "objects" not in path.parts} == {
        path: content for path, content in before.items() if "objects" not in path.parts
    }
    assert not (folder / "hooks").exists()


def empty_pack(folder: Path) -> bytes:
    return subprocess.run(
        ["git", f"--git-dir={folder}", "pack-objects", "--stdout", "-q"],
        input=b"",
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout


@pytest.mark.parametrize("name", [".git", ".GIT", "..", ".git/hooks/post-checkout", "git~1"])
def test_trees_that_would_write_into_git_folders_are_refused(
    office: ServedOffice, tmp_path: Path, name: str
) -> None:
    new_project(office, f"evil-{abs(hash(name)) % 10000}-{len(name)}")
    path = f"root/evil-{abs(hash(name)) % 10000}-{len(name)}"
    work = cloned(office, tmp_path, path)
    blob = write_object(work, "blob", b"#!/bin/sh\ntouch /tmp/owned\n")
    entry = b"100755 " + name.encode() + b"\0" + bytes.fromhex(blob)
    tree = write_object(work, "tree", entry)
    person = "E <e@x.y> 1700000000 +0000"
    made = write_object(work, "commit", f"tree {tree}\nauthor {person}\ncommitter {person}\n\nx\n".encode())
    pushed = git("push", "origin", f"{made}:refs/heads/evil", cwd=work)
    assert pushed.returncode != 0, pushed.stderr
    assert "evil" not in [branch.name for branch in client(office).projects.get(path).branches.list()]


def write_object(work: Path, kind: str, content: bytes) -> str:
    """Also one that git itself wouldn't write."""
    done = subprocess.run(
        ["git", "hash-object", "-t", kind, "-w", "--literally", "--stdin"],
        cwd=work,
        input=content,
        capture_output=True,
        check=True,
        timeout=30,
    )
    return done.stdout.decode().strip()


def test_symbolic_links_in_a_push_are_only_data(office: ServedOffice, tmp_path: Path) -> None:
    project = new_project(office, "linked")
    work = cloned(office, tmp_path, "root/linked")
    (work / "passwords").symlink_to("/etc/passwd")
    commit(work, "x", "x")
    assert git("push", cwd=work).returncode == 0
    assert project.files.raw("passwords", "main") == b"/etc/passwd"


def test_hooks_in_a_repository_never_run(office: ServedOffice, tmp_path: Path) -> None:
    project = new_project(office, "hooked")
    hooks = repository_folder(office.tenant, project.id) / "hooks"
    hooks.mkdir()
    mark = tmp_path / "ran"
    for name in ("pre-receive", "update", "post-receive", "post-update"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (hooks / name).chmod(0o755)
    work = cloned(office, tmp_path, "root/hooked")
    commit(work, "x", "x")
    assert git("push", cwd=work).returncode == 0
    assert not mark.exists()


@pytest.mark.parametrize(
    "path",
    [
        "/root/atlas.git/info/refs",
        "/root/atlas.git/info/refs?service=git-upload-archive",
        "/root/atlas.git/HEAD",
        "/root/atlas.git/config",
        "/root/atlas.git/objects/info/packs",
        "/root/..%2f..%2foffice.db/info/refs?service=git-upload-pack",
        "/root/%2e%2e/info/refs?service=git-upload-pack",
        "/..%2f1/info/refs?service=git-upload-pack",
    ],
)
def test_nothing_but_the_smart_protocol_is_served(office: ServedOffice, path: str) -> None:
    answer = requests.get(f"{office.urls['forge']}{path}", auth=("root", "theagentcompany"), timeout=30)
    assert answer.status_code in (400, 403, 404)


@pytest.mark.parametrize("body", [b"", b"0000", b"zzzz", b"0003", b"ffff" + b"x" * 50, b"0010shallow"])
def test_malformed_pushes_are_answered_and_change_nothing(office: ServedOffice, body: bytes) -> None:
    answer = requests.post(
        f"{office.urls['forge']}/root/atlas.git/git-receive-pack",
        data=body,
        headers={"Content-Type": "application/x-git-receive-pack-request"},
        auth=("root", "theagentcompany"),
        timeout=30,
    )
    assert answer.status_code in (200, 400)


def test_a_push_that_is_too_large_is_refused(
    office: ServedOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tac_rl.office.forge.git_http.LARGEST_PUSH", 10_000)
    new_project(office, "large")
    work = cloned(office, tmp_path, "root/large")
    (work / "noise").write_bytes(
        subprocess.run(["head", "-c", "50000", "/dev/urandom"], capture_output=True).stdout
    )
    commit(work, "x", "x")
    assert git("push", cwd=work).returncode != 0
    assert len(client(office).projects.get("root/large").commits.list()) == 1
