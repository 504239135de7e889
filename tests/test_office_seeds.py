"""The default company is one story: what one service says, the others agree with."""

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

import docx
import openpyxl
import pytest
from odf import teletype
from odf.opendocument import load as load_odt

from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import MessageOverlay, Overlay
from tac_rl.office.seeds import SNAPSHOTS
from tac_rl.office.seeds.company import company
from tac_rl.office.seeds.documents_people import days_of
from tac_rl.office.seeds.people import BY_NAME, COLLEAGUES
from tac_rl.office.seeds.stories import Edit, read_story
from tac_rl.office.seeds.world import make_world
from tac_rl.office.services import make_empty
from tac_rl.office.tenant import Tenant

USERNAMES = set(BY_NAME)
PRESENT = datetime(2026, 3, 2, 9, tzinfo=UTC)


@cache
def office() -> Overlay:
    return company(1)


def messages() -> Iterator[tuple[str, tuple[str, ...], MessageOverlay]]:
    """(room, its members, message), replies included."""
    for channel in office().chat.channels:
        assert channel.members != "everyone"
        for message in channel.messages:
            for each in (message, *message.replies):
                yield channel.name, channel.members, each
    for direct in office().chat.direct:
        for message in direct.messages:
            for each in (message, *message.replies):
                yield "/".join(direct.between), direct.between, each


def document(path: str) -> bytes:
    content = office().drive.files[f"Documents/{path}"]
    return (
        base64.b64decode(content.removeprefix("base64:"))
        if content.startswith("base64:")
        else content.encode()
    )


def sheet(path: str, name: str) -> list[list[object]]:
    book = openpyxl.load_workbook(io.BytesIO(document(path)))
    return [[cell.value for cell in row] for row in book[name].iter_rows()]


# Size and determinism


def test_the_company_has_what_was_promised():
    overlay = office()
    assert len(overlay.people) == 18
    assert sum(1 for _ in messages()) > 3000
    assert len(overlay.forge.projects) == 10
    assert all(20 <= len(project.commits) <= 60 for project in overlay.forge.projects)
    assert sum(len(project.issues) for project in overlay.forge.projects) >= 300
    assert 4 <= len(overlay.tracker.projects) <= 6
    assert sum(len(project.issues) for project in overlay.tracker.projects) >= 150
    assert len(overlay.drive.files) >= 60
    assert {path.rpartition(".")[2] for path in overlay.drive.files} >= {
        "xlsx",
        "docx",
        "pdf",
        "csv",
        "odt",
        "md",
        "txt",
    }


