"""The commands of sandboxes, the checkers' client and the MCP server against a served office."""

import ast
import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from office_commands import Commands, lay_out
from office_helpers import ServedOffice, served_office

from tac_rl.office.verbs import SERVICES, client_files
from tac_rl.office.verbs.chat import Chat
from tac_rl.office.verbs.main import verbs_of
from tac_rl.tasks import grading

EVIL = '<script>alert(1)</script> \'; DROP TABLE chat_users; -- "x"'
OVERLAY: dict[str, Any] = {
    "people": [
        {"username": "theagentcompany", "name": "The Agent", "email": "agent@company.com", "admin": True},
        {"username": "alex_turner", "name": "Alex Turner", "title": "Engineer", "bio": "Backend engineer"},
        {"username": "sarah_johnson", "name": "Sarah Johnson", "title": "Lead"},
        {"username": "mike_chen", "name": "Mike Chen", "title": "Sales"},
    ],
    "chat": {
        "channels": [
            {
                "name": "general",
                "topic": "Anything",
                "members": "everyone",
                "messages": [
                    {"from": "alex_turner", "text": "good morning"},
                    {"from": "sarah_johnson", "text": EVIL},
                    {"from": "mike_chen", "text": "the code is 4711"},
                ],
            },
            {
                "name": "busy",
                "members": ["alex_turner"],
                "messages": [{"from": "alex_turner", "text": f"message {n}"} for n in range(130)],
            },
            {
                "name": "board",
                "private": True,
                "members": ["theagentcompany", "sarah_johnson"],
                "messages": [{"from": "sarah_johnson", "text": "in private"}],
            },
        ],
        "direct": [
            {
                "between": ["theagentcompany", "mike_chen"],
                "messages": [{"from": "mike_chen", "text": "call me"}],
            },
            {
                "between": ["sarah_johnson", "alex_turner"],
                "messages": [{"from": "sarah_johnson", "text": "just us"}],
            },
        ],
    },
    "forge": {
        "projects": [
            {
                "path": "root/api-server",
                "description": "Answers requests",
                "commits": [
                    {"message": "Begin", "files": {"README.md": "# API\n", "src/main.py": "print('hi')\n"}},
                    {"message": "Try", "branch": "try-this", "files": {"src/new.py": "x = 1\n"}},
                    {"message": "Other", "branch": "stale", "files": {"old.txt": "old\n"}},
                ],
                "labels": [{"name": "bug"}, {"name": "good first issue"}],
                "milestones": [{"title": "Version 2", "due": "2026-05-01"}],
                "members": {"alex_turner": "developer"},
                "issues": [
                    {
                        "title": "Login fails",
                        "iid": 12,
                        "description": EVIL,
                        "labels": ["bug"],
                        "assignees": ["alex_turner"],
                        "notes": [{"from": "mike_chen", "text": "still broken"}],
                    },
                    {"title": "Slow start", "iid": 13},
                    {"title": "Done already", "iid": 14, "state": "closed"},
                ],
                "merge_requests": [
                    {"title": "Try this", "source_branch": "try-this", "iid": 3, "from": "alex_turner"}
                ],
                "wiki": {"Team Rules": "Be kind.\n"},
            },
            {"path": "root/website"},
        ]
    },
    "tracker": {
        "projects": [
            {
                "name": "Frontend Development",
                "identifier": "FE",
                "labels": [{"name": "ui"}],
                "cycles": [
                    {"name": "Sprint 1", "start": "2026-03-02", "end": "2026-03-13"},
                    {"name": "Sprint 2"},
                ],
                "modules": [{"name": "Checkout"}],
                "issues": [
                    {
                        "title": "Broken button",
                        "number": 12,
                        "state": "In Progress",
                        "priority": "high",
                        "description": "It <b>fails</b> & burns",
                        "assignees": ["alex_turner"],
                        "labels": ["ui"],
                        "cycle": "Sprint 1",
                        "comments": [{"from": "sarah_johnson", "text": "seen too"}],
                    },
                    {"title": "New colours", "number": 13},
                ],
            }
        ]
    },
    "drive": {
        "files": {
            "Documents/year report.txt": "profit 12\n",
            "Documents/Money/bill.csv": "a,1\n",
            "Documents/raw.bin": "base64://AAEA==",
        },
        "folders": ["Empty"],
    },
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedOffice]:
    with served_office(tmp_path_factory.mktemp("office"), OVERLAY) as served:
        yield served


