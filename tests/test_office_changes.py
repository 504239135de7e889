"""What an attempt changed: nothing in two offices of the same overlay, and otherwise exactly what was done."""

import base64
import dataclasses
import json
import os
import sqlite3
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from office_helpers import PEOPLE, ServedOffice, served_office

from tac_rl.office import tenant as tenants
from tac_rl.office.base import FORGE_TOKEN, PASSWORD, TRACKER_KEY
from tac_rl.office.changes import Changes, diff, files, summary
from tac_rl.office.changes.base import TEXT_MAX
from tac_rl.office.changes.records import ROWS_MAX, opened
from tac_rl.office.chat.store import direct_room, post_message
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.services import make_empty
from tac_rl.office.tenant import Tenant

AGENT = "theagentcompany"
OVERLAY: dict[str, Any] = {
    "chat": {
        "channels": [
            {
                "name": "sales",
                "members": [AGENT, "alex_turner"],
                "messages": [{"from": "alex_turner", "text": "Good morning"}],
            }
        ],
        "direct": [{"between": [AGENT, "alex_turner"], "messages": [{"from": AGENT, "text": "Hi"}]}],
    },
    "forge": {
        "projects": [
            {
                "path": "root/atlas",
                "commits": [{"message": "Begin", "from": "alex_turner", "files": {"README.md": "Atlas\n"}}],
                "labels": [{"name": "bug"}],
                "issues": [{"title": "It leaks", "iid": 12, "from": "alex_turner"}],
            }
        ]
    },
    "tracker": {
        "projects": [
            {
                "name": "Frontend",
                "identifier": "FE",
                "id": "11111111-1111-4111-8111-111111111111",
                "cycles": [{"name": "Sprint 1"}],
                "issues": [
                    {"title": "Paint", "number": 12, "id": "22222222-2222-4222-8222-222222222222"},
                ],
            }
        ]
    },
    "drive": {"files": {"Documents/a.csv": "1,2\n", "Documents/b.txt": "b" * 100, "Old/c.txt": "c"}},
}
FE, FE_12 = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def lay(folder: Path, overlay: dict[str, Any] | None = None) -> Path:
    """An office in a folder, as `served_office` makes it, not served."""
    make_empty(folder / "office")
    tenant = Tenant("test", folder / "office")
    try:
        lay_over(
            tenant, parse_overlay({"people": PEOPLE, **(OVERLAY if overlay is None else overlay)}, "test")
        )
    finally:
        tenant.close()
    return folder / "office"