def test_the_same_seed_gives_the_same_bytes_in_every_process():
    code = (
        "import hashlib; from tac_rl.office.seeds.company import company;"
        "print(hashlib.sha256(company(1).model_dump_json(by_alias=True).encode()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    here = hashlib.sha256(office().model_dump_json(by_alias=True).encode()).hexdigest()
    assert done.stdout.strip() == here, done.stderr


def test_another_seed_gives_another_company():
    assert company(2) != office()


def test_snapshots_are_made_when_asked_for():
    bare = SNAPSHOTS["bare"]()
    assert len(bare.people) == 18
    assert bare.chat.channels[0].name == "general"
    assert SNAPSHOTS["company"]() == office()


def test_importing_the_names_imports_no_generator():
    code = "import sys, tac_rl.office.seeds; print(any('seeds.' in name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


def test_it_can_be_laid_and_is_small(tmp_path):
    digests = []
    for name in ("one", "two"):
        make_empty(tmp_path / name)
        tenant = Tenant(name, tmp_path / name, seed=1)
        lay_over(tenant, office())
        tenant.db.execute("VACUUM")
        tenant.close()
        assert (tmp_path / name / "office.db").stat().st_size < 6_000_000
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        digests.append(
            [(str(p.relative_to(tmp_path / name)), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]
        )
    assert digests[0] == digests[1]


# People


def test_everybody_who_is_named_exists():
    overlay = office()
    for room, members, message in messages():
        assert message.author in members, (room, message)
        mentioned = re.findall(r"@(\w+)", message.text)
        assert set(mentioned) <= USERNAMES, (room, message)
        for people in message.reactions.values():
            assert set(people) <= set(members), (room, message)
    for project in overlay.forge.projects:
        for item in (*project.issues, *project.merge_requests):
            notes = {note.author for note in item.notes}
            assert {item.author, *item.assignees, *notes} <= USERNAMES
    for tracked in overlay.tracker.projects:
        for issue in tracked.issues:
            assert {
                issue.author,
                *issue.assignees,
                *(comment.author for comment in issue.comments),
            } <= USERNAMES


def test_the_employee_list_agrees_with_the_accounts():
    rows = sheet("People/Employees.xlsx", "Employees")[1:]
    listed = {(row[0], row[1], row[2], row[3]) for row in rows}
    accounts = {
        (p.name, p.username, p.email, p.title) for p in office().people if p.username != "theagentcompany"
    }
    assert listed == accounts
    managers = {p.name for p in office().people} | {"The board"}
    assert {row[6] for row in rows} <= managers


def test_nobody_writes_while_on_leave():
    world = make_world(1)
    for room, _, message in messages():
        assert message.at is not None
        assert not world.away(message.author, message.at.date()), (room, message)


def test_leave_is_counted_in_working_days():
    world = make_world(1)
    taken = {row[0]: row[3] for row in sheet("People/Leave/Balance 2026.xlsx", "Balance")[1:]}
    for person in COLLEAGUES:
        assert taken[person.name] == sum(
            days_of(leave) for leave in world.leaves if leave.person == person.username
        )


# Work


def test_every_issue_that_is_mentioned_exists_and_was_opened_before():
    projects = {project.path.removeprefix("root/"): project for project in office().forge.projects}
    issues = {f"{path}#{issue.iid}": issue for path, p in projects.items() for issue in p.issues}
    requests = {f"{path}!{each.iid}": each for path, p in projects.items() for each in p.merge_requests}
    tracked = {f"{p.identifier}-{issue.number}" for p in office().tracker.projects for issue in p.issues}
    seen = 0
    for room, _, message in messages():
        for ref in re.findall(r"\b[a-z]+#\d+", message.text):
            assert issues[ref].at <= message.at, (room, message)
            seen += 1
        for ref in re.findall(r"\b[a-z]+!\d+", message.text):
            assert requests[ref].at <= message.at, (room, message)
        for ref in re.findall(r"\b(?:TIDE|SEEK|TREL|SHOP|EMBR|OPS)-\d+", message.text):
            assert ref in tracked, (room, message)
    assert seen > 500
    for project in office().tracker.projects:
        for issue in project.issues:
            for ref in re.findall(r"Forge: (\S+)", issue.description):
                assert issues[ref].title == issue.title
                assert (issues[ref].state == "closed") == (issue.state == "Done")


def test_what_commits_close_is_closed():
    for project in office().forge.projects:
        state = {issue.iid: issue.state for issue in project.issues}
        for commit in project.commits:
            for number in re.findall(r"Closes #(\d+)", commit.message):
                assert state[int(number)] == "closed", (project.path, commit.message)


def test_nothing_happens_after_the_present():
    times = [message.at for _, _, message in messages()]
    for project in office().forge.projects:
        times += [commit.at for commit in project.commits]
        for item in (*project.issues, *project.merge_requests):
            times += [item.at, *(note.at for note in item.notes)]
    for tracked in office().tracker.projects:
        times += [when for issue in tracked.issues for when in (issue.at, *(c.at for c in issue.comments))]
    assert all(when is not None and when < PRESENT for when in times)


def test_an_incident_is_told_everywhere():
    world = make_world(1)
    for incident in world.incidents:
        work = world.by_key[incident.product, incident.key]
        room = next(c for c in office().chat.channels if c.name == "incidents")
        assert any(work.ref in message.text for message in room.messages)
        project = next(p for p in office().forge.projects if p.path == f"root/{work.product.path}")
        issue = next(issue for issue in project.issues if issue.iid == work.number)
        assert "incident" in issue.labels
        assert issue.state == "closed"
        assert any(f"Closes #{work.number}" in commit.message for commit in project.commits)
        path = f"Engineering/Incidents/{incident.at:%Y-%m-%d} {incident.product}.docx"
        report = docx.Document(io.BytesIO(document(path)))
        cells = {row.cells[0].text: row.cells[1].text for row in report.tables[0].rows}
        assert (cells["Issue"], cells["Affected"]) == (work.ref, incident.customer)


def test_decisions_of_the_notes_are_on_the_roadmap():
    decided = {row[2] for row in sheet("Engineering/Roadmap 2026.xlsx", "Decisions")[1:]}
    notes = [
        text
        for path, text in office().drive.files.items()
        if path.startswith("Documents/Meetings/") and path.endswith(".md")
    ]
    named = {line[2:].rpartition(" (")[0] for text in notes for line in text.splitlines() if " (Q" in line}
    assert len(named) >= 8
    assert named <= decided


def test_tags_and_the_changelog_agree():
    for project in office().forge.projects:
        changelog = [c.files["CHANGELOG.md"] for c in project.commits if "CHANGELOG.md" in c.files][-1]
        tags = [commit.tag.removeprefix("v") for commit in project.commits if commit.tag]
        assert re.findall(r"^## (\S+)", changelog, re.MULTILINE) == tags[::-1]


# Money and documents


def test_budget_totals_add_up():
    book = openpyxl.load_workbook(io.BytesIO(document("Finance/Budgets/Budget 2026.xlsx")))
    totals = {}
    for sheet_ in book.worksheets:
        rows = [[cell.value for cell in row] for row in sheet_.iter_rows(min_row=2)]
        *parts, total = rows
        assert total[1:] == [sum(column) for column in list(zip(*parts, strict=True))[1:]]
        assert all(row[5] == sum(row[1:5]) for row in rows)
        totals[sheet_.title] = total[1:]
    company_total = totals.pop("Total")
    assert company_total == [sum(column) for column in zip(*totals.values(), strict=True)]


def test_invoices_agree_with_their_overview_and_the_budget():
    rows = list(csv.DictReader(io.StringIO(document("Finance/Invoices/Overview.csv").decode())))
    folder = "Documents/Finance/Invoices/"
    files = {
        path.rpartition("/")[2].removesuffix(".pdf")
        for path in office().drive.files
        if path.startswith(folder)
    }
    assert {row["Number"] for row in rows} == files - {"Overview.csv"}
    assert all(int(row["Net"]) + int(row["VAT"]) == int(row["Gross"]) for row in rows)
    spent = sum(
        int(row["Net"]) for row in rows if row["Vendor"] == "Skarv Hosting" and row["Month"] >= "2026-01"
    )
    engineering = sheet("Finance/Budgets/Budget 2026.xlsx", "Engineering")
    assert next(row[6] for row in engineering if row[0] == "Skarv Hosting") == spent


def test_expense_sheets_have_the_right_total():
    for month in ("2026-01", "2026-02"):
        *rows, total = sheet(f"Finance/Expenses/Expenses {month}.xlsx", month)[1:]
        assert total[4] == pytest.approx(sum(row[4] for row in rows))


@pytest.mark.parametrize("ending", ["xlsx", "docx", "pdf", "odt", "csv"])
def test_documents_open_with_their_libraries(ending):
    paths = [path for path in office().drive.files if path.endswith(f".{ending}")]
    assert len(paths) >= 4
    for path in paths:
        content = document(path.removeprefix("Documents/"))
        if ending == "xlsx":
            assert all(s.max_column > 1 for s in openpyxl.load_workbook(io.BytesIO(content)).worksheets)
        elif ending == "docx":
            assert len(docx.Document(io.BytesIO(content)).paragraphs) > 1
        elif ending == "odt":
            assert len(teletype.extractText(load_odt(io.BytesIO(content)).text)) > 100
        elif ending == "csv":
            rows = list(csv.reader(io.StringIO(content.decode())))
            assert len({len(row) for row in rows}) == 1
        else:
            assert content.startswith(b"%PDF-") and b"%%EOF" in content[-16:]


# Code


def files_of(path: str) -> dict[str, str]:
    """The default branch's files at the end."""
    project = next(p for p in office().forge.projects if p.path == path)
    branches: dict[str, dict[str, str]] = {}
    files: dict[str, str] = {}
    for commit in project.commits:
        if commit.branch:
            branches[commit.branch] = dict(commit.files)
        elif commit.merges:
            files |= branches[commit.merges]
        else:
            files |= commit.files
    return files


@pytest.mark.parametrize(
    "name", ["tidewater", "lattice", "quill", "heron", "gatehouse", "ember", "checkup", "handbook"]
)
def test_python_projects_pass_their_own_tests(name, tmp_path):
    for path, text in files_of(f"root/{name}").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
        "--rootdir",
        str(tmp_path),
    ]
    environment = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["trellis", "storefront"])
@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_javascript_projects_pass_their_own_tests(name, tmp_path):
    for path, text in files_of(f"root/{name}").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    done = subprocess.run(["node", "--test"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_a_story_whose_change_fits_nowhere_is_refused():
    with pytest.raises(ValueError, match="0 places"):
        Edit("a.py", replaced=(("old", "new"),)).apply("something else")
    assert len(read_story("tidewater")) > 8