@pytest.fixture(scope="module")
def run(office: ServedOffice, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return lay_out(tmp_path_factory.mktemp("commands"), office.urls)


# The chat


def test_chat_tells_rooms_messages_and_people(run: Commands):
    assert {"general 4", "board 2 private"} <= set(run.ok("chat channels"))
    assert run.ok("chat read general") == [
        "alex_turner: good morning",
        f"sarah_johnson: {EVIL}",
        "mike_chen: the code is 4711",
    ]
    assert run.ok("chat read #general 1") == ["mike_chen: the code is 4711"]
    assert run.ok("chat read board") == ["sarah_johnson: in private"]
    assert run.ok("chat dm mike_chen") == ["mike_chen: call me"]
    assert run.ok("chat people engineer") == ["alex_turner, Alex Turner, Backend engineer"]
    assert run.ok("chat who Alex Turner")[:2] == ["username: alex_turner", "name: Alex Turner"]
    assert "topic: Anything" in run.ok("chat about general")
    assert "sarah_johnson" in [line.split()[0] for line in run.ok("chat members board")]


def test_chat_reading_leaves_no_trace(office: ServedOffice, run: Commands):
    def state() -> Any:
        return office.tenant.rows("SELECT count(*) FROM chat_rooms")[0][0]

    before = office.call(state)
    assert run.ok("chat dm sarah_johnson") == ["no messages with sarah_johnson"]
    assert office.call(state) == before


def test_long_conversations_are_read_from_their_end_or_whole(kit: Path, office: ServedOffice, run: Commands):
    assert run.ok("chat read busy 2") == ["alex_turner: message 128", "alex_turner: message 129"]
    assert len(run.ok("chat read busy")) == 20
    assert checked(kit, office.urls, "len(office.chat_messages('busy'))") == 130


def test_chat_sends_to_rooms_and_people(run: Commands):
    run.ok("chat create talk alex_turner mike_chen")
    assert run.ok("chat send talk several words here") == ["sent to talk"]
    run.ok("chat send talk", f"{EVIL}\nand a second line")
    assert run.ok("chat read talk") == [
        "theagentcompany: several words here",
        f"theagentcompany: {EVIL}",
        "and a second line",
    ]
    run.ok("chat dm Alex are you there?")
    run.ok("chat send @alex_turner I am")
    assert run.ok("chat read @alex_turner") == ["theagentcompany: are you there?", "theagentcompany: I am"]


def test_chat_search_looks_everywhere(run: Commands):
    assert run.ok("chat search 4711") == ["general mike_chen: the code is 4711"]
    assert run.ok("chat search call me") == ["@mike_chen mike_chen: call me"]
    assert run("chat search '; DROP TABLE").status in (0, 1)
    assert run("chat search nowhere-to-be-found").status == 1


def test_chat_manages_members_and_roles(run: Commands):
    run.ok("chat create team-x")
    run.ok("chat invite team-x alex_turner")
    run.ok("chat invite team-x Mike Chen")
    run.ok("chat moderator team-x alex_turner")
    run.ok("chat owner team-x alex_turner")
    run.ok("chat leader team-x mike_chen")
    assert {"alex_turner moderator owner", "mike_chen leader"} <= set(run.ok("chat members team-x"))
    run.ok("chat demote team-x moderator alex_turner")
    run.ok("chat kick team-x mike_chen")
    assert run.ok("chat members team-x") == ["alex_turner owner", "theagentcompany owner"]
    run.ok("chat topic team-x what we do")
    assert run.ok("chat about team-x")[0] == "topic: what we do"
    run.ok("chat leave team-x")
    assert run.ok("chat members team-x") == ["alex_turner owner"]
    run.ok("chat join team-x")
    assert len(run.ok("chat members team-x")) == 2


def test_what_the_chat_itself_notes_is_not_read(office: ServedOffice, run: Commands):
    run.ok("chat create noisy")
    run.ok("chat send noisy before all that")
    agent = Chat(office.urls["chat"])
    room, mike = agent.room("noisy"), agent.person("mike_chen")["_id"]
    for _ in range(30):
        agent.post("channels.invite", roomId=room["_id"], userId=mike)
        agent.post("channels.kick", roomId=room["_id"], userId=mike)
    assert len(agent.get("channels.history", roomId=room["_id"], count=0)["messages"]) > 22
    assert run.ok("chat read noisy 1") == ["theagentcompany: before all that"]


def test_chat_reacts(run: Commands):
    run.ok("chat create cheers")
    run.ok("chat send cheers one")
    run.ok("chat send cheers two")
    assert run.ok("chat react cheers thumbsup") == ["reacted to theagentcompany: two"]
    assert run.ok("chat react cheers tada on") == ["reacted to theagentcompany: one"]


def test_ask_prints_the_answer_of_a_colleague(office: ServedOffice, run: Commands):
    threads = []

    def answer(event: Any) -> None:
        if event.room_kind == "direct" and "launch" in event.text and event.author == "theagentcompany":
            sarah = Chat(office.urls["chat"], "sarah_johnson")
            thread = threading.Thread(target=lambda: sarah.send(sarah.room("@theagentcompany"), "on Friday"))
            thread.start()
            threads.append(thread)

    office.call(office.tenant.subscribe, answer)
    assert run.ok("chat ask sarah_johnson when is the launch?") == ["sarah_johnson: on Friday"]
    for thread in threads:
        thread.join(20)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("chat read genral", "there is no room 'genral'; nearest: general"),
        ("chat dm alex_turnr", "there is no person 'alex_turnr'; nearest: alex_turner"),
        ("forge issues api-servr", "there is no project 'api-servr'; nearest: api-server"),
        ("forge issue api-server 99", "there is no issue '99'; there are: 12, 13, 14"),
        ("forge cat api-server READ.md", "there is no file 'READ.md'; nearest: README.md"),
        ("forge issues api-server opened bgu", "there is no label 'bgu'; nearest: bug"),
        ("forge delete-branch api-server stael", "there is no branch 'stael'; nearest: stale"),
        ("tracker issues backend", "there is no project 'backend'; there is: Frontend Development"),
        ("tracker issue FE-99", "there is no issue 'FE-99'"),
        ("tracker issue 12", "an issue's key looks like FE-12, not '12'"),
        ("tracker move FE-13 finished", "there is no state 'finished'; there are: "),
        ("tracker priority FE-13 huge", "a priority is urgent, high, medium, low or none"),
        ("drive cat Documents/report.txt", "there is no file 'Documents/report.txt'"),
        ("drive ls Documnts", "there is no file 'Documnts'; nearest: Documents/"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest_names(run: Commands, line: str, words: str):
    ran = run(line)
    assert (ran.status, ran.output) == (1, "")
    assert words in ran.error and ran.error.count("\n") == 1


# The forge


def test_forge_tells_projects_issues_and_files(run: Commands):
    assert run.ok("forge projects") == ["api-server: Answers requests", "website"]
    assert run.ok("forge issues api-server") == ["12 Login fails", "13 Slow start"]
    assert run.ok("forge issues api-server opened bug") == ["12 Login fails"]
    assert run.ok("forge issues root/api-server BUG") == ["12 Login fails"]
    assert run.ok("forge issues API-Server closed") == ["14 Done already"]
    assert run.ok("forge issues api-server all")[2] == "14 closed Done already"
    assert run.ok("forge issue api-server 12") == [
        "title: Login fails",
        "state: opened",
        "labels: bug",
        "assignee: alex_turner",
        "author: root",
        f"description: {EVIL}",
        "mike_chen: still broken",
    ]
    assert run.ok("forge files api-server") == ["src/", "README.md"]
    assert run.ok("forge files api-server src try-this") == ["src/main.py", "src/new.py"]
    assert run.ok("forge cat api-server src/main.py") == ["print('hi')"]
    assert run.ok("forge files website") == []
    assert [line.split(": ")[1] for line in run.ok("forge commits api-server")] == ["Begin"]
    assert "alex_turner developer" in run.ok("forge members api-server")
    assert run.ok("forge milestones api-server") == ["Version 2 active 2026-05-01"]


def test_forge_changes_issues(run: Commands):
    number = run.ok("forge create website The page is <b>empty</b>")[0].removeprefix("created ")
    for line in (
        f"forge describe website {number} line one",
        f"forge comment website {number} looking at it",
        f"forge label website {number} urgent",
        f"forge label website {number} later",
        f"forge unlabel website {number} later",
        f"forge assign website {number} Sarah Johnson",
        "forge create-milestone website Version 1",
        f"forge milestone website {number} version-1",
        f"forge title website {number} The page is empty",
    ):
        run.ok(line)
    assert run.ok(f"forge issue website {number}") == [
        "title: The page is empty",
        "state: opened",
        "labels: urgent",
        "assignee: sarah_johnson",
        "milestone: Version 1",
        "author: root",
        "description: line one",
        "root: looking at it",
    ]
    run.ok(f"forge unassign website {number}")
    run.ok(f"forge close website {number}")
    assert run.ok("forge issues website") == []
    run.ok(f"forge reopen website {number}")
    assert run.ok("forge issues website") == [f"{number} The page is empty"]


def test_forge_works_on_repositories(run: Commands):
    run.ok("forge branch api-server feature/x")
    assert "feature/x" in [line.split()[0] for line in run.ok("forge branches api-server")]
    run.ok("forge delete-branch api-server stale")
    assert "stale" not in [line.split()[0] for line in run.ok("forge branches api-server")]
    run.ok("forge write api-server notes/todo.md", "- one\n- two")
    assert run.ok("forge cat api-server notes/todo.md") == ["- one", "- two"]
    run.ok("forge write api-server notes/todo.md done")
    assert run.ok("forge cat api-server notes/todo.md") == ["done"]
    run.ok("forge tag api-server v1.0")
    assert run.ok("forge tags api-server") == ["v1.0"]
    run.ok("forge protect api-server feature/x")
    assert "feature/x merged protected" in run.ok("forge branches api-server")
    run.ok("forge unprotect api-server feature/x")


def test_forge_merge_requests(run: Commands):
    assert run.ok("forge mrs api-server") == ["3 Try this"]
    shown = run.ok("forge mr api-server 3")
    assert "branches: try-this into main" in shown and "file: src/new.py" in shown
    assert "+x = 1" in run.ok("forge diff api-server 3")
    run.ok("forge comment-mr api-server 3 looks good")
    assert run.ok("forge merge api-server 3") == ["merged 3 into main"]
    assert run.ok("forge cat api-server src/new.py") == ["x = 1"]
    assert run.ok("forge mrs api-server merged") == ["3 Try this"]
    run.ok("forge branch api-server again")
    run.ok("forge branch api-server stable")
    number = run.ok("forge open-mr api-server again One more thing")[0].removeprefix("created ")
    assert run.ok(f"forge retarget api-server {number} stable") == [f"{number} goes into stable"]
    assert "branches: again into stable" in run.ok(f"forge mr api-server {number}")
    run.ok(f"forge close-mr api-server {number}")
    assert run.ok("forge mrs api-server closed") == [f"{number} One more thing"]


def test_forge_wiki(run: Commands):
    assert run.ok("forge wiki api-server") == ["Team Rules"]
    assert run.ok("forge wiki api-server team-rules") == ["Be kind."]
    run.ok("forge write-wiki api-server Plans Ship it")
    assert run.ok("forge wiki api-server plans") == ["Ship it"]
    run.ok("forge write-wiki api-server plans Wait")
    assert run.ok("forge wiki api-server Plans") == ["Wait"]


def test_a_clone_can_be_pushed(run: Commands):
    cloned = run("forge clone website site")
    assert (cloned.status, cloned.output) == (0, "cloned to site\n")
    assert cloned.error == "warning: You appear to have cloned an empty repository.\n"
    site = run.cwd / "site"
    environment = {"PATH": os.environ["PATH"], "HOME": str(run.cwd), "GIT_TERMINAL_PROMPT": "0"}
    (site / "index.html").write_text("<p>hi</p>\n")
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (
        ["checkout", "-b", "main"],
        ["add", "."],
        [*author, "commit", "-qm", "x"],
        ["push", "origin", "main"],
    ):
        subprocess.run(
            ["git", *words], cwd=site, env=environment, check=True, capture_output=True, timeout=30
        )
    assert run.ok("forge cat website index.html main") == ["<p>hi</p>"]
    assert run("forge clone website site").status == 1


def test_forge_projects_come_and_go(run: Commands):
    assert run.ok("forge create-project short-lived") == ["created root/short-lived"]
    run.ok("forge add-member short-lived alex_turner maintainer")
    assert "alex_turner maintainer" in run.ok("forge members short-lived")
    run.ok("forge delete-project short-lived")
    assert run("forge issues short-lived").status == 1


# The tracker


def test_tracker_tells_projects_and_issues(run: Commands):
    assert run.ok("tracker projects") == ["FE Frontend Development"]
    assert run.ok("tracker issues FE")[0] == "FE-12 In Progress: Broken button"
    assert run.ok("tracker issues frontend-development in progress") == ["FE-12 In Progress: Broken button"]
    assert run.ok("tracker issue FE-12") == [
        "title: Broken button",
        "state: In Progress",
        "priority: high",
        "assignee: alex_turner",
        "labels: ui",
        "cycle: Sprint 1",
        "description: It <b>fails</b> & burns",
        "sarah_johnson: seen too",
    ]
    assert run.ok("tracker states FE") == ["Backlog", "Todo", "In Progress", "Done", "Cancelled"]
    assert run.ok("tracker cycles FE") == ["Sprint 1 2026-03-02 2026-03-13", "Sprint 2"]
    assert run.ok("tracker cycle-issues FE sprint-1") == ["FE-12 In Progress: Broken button"]
    assert run.ok("tracker modules FE") == ["Checkout"]
    assert "alex_turner, Alex Turner" in run.ok("tracker members FE")


def test_tracker_changes_issues(run: Commands):
    key = run.ok("tracker create fe Make it <i>blue</i>")[0].removeprefix("created ")
    for line in (
        f"tracker move {key} in-progress",
        f"tracker priority {key} urgent",
        f"tracker assign {key} mike_chen",
        f"tracker label {key} ui",
        f"tracker label {key} later",
        f"tracker unlabel {key} ui",
        f"tracker cycle {key} sprint 2",
        f"tracker module {key} checkout",
        f"tracker due {key} 2026-04-30",
        f"tracker describe {key} as blue as <the> sky",
        f"tracker comment {key} on it",
    ):
        run.ok(line)
    assert run.ok(f"tracker issue {key.lower()}") == [
        "title: Make it <i>blue</i>",
        "state: In Progress",
        "priority: urgent",
        "assignee: mike_chen",
        "labels: later",
        "cycle: Sprint 2",
        "due: 2026-04-30",
        "description: as blue as <the> sky",
        "theagentcompany: on it",
    ]
    run.ok(f"tracker uncycle {key} sprint-2")
    assert run.ok("tracker cycle-issues FE Sprint 2") == []
    run.ok(f"tracker delete {key}")
    assert run(f"tracker issue {key}").status == 1


def test_tracker_makes_projects(run: Commands):
    assert run.ok("tracker create-project ops Operations Team") == ["created OPS Operations Team"]
    assert run.ok("tracker create operations-team First") == ["created OPS-1"]


# The drive


def test_drive_reads_and_finds(run: Commands):
    assert {"Documents/", "Empty/"} <= set(run.ok("drive ls"))
    assert run.ok("drive ls Documents") == ["Money/", "raw.bin 4", "year report.txt 10"]
    assert run.ok("drive ls Empty") == []
    assert run.ok("drive ls Documents/raw.bin") == ["raw.bin 4"]
    assert run.ok("drive cat Documents/year report.txt") == ["profit 12"]
    assert run.ok("drive find BILL") == ["Documents/Money/bill.csv"]
    assert run("drive cat Documents").error == "drive: Documents is a folder\n"


def test_drive_bytes_survive_both_ways(run: Commands):
    run.ok("drive get Documents/raw.bin copy.bin")
    assert (run.cwd / "copy.bin").read_bytes() == b"\xff\xf0\x00\x10"
    assert run.ok("drive put copy.bin Uploads/") == ["put Uploads/copy.bin"]
    run.ok("drive get Uploads/copy.bin again.bin")
    assert (run.cwd / "again.bin").read_bytes() == b"\xff\xf0\x00\x10"
    assert (
        run("drive put nothing.bin").error == "drive: nothing.bin can't be read: No such file or directory\n"
    )


def test_drive_changes_files_and_folders(run: Commands):
    run.run("drive", "write", "Work/über/a & b.txt", "one")
    run.run("drive", "append", "Work/über/a & b.txt", "two", "three")
    assert run.ok("drive cat Work/über/a & b.txt") == ["one", "two three"]
    run.ok("drive mkdir Work/new/deep")
    assert run.run("drive", "mv", "Work/über/a & b.txt", "Work/new").lines == ["moved to Work/new/a & b.txt"]
    assert run.run("drive", "cp", "Work/new/a & b.txt", "Work/c.txt").lines == ["copied to Work/c.txt"]
    assert run.ok("drive find b.txt") == ["Work/new/a & b.txt"]
    run.ok("drive rm Work/new")
    assert run.ok("drive ls Work") == ["c.txt 14", "über/"]
    assert run("drive rm /").error == "drive: the drive itself can't be deleted\n"
    assert run("drive rm Work/new").status == 1


def test_drive_shares_a_link_that_anybody_can_read(office: ServedOffice, run: Commands):
    import urllib.request

    link = run.ok("drive share Documents/year report.txt")[0]
    assert link.startswith(office.urls["drive"] + "/index.php/s/")
    with urllib.request.urlopen(f"{link}/download", timeout=20) as answer:
        assert answer.read() == b"profit 12\n"


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "Documents/../../../etc/passwd", "..%2f..%2fetc/passwd"]
)
def test_drive_paths_that_lead_out_find_nothing(run: Commands, path: str):
    ran = run(f"drive cat {path}")
    assert ran.status == 1 and "root:" not in ran.output


