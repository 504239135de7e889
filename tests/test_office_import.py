"""A company is read from running services through their APIs: ours, in the role of the real ones."""

import asyncio
import socket
import subprocess
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pygit2
import pytest
from office_helpers import PEOPLE, served_office

from tac_rl.errors import ConfigError, OfficeError
from tac_rl.office.importing import cli
from tac_rl.office.importing.drive import import_drive
from tac_rl.office.importing.forge import import_forge
from tac_rl.office.importing.history import Limits, read_history
from tac_rl.office.importing.people import People
from tac_rl.office.importing.saving import save
from tac_rl.office.importing.tracker import import_tracker
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import Overlay, parse_overlay
from tac_rl.office.overlay_file import read_overlay
from tac_rl.office.seeds.company import company
from tac_rl.office.services import make_empty
from tac_rl.office.snapshots import Snapshots
from tac_rl.office.tenant import Tenant

AT = "2026-02-0{}T10:00:00Z"
COMPANY: dict[str, Any] = {
    "chat": {
        "channels": [
            {
                "name": "general", "topic": "Everything", "owner": "sarah_johnson", "moderators": ["mike_chen"],
                "members": "everyone",
                "messages": [
                    {"from": "alex_turner", "text": "Hi <b>all</b> & 'you'", "at": AT.format(2),
                     "reactions": {"tada": ["mike_chen"]},
                     "replies": [{"from": "mike_chen", "text": "Hi!", "at": AT.format(3)}]},
                    *({"from": "mike_chen", "text": f"message {n}", "at": f"2026-02-04T10:{n // 60:02}:{n % 60:02}Z"}
                      for n in range(230)),
                ],
            },
            {"name": "secret", "private": True, "owner": "mike_chen", "members": ["alex_turner"],
             "messages": [{"from": "mike_chen", "text": "psst", "at": AT.format(5)}]},
        ],
        "direct": [{"between": ["alex_turner", "mike_chen"],
                    "messages": [{"from": "alex_turner", "text": "lunch?", "at": AT.format(6)}]}],
    },
    "forge": {
        "projects": [
            {
                "path": "root/tides", "description": "About tides", "visibility": "internal",
                "members": {"alex_turner": "developer"},
                "protected_branches": ["main"],
                "labels": [{"name": "bug", "color": "#ff0000", "description": "broken"}],
                "milestones": [{"title": "v1", "due": "2026-03-01"}],
                "commits": [
                    {"message": "Start", "from": "alex_turner", "at": AT.format(1),
                     "files": {"README.md": "# Tides\n", "data/x.bin": "base64:AP/+", "old.txt": "old\n"}},
                    {"message": "A draft", "from": "mike_chen", "at": AT.format(2), "branch": "draft",
                     "files": {"draft.md": "maybe\n"}},
                    {"message": "Ebb", "from": "mike_chen", "at": AT.format(3), "branch": "ebb",
                     "files": {"ebb.py": "EBB = 1\n"}},
                    {"message": "Without the old", "from": "alex_turner", "at": AT.format(4), "delete": ["old.txt"]},
                    {"message": "Merge branch 'ebb'", "from": "alex_turner", "at": AT.format(5), "merges": "ebb",
                     "tag": "v0.1"},
                ],
                "issues": [
                    {"title": "Flood", "from": "mike_chen", "assignees": ["alex_turner"], "labels": ["bug"],
                     "milestone": "v1", "at": AT.format(3), "state": "closed",
                     "notes": [{"from": "alex_turner", "text": "Done.", "at": AT.format(4)}]},
                    {"title": "Ebb", "iid": 7, "at": AT.format(5), "description": "Is it **low**?"},
                ],
                "merge_requests": [
                    {"title": "Ebb", "source_branch": "ebb", "state": "merged", "from": "mike_chen",
                     "reviewers": ["alex_turner"], "at": AT.format(3), "remove_source_branch": True,
                     "notes": [{"from": "alex_turner", "text": "Fine.", "at": AT.format(4)}]},
                    {"title": "Draft", "source_branch": "draft", "from": "mike_chen", "at": AT.format(3)},
                ],
                "wiki": {"Home": "Welcome\n"},
                "pipelines": [{"ref": "main", "status": "failed", "at": AT.format(5)}],
            }
        ]
    },
    "tracker": {
        "projects": [
            {
                "name": "Tides", "identifier": "TIDE", "lead": "sarah_johnson", "description": "All of it",
                "labels": [{"name": "bug", "color": "#ff0000"}],
                "cycles": [{"name": "Sprint 1", "start": "2026-02-02", "end": "2026-02-13"}],
                "modules": [{"name": "Sea", "status": "in-progress"}],
                "issues": [
                    {"title": "Flood", "state": "Done", "priority": "high", "from": "mike_chen",
                     "assignees": ["alex_turner"], "labels": ["bug"], "cycle": "Sprint 1", "module": "Sea",
                     "start": "2026-02-02", "due": "2026-02-13", "at": AT.format(3),
                     "description": "Too much & more\n\nwater",
                     "comments": [{"from": "alex_turner", "text": "Done.", "at": AT.format(4)}]},
                    {"title": "Ebb", "number": 9, "at": AT.format(5), "description": "<ul><li>low</li></ul>"},
                ],
            }
        ]
    },
    "drive": {
        "files": {"Documents/a & b.txt": "text\n", "Documents/Über/x.bin": b"\xff\x00", "top.md": "# Top\n"},
        "folders": ["Documents/empty"],
        "shares": [{"path": "top.md", "token": "b61rG8gHESP84Na"}],
    },
}  # fmt: skip


