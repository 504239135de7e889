"""The checkers' client and the MCP server against a served office."""

import argparse
import ast
import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from office_commands import EVIL, OVERLAY
from office_helpers import ServedOffice, served_office

from tac_rl.errors import ConfigError
from tac_rl.office.verbs import SERVICES, client_files, mcp_server
from tac_rl.office.verbs.chat import Chat
from tac_rl.office.verbs.forge import Forge
from tac_rl.office.verbs.main import verbs_of
from tac_rl.tasks import grading


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedOffice]:
    with served_office(tmp_path_factory.mktemp("office"), OVERLAY) as served:
        yield served


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


def test_checkers_read_who_was_written_to_and_who_is_where(kit: Path, office: ServedOffice):
    everywhere = checked(kit, office.urls, "office.all_members()")
    assert sorted(everywhere["board"]) == ["sarah_johnson", "theagentcompany"]
    assert set(everywhere["general"]) > {"alex_turner", "mike_chen"}
    # Mike has written to the agent, and has not been written to.
    assert checked(kit, office.urls, "office.written_to()") == []
    Chat(office.urls["chat"]).post("chat.postMessage", channel="@alex_turner", text="hello")
    assert checked(kit, office.urls, "office.written_to()") == ["alex_turner"]


def test_checkers_read_releases(kit: Path, office: ServedOffice):
    forge = Forge(office.urls["forge"])
    where = forge.of(forge.project("api-server"), "/releases")
    forge.send("POST", where, tag_name="v9", ref="main", name="Nine", description="- all new")
    wanted = [{"tag": "v9", "name": "Nine", "description": "- all new"}]
    assert checked(kit, office.urls, "office.releases('api-server')") == wanted
    assert checked(kit, office.urls, "office.releases('nowhere')") == []


def test_checkers_read_a_whole_conversation(kit: Path, office: ServedOffice):
    assert checked(kit, office.urls, "len(office.chat_messages('busy'))") == 130


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

    async def connect() -> None:
        addresses = {f"OFFICE_{name.upper()}_URL": url for name, url in office.urls.items()}
        command = ["-m", "tac_rl.office", "mcp"]
        server = StdioServerParameters(command=sys.executable, args=command, env=addresses, cwd=tmp_path)
        async with asyncio.timeout(60), Client(server) as client:
            await use(client)

    asyncio.run(connect())
    assert (tmp_path / "raw.bin").read_bytes() == b"\xff\xf0\x00\x10"


def test_mcp_offers_only_the_services_that_are_wanted():
    async def names() -> set[str]:
        async with asyncio.timeout(60), Client(mcp_server.make_server(["chat", "drive"])) as client:
            return {tool.name.partition("_")[0] for tool in (await client.list_tools()).tools}

    assert asyncio.run(names()) == {"chat", "drive"}


def test_mcp_refuses_a_service_that_is_not_known():
    with pytest.raises(ConfigError, match="'fax' is not one of chat, forge, tracker, drive"):
        mcp_server.run(argparse.Namespace(services="chat,fax"))