# Wrong accounts


@pytest.mark.parametrize(
    ("variable", "line"),
    [
        ("OFFICE_CHAT_PASSWORD", "chat channels"),
        ("OFFICE_FORGE_TOKEN", "forge projects"),
        ("OFFICE_TRACKER_KEY", "tracker projects"),
        ("OFFICE_DRIVE_PASSWORD", "drive ls"),
    ],
)
def test_a_wrong_account_is_refused_in_one_line(run: Commands, variable: str, line: str):
    service = line.split()[0]
    environment = {
        f"OFFICE_{service.upper()}_URL": run.urls[service],
        variable: "wrong",
        "PATH": os.environ["PATH"],
    }
    command = [run.folder / "bin" / service, *line.split()[1:]]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"{service}: ") and ran.stderr.count("\n") == 1


# Checkers


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a grading sandbox's kit."""
    folder = tmp_path_factory.mktemp("kit")
    for name, content in {**grading._kit(), **client_files()}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def checked(kit: Path, urls: dict[str, str], expression: str) -> Any:
    """What an expression over the checkers' client gives, evaluated as evaluators are."""
    code = (
        f"import sys; sys.path.insert(0, {str(kit)!r})\nimport office, common\n"
        f"try:\n    print(repr({expression}))\n"
        "except office.OfficeUnreachable as error:\n    print(repr(('unreachable', str(error))))"
    )
    environment = {f"OFFICE_{name.upper()}_URL": url for name, url in urls.items()}
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env=environment, capture_output=True, text=True, timeout=30
    )
    assert ran.returncode == 0, ran.stderr
    return ast.literal_eval(ran.stdout.splitlines()[-1])