def arguments(urls: dict[str, str], *more: str) -> Any:
    parser = ArgumentParser()
    cli.add_arguments(parser)
    named = [part for name in ("chat", "forge", "tracker", "drive") for part in (f"--{name}", urls[name])]
    return parser.parse_args([*named, "--out", "x.yaml", *more])


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> tuple[Overlay, list[tuple[int, str]]]:
    """What was read of `COMPANY`, and (number, UUID) of its tracker's issues."""
    with served_office(tmp_path_factory.mktemp("served"), COMPANY) as office:
        overlay = read_all(office.urls)
        rows = office.call(
            office.tenant.rows, "SELECT sequence_id, id FROM tracker_issues ORDER BY sequence_id"
        )
    return overlay, [tuple(row) for row in rows]


def read_all(urls: dict[str, str], *more: str) -> Overlay:
    return asyncio.run(cli.import_stack(arguments(urls, *more)))


def test_what_is_read_and_laid_again_reads_the_same(tmp_path, read):
    first, _ = read
    document = first.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    people = document.pop("people")
    assert {person["username"] for person in people} == {person["username"] for person in PEOPLE}
    with served_office(tmp_path / "two", document | {"people": people}) as office:
        second = read_all(office.urls)
    assert first == second


def test_the_chat_is_taken_over_with_private_rooms(read):
    chat = read[0].chat
    rooms = {channel.name: channel for channel in chat.channels}
    general = rooms["general"]
    assert (general.topic, general.owner, general.moderators) == (
        "Everything",
        "sarah_johnson",
        ("mike_chen",),
    )
    assert len(general.messages) == 231
    first = general.messages[0]
    assert (first.author, first.text, first.at) == (
        "alex_turner",
        "Hi <b>all</b> & 'you'",
        datetime(2026, 2, 2, 10, tzinfo=UTC),
    )
    assert first.reactions == {"tada": ("mike_chen",)}
    assert [reply.text for reply in first.replies] == ["Hi!"]
    assert rooms["secret"].private
    assert rooms["secret"].members == ("alex_turner", "mike_chen")
    assert chat.direct[0].between == ("alex_turner", "mike_chen")


def test_the_forge_is_taken_over_with_its_history(read):
    (project,) = read[0].forge.projects
    told = parse_overlay({"forge": COMPANY["forge"]}, "test").forge.projects[0]
    assert sorted(project.commits, key=lambda c: str(c.at)) == list(told.commits)
    assert [issue.iid for issue in project.issues] == [1, 7]
    assert project.issues[0].notes == told.issues[0].notes
    merged, draft = project.merge_requests
    assert (merged.state, merged.remove_source_branch, merged.reviewers) == ("merged", True, ("alex_turner",))
    assert (draft.state, draft.source_branch) == ("opened", "draft")
    assert (project.visibility, project.wiki) == ("internal", {"Home": "Welcome\n"})
    assert project.protected_branches == ("main",)
    assert [pipeline.status for pipeline in project.pipelines] == ["failed"]


def test_the_tracker_keeps_its_numbers_and_uuids(read):
    overlay, rows = read
    (project,) = overlay.tracker.projects
    assert [(issue.number, issue.id) for issue in project.issues] == rows
    flood, ebb = project.issues
    assert (flood.state, flood.cycle, flood.module, flood.labels) == ("Done", "Sprint 1", "Sea", ("bug",))
    assert flood.description == "Too much & more\n\nwater"
    assert ebb.description == "<ul><li>low</li></ul>"
    assert project.lead == "sarah_johnson"