def call(url: str, method: str, body: Any = None, **headers: str) -> Any:
    """One request; what is answered, from JSON where it is JSON."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    if body is not None and not isinstance(body, bytes):
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as response:
        text = response.read()
        return json.loads(text) if "json" in response.headers.get("Content-Type", "") and text else text


def changes_after(tmp_path: Path, work: Callable[[ServedOffice], None]) -> Changes:
    """What `work` changes in an office of the overlay."""
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before = lay(tmp_path / "before")
    with served_office(tmp_path / "after", OVERLAY) as office:
        work(office)
        found: Changes = office.call(diff, before, office.tenant.folder)
    json.dumps(dataclasses.asdict(found))  # It crosses a socket.
    return found


def test_two_offices_of_one_overlay_differ_in_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    found = diff(lay(tmp_path / "a"), lay(tmp_path / "b"))

    assert found.nothing and summary(found) == []
    assert found == Changes()


def test_signing_in_and_reading_change_nothing_worth_telling(tmp_path: Path) -> None:
    def work(office: ServedOffice) -> None:
        user = {"user": AGENT, "password": PASSWORD}
        call(f"{office.urls['chat']}/api/v1/login", "POST", user)
        call(f"{office.urls['forge']}/api/v4/projects", "GET", **{"PRIVATE-TOKEN": FORGE_TOKEN})
        call(f"{office.urls['tracker']}/api/v1/workspaces/tac/projects/", "GET", **{"x-api-key": TRACKER_KEY})

    assert summary(changes_after(tmp_path, work)) == []


def test_the_chat_tells_who_wrote_what_and_where(tmp_path: Path) -> None:
    def work(office: ServedOffice) -> None:
        def write() -> None:
            tenant = office.tenant
            sales = tenant.value("SELECT id FROM chat_rooms WHERE name = 'sales'")
            post_message(tenant, sales, AGENT, "The figures are in\nthe drive")
            post_message(tenant, direct_room(tenant, AGENT, "sarah_johnson"), AGENT, "Ping")
            post_message(tenant, direct_room(tenant, AGENT, "alex_turner"), "alex_turner", "Hello")
            post_message(tenant, sales, "mike_chen", "I'm new here")
            tenant.db.execute("UPDATE chat_rooms SET topic = 'Money' WHERE name = 'sales'")
            tenant.db.execute(
                "UPDATE chat_members SET owner = 1 WHERE room = ? AND username = 'mike_chen'", (sales,)
            )
            tenant.db.execute("DELETE FROM chat_messages WHERE text = 'Good morning'")

        office.call(write)

    assert sorted(summary(changes_after(tmp_path, work))) == sorted(
        [
            '#sales: topic set to "Money"',
            "mike_chen is now in #sales as owner",
            'theagentcompany wrote in #sales: "The figures are in the drive"',
            'theagentcompany wrote to sarah_johnson: "Ping"',
            'alex_turner wrote to theagentcompany: "Hello"',
            'mike_chen wrote in #sales: "I\'m new here"',
            'a message of alex_turner in #sales was deleted: "Good morning"',
        ]
    )


def test_the_forge_tells_of_issues_comments_and_commits(tmp_path: Path) -> None:
    def work(office: ServedOffice) -> None:
        url, token = f"{office.urls['forge']}/api/v4/projects/root%2Fatlas", {"PRIVATE-TOKEN": FORGE_TOKEN}
        call(f"{url}/issues/12/notes", "POST", {"body": "Fixed in main"}, **token)
        call(f"{url}/issues/12", "PUT", {"state_event": "close", "add_labels": "bug"}, **token)
        call(f"{url}/issues", "POST", {"title": "It squeaks"}, **token)
        call(f"{url}/repository/branches?branch=fix&ref=main", "POST", **token)
        commit = {
            "branch": "main",
            "commit_message": "Tighten the valve\n\nIt was loose.",
            "actions": [{"action": "create", "file_path": "valve.txt", "content": "tight"}],
        }
        call(f"{url}/repository/commits", "POST", commit, **token)

    found = changes_after(tmp_path, work)

    told = summary(found)
    assert 'theagentcompany commented on issue root/atlas#12: "Fixed in main"' in told
    assert 'issue root/atlas#12 "It leaks" was closed' in told
    assert 'label "bug" added to issue root/atlas#12' in told
    assert 'issue root/atlas#13 "It squeaks" was opened by theagentcompany' in told
    assert "branch fix of root/atlas was created" in told
    assert any(
        line.startswith('branch main of root/atlas has 1 new commit: "Tighten the valve" by ')
        for line in told
    )
    assert len(told) == 6
    (moved,) = [ref for ref in found.refs if ref.kind == "changed"]
    assert moved.ref == "refs/heads/main" and [c.sha for c in moved.commits] == [moved.after]


def test_the_tracker_tells_what_moved(tmp_path: Path) -> None:
    def work(office: ServedOffice) -> None:
        url, key = f"{office.urls['tracker']}/api/v1/workspaces/tac/projects/{FE}", {"x-api-key": TRACKER_KEY}
        states = call(f"{url}/states/", "GET", **key)["results"]
        done = next(state["id"] for state in states if state["name"] == "Done")
        cycle = call(f"{url}/cycles/", "GET", **key)["results"][0]["id"]
        call(f"{url}/issues/{FE_12}/", "PATCH", {"state": done, "priority": "high"}, **key)
        call(f"{url}/issues/{FE_12}/comments/", "POST", {"comment_html": "<p>It is blue</p>"}, **key)
        call(f"{url}/cycles/{cycle}/cycle-issues/", "POST", {"issues": [FE_12]}, **key)
        call(f"{url}/issues/", "POST", {"name": "Varnish"}, **key)

    told = summary(changes_after(tmp_path, work))

    assert "FE-12 moved to Done" in told
    assert 'FE-12: priority from "none" to "high"' in told
    assert 'theagentcompany commented on FE-12: "It is blue"' in told
    assert 'FE-12 was added to cycle "Sprint 1"' in told
    assert 'FE-13 "Varnish" was created in Backlog' in told
    assert len(told) == 5


def test_the_drive_tells_of_files(tmp_path: Path) -> None:
    def work(office: ServedOffice) -> None:
        url = f"{office.urls['drive']}/remote.php/webdav"
        word = base64.b64encode(f"{AGENT}:{PASSWORD}".encode()).decode()
        login = {"Authorization": f"Basic {word}"}
        call(f"{url}/Documents/x.csv", "PUT", b"3,4\n", **login)
        call(f"{url}/Documents/a.csv", "PUT", b"1,2,3\n", **login)
        call(f"{url}/Documents/b.txt", "MOVE", Destination=f"{url}/b2.txt", **login)
        call(f"{url}/Old", "DELETE", **login)
        call(f"{url}/New", "MKCOL", **login)

    found = changes_after(tmp_path, work)

    assert sorted(summary(found)) == [
        "file Documents/a.csv was changed",
        "file Documents/b.txt moved to b2.txt",
        "file Documents/x.csv was added",
        "file Old/c.txt was removed",
        "folder New was added",
        "folder Old was removed",
    ]
    changed = next(file for file in found.files if file.path == "drive/Documents/a.csv")
    assert (changed.size_before, changed.size) == (4, 6)
    assert changed.sha256_before != changed.sha256


MORE: dict[str, Any] = {
    "people": [{"username": "li_ming", "name": "Li Ming"}],
    "chat": {
        "channels": [
            {
                "name": "plans",
                "private": True,
                "owner": "alex_turner",
                "messages": [{"from": "alex_turner", "text": "Soon", "reactions": {"eyes": ["alex_turner"]}}],
            }
        ]
    },
    "forge": {
        "projects": [
            {
                "path": "root/atlas",
                "members": {"mike_chen": "developer"},
                "milestones": [{"title": "v1"}],
                "commits": [{"message": "Release", "files": {"z": "1"}, "tag": "v1.0"}],
                "issues": [{"title": "Wobbles", "assignees": ["mike_chen"], "milestone": "v1"}],
                "wiki": {"Home": "Welcome"},
            },
            {
                "path": "lab/fresh",
                "protected_branches": ["main"],
                "commits": [{"message": "Go", "files": {"a": "b"}}],
            },
        ]
    },
    "tracker": {"projects": [{"name": "Backend", "issues": [{"title": "Pipes"}]}]},
    "drive": {"files": {"Documents/q.txt": "q"}, "shares": [{"path": "Documents/q.txt"}]},
}


def test_what_is_new_and_what_is_gone_is_told_once_and_not_again_for_each_of_its_parts(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before, after = lay(tmp_path / "a"), lay(tmp_path / "b")
    tenant = Tenant("test", after)
    lay_over(tenant, parse_overlay(MORE, "test"))
    tenant.close()

    told = summary(diff(before, after))

    for line in (
        "li_ming joined the company",
        "#plans (private) was created by alex_turner",
        'alex_turner wrote in #plans (private): "Soon"',
        "the project lab/fresh was created by theagentcompany",
        'issue root/atlas#13 "Wobbles" was opened by theagentcompany',
        "mike_chen is now assignee of issue root/atlas#13",
        "mike_chen is now developer of root/atlas",
        'milestone "v1" of root/atlas was created',
        'wiki page "Home" of root/atlas was created',
        'tag v1.0 of root/atlas was created with 1 new commit: "Release" by The Agent',
        "the tracker's project Backend was created",
        "Documents/q.txt is shared with whoever has the link",
    ):
        assert line in told
    assert not [line for line in told if "state" in line or "protection" in line]
    gone = summary(diff(after, before))
    for line in (
        "li_ming left the company",
        "#plans (private) was deleted",
        "the project lab/fresh was deleted",
        "the tracker's project Backend was deleted",
        'issue root/atlas#13 "Wobbles" was deleted',
        "tag v1.0 of root/atlas was deleted",
        "file Documents/q.txt was removed",
    ):
        assert line in gone
    assert any(line.startswith("branch main of root/atlas moved from ") for line in gone)
    assert not [line for line in gone if "Soon" in line or "Pipes" in line or "of lab/fresh" in line]


# Any table, any folder


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the same database of tables that no service has."""
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        database = sqlite3.connect(tmp_path / name / tenants.DATABASE)
        database.executescript(
            """
            CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE pairs (a TEXT, b INTEGER, parent INTEGER REFERENCES parents, "odd ""name" TEXT,
                PRIMARY KEY (a, b)) WITHOUT ROWID;
            CREATE TABLE keyless (x TEXT);
            CREATE TABLE chat_tokens (token TEXT PRIMARY KEY);
            CREATE VIRTUAL TABLE words USING fts5 (text);
            INSERT INTO parents VALUES (1, 'one'), (2, 'two');
            INSERT INTO pairs VALUES ('k', 1, 1, NULL), ('k', 2, 2, 'same');
            INSERT INTO keyless VALUES ('first'), ('second');
            """
        )
        database.close()
    return tmp_path / "before", tmp_path / "after"