def test_checkers_read_the_chat(kit: Path, office: ServedOffice):
    read = checked(
        kit,
        office.urls,
        "[office.channels(), office.channel('board'), office.chat_messages('general')[2],"
        " office.direct_messages('mike_chen'), office.direct_messages('alex_turner', 'sarah_johnson'),"
        " office.members('board'), office.roles('board')]",
    )
    assert {"general", "board"} <= set(read[0])
    board = {"name": "board", "topic": "", "description": "", "private": True, "archived": False}
    assert read[1] == board
    assert (read[2]["author"], read[2]["text"]) == ("mike_chen", "the code is 4711")
    assert [message["text"] for message in read[3]] == ["call me"]
    assert [(message["author"], message["text"]) for message in read[4]] == [("sarah_johnson", "just us")]
    assert read[5] == ["sarah_johnson", "theagentcompany"]
    assert read[6] == {"theagentcompany": ["owner"]}


def test_checkers_read_the_forge(kit: Path, office: ServedOffice):
    read = checked(
        kit,
        office.urls,
        "[office.issue('api-server', 12), office.issues('root/api-server')[2]['state'],"
        " office.merge_request('api-server', 3)['files'], office.repo_file('api-server', 'README.md', 'main'),"
        " office.repo_names('api-server', 'src', 'try-this'), office.wiki('api-server')['Team Rules'],"
        " office.milestones('api-server'), 'try-this' in office.branches('api-server'),"
        " office.commits('api-server', 'try-this')[0]['title'], 'root/website' in office.projects()]",
    )
    assert read[0] == {
        "number": 12,
        "title": "Login fails",
        "state": "opened",
        "description": EVIL,
        "labels": ["bug"],
        "author": "root",
        "assignees": ["alex_turner"],
        "milestone": None,
        "notes": [{"author": "mike_chen", "text": "still broken"}],
    }
    assert read[1:] == [
        "closed",
        ["src/new.py"],
        "# API\n",
        ["main.py", "new.py"],
        "Be kind.\n",
        [{"title": "Version 2", "state": "active", "due": "2026-05-01"}],
        True,
        "Try",
        True,
    ]