def test_the_drive_is_taken_over_with_its_links(read):
    drive = read[0].drive
    assert drive.files == {
        "Documents/a & b.txt": "text\n",
        "Documents/Über/x.bin": "base64:/wA=",
        "top.md": "# Top\n",
    }
    assert "Documents/empty" in drive.folders
    assert [(share.path, share.token) for share in drive.shares] == [("top.md", "b61rG8gHESP84Na")]


def test_what_is_read_can_be_saved_as_yaml(tmp_path, read):
    overlay, _ = read
    told = save(overlay, str(tmp_path / "company.yaml"))
    assert "company.yaml" in told
    assert read_overlay(tmp_path / "company.yaml") == overlay


def test_what_is_read_can_be_saved_as_a_snapshot(tmp_path, monkeypatch):
    monkeypatch.setenv("TAC_RL_CACHE", str(tmp_path / "cache"))
    with served_office(tmp_path, COMPANY) as office:
        args = arguments(office.urls)
        args.out = "acme"
        assert cli.run(args) == 0
    tenant = Tenant("copy", Snapshots().find("acme"))
    assert tenant.value("SELECT count(*) FROM chat_messages") >= 234
    tenant.close()


def test_the_default_company_comes_through_whole(tmp_path):
    """The histories of its repositories keep their commits' very ids."""
    overlay = company(1)
    small = Overlay(
        people=overlay.people, forge=overlay.forge.model_copy(update={"projects": overlay.forge.projects[:2]})
    )
    document = small.model_dump(mode="json", by_alias=True)
    with served_office(tmp_path / "one", document) as office:
        before = refs(office.tenant)
        forge = asyncio.run(import_forge(office.urls["forge"], People(), print))
        people = office.tenant.people()
    assert len(people) == 18
    make_empty(tmp_path / "two")
    tenant = Tenant("two", tmp_path / "two")
    lay_over(tenant, Overlay(people=overlay.people, forge=forge))
    assert refs(tenant) == before
    tenant.close()


def refs(tenant: Tenant) -> dict[str, dict[str, str]]:
    """Branches and tags of every repository."""
    found = {}
    for folder in sorted(path.parent for path in tenant.folder.glob("**/HEAD")):
        repo = pygit2.Repository(str(folder))
        names = [name for name in repo.references if name.startswith(("refs/heads/", "refs/tags/"))]
        found[str(folder.relative_to(tenant.folder))] = {
            name: str(repo.references[name].target) for name in names
        }
    return found


# Histories that are more entangled than an overlay can tell


def git(folder: Path, *words: str, when: int = 0) -> None:
    stamp = f"{1767600000 + 60 * when} +0100"
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Some Stranger", "GIT_AUTHOR_EMAIL": "stranger@example.test", "GIT_AUTHOR_DATE": stamp,
        "GIT_COMMITTER_NAME": "Some Stranger", "GIT_COMMITTER_EMAIL": "stranger@example.test",
        "GIT_COMMITTER_DATE": stamp,
    }  # fmt: skip
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, timeout=30)