def change(folder: Path, script: str) -> None:
    database = sqlite3.connect(folder / tenants.DATABASE)
    database.executescript(script)
    database.close()


def records_changed(before: Path, after: Path) -> tuple[Any, ...]:
    with opened(before, after) as records:
        rows, left_out = records.changes()
        return rows, left_out, records.context_of(rows, [])


def test_any_table_is_compared_by_its_key_and_shows_changed_columns_only(two: tuple[Path, Path]) -> None:
    change(
        two[1],
        """
        UPDATE pairs SET "odd ""name" = 'now' WHERE b = 1;
        DELETE FROM pairs WHERE b = 2;
        INSERT INTO keyless VALUES ('third');
        INSERT INTO chat_tokens VALUES ('secret');
        INSERT INTO words VALUES ('not compared');
        """,
    )

    rows, left_out, context = records_changed(*two)

    assert [(row.table, row.kind, row.key, row.before, row.after) for row in rows] == [
        ("keyless", "added", {"rowid": 3}, {}, {"x": "third"}),
        ("pairs", "removed", {"a": "k", "b": 2}, {"a": "k", "b": 2, "parent": 2, 'odd "name': "same"}, {}),
        ("pairs", "changed", {"a": "k", "b": 1}, {'odd "name': None}, {'odd "name': "now"}),
    ]
    assert left_out == {}
    assert context["parents"] == {"1": {"id": 1, "name": "one"}, "2": {"id": 2, "name": "two"}}
    assert context["pairs"]["k|1"]["parent"] == 1
    assert "secret" not in json.dumps(context)