def test_checkers_read_the_tracker_and_the_drive(kit: Path, office: ServedOffice):
    read = checked(
        kit,
        office.urls,
        "[office.tracker_issue('FE-12'), office.tracker_issues('FE')[1]['title'],"
        " office.tracker_cycle('Frontend Development', 'Sprint 1'), office.tracker_cycles('FE'),"
        " office.drive_names('Documents'), office.drive_read('Documents/raw.bin'),"
        " office.drive_text('Documents/raw.bin'), office.drive_text('Documents/year report.txt')]",
    )
    assert read[0] == {
        "key": "FE-12",
        "title": "Broken button",
        "state": "In Progress",
        "priority": "high",
        "description": "It <b>fails</b> & burns",
        "assignees": ["alex_turner"],
        "labels": ["ui"],
        "due": None,
        "cycles": ["Sprint 1"],
        "comments": [{"author": "sarah_johnson", "text": "seen too"}],
    }
    assert read[1:] == [
        "New colours",
        ["FE-12"],
        ["Sprint 1", "Sprint 2"],
        ["Money/", "raw.bin", "year report.txt"],
        b"\xff\xf0\x00\x10",
        "",
        "profit 12\n",
    ]


def test_checkers_get_nothing_for_what_is_not_there(kit: Path, office: ServedOffice):
    read = checked(
        kit,
        office.urls,
        "[office.channel('nowhere'), office.channel('General'), office.chat_messages('nowhere'),"
        " office.direct_messages('nobody'), office.members('nowhere'), office.roles('nowhere'),"
        " office.issue('api-server', 99), office.issues('nowhere'), office.merge_request('nowhere', 1),"
        " office.issue('Api-Server', 12), office.repo_file('api-server', 'nowhere.txt'),"
        " office.repo_bytes('website', '../x'), office.branches('nowhere'), office.wiki('nowhere'),"
        " office.tracker_issue('FE-99'), office.tracker_issue('fe-12'), office.tracker_issue('?'),"
        " office.tracker_issues('frontend-development'), office.tracker_cycle('FE', 'sprint 1'),"
        " office.drive_names('nowhere'), office.drive_read('nowhere'), office.drive_read('Documents'),"
        " office.drive_text('../../x')]",
    )
    assert not any(read)
    assert read[0] is None and read[2] == [] and read[5] == {} and read[10] == ""