def entangled(folder: Path) -> None:
    """A branch that merged main into itself, a merge whose conflict was solved by hand, an orphan branch."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for n, (branch, path, text) in enumerate(
        [("main", "a", "1"), ("side", "b", "1"), ("main", "a", "2"), ("side", "merge", "main"), ("side", "a", "3"),
         ("main", "a", "4")]
    ):  # fmt: skip
        if n == 1:
            git(folder, "branch", "side")
        if n:
            git(folder, "checkout", "-q", branch)
        if path == "merge":
            git(folder, "merge", "-q", "--no-edit", text, when=n)
            continue
        (folder / path).write_text(text + "\n")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", f"{branch} {n}", when=n)
    git(folder, "merge", "-q", "-s", "ours", "--no-edit", "side", when=9)
    git(folder, "tag", "v1")
    git(folder, "checkout", "-q", "--orphan", "pages")
    git(folder, "commit", "-qm", "pages", when=10)


def test_an_entangled_history_is_told_more_simply_with_the_same_outcome(tmp_path):
    entangled(tmp_path / "repo")
    told: list[str] = []
    history = read_history(
        tmp_path / "repo" / ".git", "main", {}, People(), Limits(100, 1000), told.append, "here"
    )
    assert any("pages" in line for line in told)
    assert history.branches == {"side"}
    overlay = {
        "projects": [{"path": "root/knot", "commits": [c.model_dump(by_alias=True) for c in history.commits]}]
    }
    with served_office(tmp_path, {"forge": overlay}) as office:
        repo = pygit2.Repository(str(next(office.tenant.folder.glob("**/HEAD")).parent))
        original = pygit2.Repository(str(tmp_path / "repo"))
        for branch in ("main", "side"):
            assert (
                repo.branches.local[branch].peel().tree_id == original.branches.local[branch].peel().tree_id
            )
        last = repo.branches.local["main"].peel()
        assert "Author: Some Stranger <stranger@example.test>" in last.message
        assert repo.references["refs/tags/v1"].peel(pygit2.Commit).id == last.id


def test_only_the_newest_commits_are_taken(tmp_path):
    entangled(tmp_path / "repo")
    history = read_history(tmp_path / "repo" / ".git", "main", {}, People(), Limits(2, 1000), print, "here")
    assert [commit.branch for commit in history.commits] == [None, None]
    assert history.commits[0].files == {"a": "4\n"}


def test_large_files_are_left_out_and_told(tmp_path):
    entangled(tmp_path / "repo")
    told: list[str] = []
    read_history(tmp_path / "repo" / ".git", "main", {}, People(), Limits(100, 1), told.append, "here")
    assert any("is left out (--most-mb)" in line for line in told)
    with served_office(tmp_path, COMPANY) as office:
        drive = asyncio.run(import_drive(office.urls["drive"], told.append, most_bytes=4))
    assert list(drive.files) == ["Documents/Über/x.bin"]


# People, errors, patience


def test_one_person_has_many_accounts():
    people = People()
    people.add("theagentcompany", "The Agent")
    assert people.add("root", "Administrator", "root@local") == "theagentcompany"
    assert people.add("Mike.Chen", "Mike Chen", "mike@company.test") == "mike.chen"
    assert people.known("whoever", email="MIKE@company.test") == "mike.chen"
    assert people.known(name="mike chen") == "mike.chen"
    assert people.known("stranger", "s@example.test", "S") is None
    assert people.add("Ünï cödé", "U") == "n_c_d_"
    assert [person.username for person in people.overlays()] == ["mike.chen", "n_c_d_", "theagentcompany"]


def test_wrong_credentials_are_told(tmp_path):
    with served_office(tmp_path, COMPANY) as office:
        with pytest.raises(
            OfficeError, match=r"the chat: .* refuses theagentcompany; check the account's password"
        ):
            read_all(office.urls, "--password", "wrong")
        with pytest.raises(OfficeError, match=r"401.*check the account or token"):
            asyncio.run(import_forge(office.urls["forge"], People(), print, token="wrong"))
        with pytest.raises(OfficeError, match=r"40[13]"):
            asyncio.run(import_tracker(office.urls["tracker"], People(), print, key="wrong"))
        with pytest.raises(OfficeError, match="401"):
            asyncio.run(import_drive(office.urls["drive"], print, password="wrong"))
        with pytest.raises(OfficeError, match="could not be cloned"):
            asyncio.run(import_forge(office.urls["forge"], People(), print, password="wrong"))
        with pytest.raises(OfficeError, match="there is no project root/nothing"):
            asyncio.run(import_forge(office.urls["forge"], People(), print, only=["root/nothing"]))


def test_a_service_that_is_not_there_is_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(OfficeError, match="can't be reached"):
            asyncio.run(import_tracker(url, People(), print))
    with pytest.raises(OfficeError, match="is no address"):
        asyncio.run(import_tracker("localhost", People(), print))


def test_a_service_of_another_kind_is_told(tmp_path):
    with answering([(200, {}, b"<html>"), (200, {}, b"<html>")]) as url:
        with pytest.raises(OfficeError, match="something other than JSON"):
            asyncio.run(import_tracker(url, People(), print))
        with pytest.raises(OfficeError, match="something other than WebDAV"):
            asyncio.run(import_drive(url, print))


def test_a_rate_limit_is_waited_out():
    with answering([(429, {"Retry-After": "0"}, b""), (200, {}, b"[]"), (200, {}, b"[]")]) as url:
        assert asyncio.run(import_tracker(url, People(), print)).projects == ()


def test_at_least_one_service_must_be_named():
    parser = ArgumentParser()
    cli.add_arguments(parser)
    with pytest.raises(ConfigError, match="name at least one service"):
        cli.run(parser.parse_args(["--out", "x"]))


@contextmanager
def answering(answers: list[tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """A fake service that gives these answers, one after the other."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, content = answers.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_PROPFIND = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