def test_unknown_tables_are_counted_in_the_summary(two: tuple[Path, Path]) -> None:
    change(two[1], "INSERT INTO keyless VALUES ('3'), ('4'); DELETE FROM parents WHERE id = 1;")

    rows, left_out, context = records_changed(*two)

    assert summary(Changes(tuple(rows), (), (), left_out, context)) == [
        "keyless: 2 records added",
        "parents: 1 record removed",
    ]


def test_long_texts_are_cut_bytes_are_named_and_floods_are_counted(two: tuple[Path, Path]) -> None:
    change(
        two[1],
        f"""
        INSERT INTO parents VALUES (3, x'00ff'), (4, '{"y" * 10_000}');
        INSERT INTO keyless WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
            SELECT i FROM n;
        """,
    )

    rows, left_out, _ = records_changed(*two)

    named, cut = (row.after["name"] for row in rows if row.table == "parents")
    assert str(named).startswith("(2 bytes, sha256 ")
    assert str(cut) == "y" * TEXT_MAX + "… (10000 characters)"
    assert sum(row.table == "keyless" for row in rows) == ROWS_MAX
    assert left_out == {"keyless": 3000 - ROWS_MAX}
    json.dumps([dataclasses.asdict(row) for row in rows])


def test_comparing_writes_nothing(two: tuple[Path, Path]) -> None:
    contents = [(folder / tenants.DATABASE).read_bytes() for folder in two]

    records_changed(*two)

    assert [(folder / tenants.DATABASE).read_bytes() for folder in two] == contents
    assert [path.name for folder in two for path in folder.iterdir()] == [tenants.DATABASE] * 2


def test_the_same_file_on_disk_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before / "drive", after / "drive"):
        folder.mkdir(parents=True)
        (folder / "copied").write_text("equal")
    (before / "drive" / "shared").write_text("x")
    os.link(before / "drive" / "shared", after / "drive" / "shared")
    read: list[str] = []
    measure = files._measure
    monkeypatch.setattr(files, "_measure", lambda entry: read.append(entry.name) or measure(entry))

    assert list(files.FileDiff(before, after).changes("drive")) == []
    assert read == ["copied", "copied"]


def test_links_and_kinds_that_change_are_told_without_following_them(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before / "drive", after / "drive"):
        folder.mkdir(parents=True)
    (tmp_path / "outside").write_text("not of this office")
    (after / "drive" / "link").symlink_to(tmp_path / "outside")
    (before / "drive" / "turns").write_text("a file")
    (after / "drive" / "turns").mkdir()
    (after / "drive" / "turns" / "inner").write_text("")

    found = list(files.FileDiff(before, after).changes("drive"))

    assert [(c.path, c.kind, c.folder) for c in found] == [
        ("drive/link", "added", False),
        ("drive/turns", "added", True),
        ("drive/turns/inner", "added", False),
        ("drive/turns", "removed", False),
    ]
    assert found[0].size == len(str(tmp_path / "outside"))