@pytest.mark.parametrize(
    "reader",
    ["chat_messages('general')", "issues('api-server')", "tracker_issue('FE-12')", "drive_read('x')"],
)
def test_an_unreachable_office_is_never_a_grade(kit: Path, reader: str):
    nowhere = dict.fromkeys(SERVICES, "http://127.0.0.1:1")
    kind, told = checked(kit, nowhere, f"common.grader(lambda: office.{reader})()")
    assert kind == "unreachable" and "127.0.0.1:1 can't be reached" in told


# MCP


def with_mcp(urls: dict[str, str], cwd: Path, use: Any, *options: str) -> Any:
    """Run `use(client)` with the official client, connected to our server over standard input and output."""

    async def connect() -> Any:
        addresses = {f"OFFICE_{name.upper()}_URL": url for name, url in urls.items()}
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "tac_rl.office", "mcp", *options], env=addresses, cwd=cwd
        )
        async with asyncio.timeout(60), Client(server) as client:
            return await use(client)

    return asyncio.run(connect())


def test_mcp_offers_the_verbs_and_does_them(office: ServedOffice, tmp_path: Path):
    async def use(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert len(tools) == sum(len(verbs_of(service).by_name) for service in SERVICES)
        assert tools["forge_issue"].input_schema["required"] == ["project", "n"]

        async def call(name: str, **arguments: Any) -> tuple[str, bool]:
            result = await client.call_tool(name, arguments)
            return result.content[0].text, bool(result.is_error)

        assert await call("chat_read", room="general", n=1) == ("mike_chen: the code is 4711", False)
        assert (await call("chat_dm", person="mike_chen", text="over\nMCP"))[1] is False
        assert "theagentcompany: over\nMCP" in (await call("chat_dm", person="mike_chen"))[0]
        assert await call("drive_cat", path="Documents/year report.txt") == ("profit 12\n", False)
        assert (await call("tracker_issue", key="FE-12"))[0].startswith("title: Broken button")
        text, failed = await call("drive_cat", path="Documents/raw.bin")
        assert failed and "4 bytes that aren't text" in text
        text, failed = await call("forge_issue", project="api-servr", n=12)
        assert failed and "nearest: api-server" in text
        for arguments, told in (
            ({"project": "api-server"}, "n is missing"),
            ({"project": "api-server", "n": "12"}, "n must be a number"),
            ({"project": "api-server", "n": 12, "x": 1}, "there is no parameter 'x'"),
            ({"project": ["a"], "n": 12}, "project must be a text"),
        ):
            text, failed = await call("forge_issue", **arguments)
            assert failed and told in text
        text, failed = await call("forge_nothing")
        assert failed and "there is no tool" in text
        await call("drive_get", path="Documents/raw.bin")

    with_mcp(office.urls, tmp_path, use)
    assert (tmp_path / "raw.bin").read_bytes() == b"\xff\xf0\x00\x10"


def test_mcp_offers_only_the_services_that_are_wanted(tmp_path: Path):
    async def use(client: Client) -> set[str]:
        return {tool.name.partition("_")[0] for tool in (await client.list_tools()).tools}

    assert with_mcp({}, tmp_path, use, "--services", "chat,drive") == {"chat", "drive"}


def test_mcp_refuses_a_service_that_is_not_known(tmp_path: Path):
    command = [sys.executable, "-m", "tac_rl.office", "mcp", "--services", "fax"]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=tmp_path, stdin=subprocess.DEVNULL
    )
    assert ran.returncode != 0 and "'fax' is not one of chat, forge, tracker, drive" in ran.stderr
