"""Initialising a TAC package: its scripts, in init.sh's order, with a company and TAC's layout; then grading there."""

import asyncio
import json

import pytest
from tac_helpers import attempt, package_folder, tar_of, tools, with_parts

from tac_rl.errors import GradingError, TaskError
from tac_rl.office.base import PORTS
from tac_rl.sandboxes.base import Sandbox
from tac_rl.tac.folder import read_folder
from tac_rl.tac.packages import TacPackage

LOG = 'echo {} >> /workspace/order.txt; test -z "$SERVER_HOSTNAME"'
POPULATE = """
from common import *
head = login()
chat("channels.create", {"name": "project-x"}, head)
chat("chat.postMessage", {"channel": "#project-x", "text": "the number is 42"}, head)
open("/workspace/order.txt", "a").write("populate\\n")
"""
EVALUATOR = """
from common import *
from scoring import *

@grader
def told():
    head = login()
    room = chat("channels.info?roomName=project-x", headers=head)["channel"]["_id"]
    messages = chat(f"channels.history?roomId={room}", headers=head)["messages"]
    return any(message["msg"] == "it is 42" for message in messages)

def grade_checkpoints(trajectory=""):
    return Result([Checkpoint(1, len(open("order.txt").readlines()) == 3), Checkpoint(1, told())])
"""
FILES = {
    "Dockerfile": "FROM x\nCOPY pre_init.sh post_init.sh /utils/\n"
    "COPY scenarios.json /npc\nCOPY start.txt /workspace\n",
    "dependencies__yml": "- rocketchat\n",
    "evaluator__py": EVALUATOR,
    "pre_init__sh": LOG.format("pre"),
    "pre_init__py": "",
    "populate_data__py": POPULATE,
    "post_init__sh": LOG.format("post"),
    "start__txt": "start\n",
    "scenarios__json": json.dumps({"Mike Chen": {"extra_info": "Your lucky number is 7."}}),
}


async def nothing(sandbox: Sandbox) -> None:
    """The agent that does nothing."""


def test_scripts_run_in_order_and_what_they_leave_is_the_agent_s(tmp_path):
    package = TacPackage(read_folder(package_folder(tmp_path, **FILES)), tools())
    post = (
        "import json, urllib.request as r\n"
        "def post(path, body, head={}):\n"
        "    head = {'Content-Type': 'application/json', **head}\n"
        "    url = 'http://the-agent-company.com:3000/api/v1/' + path\n"
        "    return json.load(r.urlopen(r.Request(url, json.dumps(body).encode(), head)))\n"
        "data = post('login', {'user': 'theagentcompany', 'password': 'theagentcompany'})['data']\n"
        "head = {'X-Auth-Token': data['authToken'], 'X-User-Id': data['userId']}\n"
        "post('chat.postMessage', {'channel': '#project-x', 'text': 'it is 42'}, head)\n"
    )

    async def agent(sandbox: Sandbox) -> None:
        seen = await sandbox.exec("cat order.txt start.txt; ls -a . /tmp; ls /utils /npc")
        assert seen.output.startswith("pre\npopulate\npost\nstart\n")
        assert seen.output.count("No such file or directory") == 2
        assert ".tar" not in seen.output
        await sandbox.put({"/tmp/post.py": post.encode()})
        assert (await sandbox.exec("python /tmp/post.py")).exit_code == 0

    async def work(provider, office):
        worked = await attempt(package, provider, office, agent)
        return worked, await attempt(package, provider, office, nothing)

    worked, idle = with_parts(work, office=True)
    assert worked.complete
    assert [c.result for c in idle.checkpoints] == [1, 0]  # Each attempt had a company of its own.


def test_colleagues_of_the_scenario_answer(tmp_path):
    package = TacPackage(read_folder(package_folder(tmp_path, **FILES)), tools())
    assert package.services == ("chat",)
    instance = package.instantiate(0)
    assert [list(overlay.colleagues) for overlay in instance.company.overlays] == [["mike_chen"]]
    assert package.instantiate(1).instruction == instance.instruction


def test_scripts_don_t_see_the_evaluator(tmp_path):
    spy = (
        "ls /utils; test ! -e /utils/evaluator.py && test -e /utils/common.py && test -e /instruction/task.md"
    )
    folder = package_folder(tmp_path, Dockerfile="FROM x\nCOPY pre_init.sh /utils/\n", pre_init__sh=spy)
    package = TacPackage(read_folder(folder), tools())

    async def work(provider, office):
        return await attempt(package, provider, office, nothing)

    assert with_parts(work).final_result == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [("raise SystemExit('no projects')", "no projects"), ("import time; time.sleep(600)", "ran out of time")],
)
def test_a_script_that_fails_is_told_with_what_it_said(tmp_path, script, said):
    package = TacPackage(read_folder(package_folder(tmp_path, populate_data__py=script)), tools(seconds=3.0))

    async def work(provider, office):
        return await attempt(package, provider, office, nothing)

    with pytest.raises(TaskError, match=f"populate_data.py(.|\n)*{said}"):
        with_parts(work)


class FakeLease:
    """A company whose services answer with an error, or not at all."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.servers: list[asyncio.Server] = []

    async def serve(self, listeners):
        assert set(listeners) == set(PORTS.values())
        for listener in listeners.values():
            self.servers.append(await asyncio.start_server(self._answer, sock=listener.dup()))

    async def _answer(self, reader, writer):
        await reader.readline()
        writer.write(self.answer)
        writer.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b""])
def test_a_service_that_is_down_is_no_zero(tmp_path, answer):
    folder = package_folder(tmp_path, dependencies__yml="- rocketchat\n")
    package = TacPackage(read_folder(folder), tools())

    async def work(provider, office):
        lease = FakeLease(answer)
        try:
            return await package.grade(package.instantiate(0), tar_of({}), "", provider, (None, lease))
        finally:
            for server in lease.servers:
                server.close()

    with pytest.raises(GradingError, match="the chat"):
        with_parts(work)
