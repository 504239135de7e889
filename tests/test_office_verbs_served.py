"""The commands of sandboxes against a served office."""

import os
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from office_commands import EVIL, OVERLAY, Commands, lay_out
from office_helpers import ServedOffice, served_office

from tac_rl.office.verbs.chat import Chat


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
    assert run.ok("chat people engineer") == ["alex_turner, Alex Turner, Engineer"]
    assert run.ok("chat who Alex Turner") == [
        "username: alex_turner",
        "name: Alex Turner",
        "about: Engineer",
        "Backend engineer",
        "email: alex.turner@agentcompany.com",
    ]
    assert "topic: Anything" in run.ok("chat about general")
    assert "sarah_johnson" in [line.split()[0] for line in run.ok("chat members board")]


def test_chat_reading_leaves_no_trace(office: ServedOffice, run: Commands):
    def state() -> Any:
        return office.tenant.rows("SELECT count(*) FROM chat_rooms")[0][0]

    before = office.call(state)
    assert run.ok("chat dm sarah_johnson") == ["no messages with sarah_johnson"]
    assert office.call(state) == before


def test_long_conversations_are_read_from_their_end(run: Commands):
    assert run.ok("chat read busy 2") == ["alex_turner: message 128", "alex_turner: message 129"]
    assert len(run.ok("chat read busy")) == 20


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
    assert run.ok("forge close-milestone website version 1") == ["closed Version 1"]
    assert run.ok("forge milestones website") == ["Version 1 closed"]
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
    run.ok("forge release api-server v1.0", "Version one", "- first\n- second")
    assert run.ok("forge releases api-server") == ["v1.0 Version one"]
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
