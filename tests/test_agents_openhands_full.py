"""OpenHands with its stock prompt and tools: a real worker, a real sandbox, the gateway; a scripted fake engine."""

import asyncio
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_helpers import ROOMY, chromiums
from gateway_fakes import ScriptedEngine, call_text, cut, opened, qwen_style_tokenizer, tiny_tokenizer
from office_helpers import ServedOffice, served_office
from openhands_helpers import Attempt, Workshop, openhands_python, workshop

from tac_rl.agents.base import AgentLimits, Ending
from tac_rl.agents.calls import NO_CALL
from tac_rl.agents.factory import equipment_of
from tac_rl.agents.openhands import browser as browsers
from tac_rl.config.agent import AgentSection, OpenHandsSection
from tac_rl.errors import AgentWorkerError
from tac_rl.gateway.session import Recording, Session
from tac_rl.office.base import PORTS, ServiceName
from tac_rl.office.doors import Applications
from tac_rl.sandboxes.base import Mount, Sandbox, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider

FINISH = call_text("finish", {"message": "done"})


def terminal(command: Any, **more: Any) -> str:
    return call_text("terminal", {"command": command, **more})


def editor(command: str, path: str, **more: Any) -> str:
    return call_text("file_editor", {"command": command, "path": path, **more})


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with workshop("full") as made:
        yield made


def assert_one_exact_row(done: Attempt) -> None:
    (row,) = done.recording.rows
    assert row.token_ids == done.engine.prompts[-1] + done.engine.completions[-1]
    trained = [token for token, sampled in zip(row.token_ids, row.sampled, strict=True) if sampled]
    assert trained == [token for completion in done.engine.completions for token in completion]


def test_the_model_sees_the_stock_prompt_and_no_path_of_the_host(shop: Workshop) -> None:
    done = shop.attempt(terminal("pwd"), FINISH, tokenizer=qwen_style_tokenizer())
    prompt = done.engine.tokenizer.decode(done.engine.prompts[-1])
    assert "OpenHands" in prompt
    assert all(f'"name": "{name}"' in prompt for name in ("terminal", "file_editor", "finish", "think"))
    assert "working directory is: /workspace" in prompt
    assert "tac-rl" not in prompt
    assert "conversation-" not in prompt


def test_the_terminal_is_the_sandboxs_persistent_shell(shop: Workshop) -> None:
    done = shop.attempt(
        terminal("cd /tmp; x=1; echo hi"),
        terminal("echo $x; false"),
        terminal('echo "before: $?"'),
        terminal("", is_input=True),
        terminal("", reset=True),
        terminal('echo "x is $x"', timeout=5),
        terminal("sleep 60", timeout=1),
        FINISH,
    )
    assert done.report.ending is Ending.FINISHED
    assert done.answers[0].startswith("hi\n[Current working directory: /tmp]")
    assert done.answers[0].endswith("[Command finished with exit code 0]")
    assert done.answers[1].startswith("1\n") and done.answers[1].endswith("exit code 1]")
    assert done.answers[2].startswith("before: 1\n")
    assert "No command is running" in done.answers[3]
    assert done.answers[5].startswith("x is \n")
    assert "time limit" in done.answers[6]
    assert [step.tool for step in done.steps] == ["terminal"] * 7 + ["finish"]
    assert done.steps[0].result is not None
    assert_one_exact_row(done)


def test_the_file_editor_edits_the_sandboxs_files_and_none_of_the_hosts(shop: Workshop) -> None:
    path = "/workspace/notes/häßlich.txt"
    done = shop.attempt(
        terminal("mkdir -p notes/.git; touch notes/.hidden; install -m 755 /dev/null run.sh"),
        editor("create", path, file_text="one\ntwo\n"),
        editor("create", path, file_text="again"),
        editor("str_replace", path, old_str="two", new_str="zwei"),
        editor("insert", path, insert_line=0, new_str="zero"),
        editor("view", path, view_range=[1, 2]),
        editor("undo_edit", path),
        terminal(f"cat {path}"),
        editor("view", "/workspace"),
        editor("view", "notes"),
        editor("view", "/nowhere"),
        editor("view", "/etc/../etc/shadow-of-nothing"),
        editor("create", "/no/such/folder/x", file_text="x"),
        editor("create", "/usr/x", file_text="x"),
        editor("insert", "/workspace/run.sh", insert_line=0, new_str="#!/bin/sh\necho it ran"),
        terminal("./run.sh"),
        editor("view", "/dev/null"),
        FINISH,
        limits=AgentLimits(max_turns=30),
    )
    answers = done.answers
    assert done.report.ending is Ending.FINISHED, done.report
    assert answers[1] == f"File created successfully at: {path}"
    assert "File already exists" in answers[2]
    assert "zwei" in answers[3] and answers[3].startswith(f"The file {path} has been edited.")
    assert "1\tzero" in answers[5] and "2\tone" in answers[5]
    assert "undone successfully" in answers[6]
    assert answers[7].startswith("one\nzwei\n")
    assert "/workspace/notes/häßlich.txt" in answers[8] and "hidden" not in answers[8].replace(
        "excluding hidden", ""
    )
    assert "should be an absolute path" in answers[9] and "/workspace/notes" in answers[9]
    assert "does not exist" in answers[10] and "does not exist" in answers[11]
    assert "Ran into" in answers[12] and "Ran into" in answers[13]
    assert answers[15].startswith("it ran\n")
    assert "neither a regular file nor a directory" in answers[16]
    assert not any("mirror" in answer for answer in answers)
    assert not Path("/workspace").exists() or not Path(path).exists()
    assert_one_exact_row(done)


AWKWARD: list[Any] = [
    terminal("echo one"),
    terminal("echo 'Grüße, 世界 🎉' > ü.txt", timeout=None),
    '<tool_call>{"name": "terminal",   "arguments": {"timeout": 5.0, '
    '"command": "printf \\"a\\\\n\\\\tb\\" # \\u00fc </tool_call>"}}</tool_call>',
    terminal('echo \'{"z": {"b": [1, 2.0, {"c": "<tool_call>"}], "a": "\\\\"}}\''),
    '<tool_call>\n{"name": "terminal", "arguments": {"command": "echo "hi""}}\n</tool_call>',
    f"<think>I should look first.\nYes.</think>\n\n{terminal('ls')}",
    '<tool_call>{"name": "terminal", "arguments": "{not json"}</tool_call>',
    terminal("echo fine"),
    call_text("browse", {"url": "http://x"}),
    call_text("terminal", [1, "list"]),
    f"Two at once: {terminal('echo a')}\n\n  and {terminal('echo b')}  ",
    '<tool_call>{"name":"terminal","arguments":{"command":"echo \\u00fc","command":"echo twice"}}</tool_call>',
    "<think>only\nthoughts</think>",
    call_text("think", {"thought": "  I    think   \n\n so  "}),
    f"{terminal('echo good')}{call_text('terminal', {'cmd': 'x'})}{terminal('echo better')}",
    terminal("true", security_risk="LOW", summary="nothing"),
    "<tool_call>",
    call_text("bash", {"command": "echo under another name"}),
    cut('Let me see <tool_call>\n{"name": "terminal", "argu'),
    '<tool_call>\n{"name": "terminal", "arguments": {"command": "echo a\nb"}}\n</tool_call>',
    terminal("x" * 3000),
]


def test_twenty_awkward_turns_make_one_exact_row(shop: Workshop) -> None:
    done = shop.attempt(*AWKWARD, FINISH, limits=AgentLimits(max_turns=30, max_malformed=30))
    assert done.report.ending is Ending.FINISHED
    assert done.report.turns == len(AWKWARD) + 1
    assert [call.continues for call in done.recording.calls] == [None, *range(len(AWKWARD))]
    assert_one_exact_row(done)


def test_endings_are_told_apart(shop: Workshop) -> None:
    def ending(*script: Any, **options: Any) -> tuple[Ending, str]:
        report = shop.attempt(*script, **options).report
        return report.ending, report.detail

    assert ending(FINISH) == (Ending.FINISHED, "")
    assert ending("I am done.") == (Ending.FINISHED, NO_CALL)
    assert ending(*[terminal("true")] * 3, limits=AgentLimits(max_turns=2))[0] is Ending.OUT_OF_TURNS
    assert ending(*["<tool_call>"] * 9)[0] is Ending.AGENT_FAILED
    assert ending(*["<tool_call>"] * 9)[1].startswith("3 malformed calls in a row")
    assert ending(*[""] * 9)[1] == "3 malformed calls in a row, the last: the reply is empty"
    stuck = ending(*[terminal("echo same")] * 12)
    assert stuck == (Ending.STUCK, "OpenHands saw it repeat itself")
    assert ending(*[terminal("seq 1 3000")] * 9, context_limit=40_000)[0] is Ending.OUT_OF_CONTEXT


TITLE = """
import sys, json
from openhands.sdk import Agent, Conversation, LLM, Tool
from openhands.tools.terminal import TerminalTool
from pydantic import SecretStr

url, key, folder = sys.argv[1:]
llm = LLM(model="openai/policy", base_url=url, api_key=SecretStr(key), num_retries=1, reasoning_effort=None)
conversation = Conversation(
    Agent(llm=llm, tools=[Tool(name="terminal", params={"terminal_type": "subprocess"})]), workspace=folder,
    visualizer=None,
)
conversation.send_message("Write a report about the orders.")
before = conversation.generate_title()
conversation.run()
print(json.dumps([before, conversation.generate_title(max_length=40)]))
conversation.close()
"""


def test_titles_reach_no_training_row_also_from_a_stock_openhands(tmp_path: Path) -> None:
    """A process that uses the SDK as anybody would, through litellm, with a title before and after the work."""
    python = openhands_python()
    thinking = "<think>Hm, a report.</think>\n"
    script = ["First title", thinking + terminal("echo hi"), FINISH, "Second title"]
    engine = ScriptedEngine(tiny_tokenizer(), script)

    async def run() -> tuple[Recording, str]:
        async with opened(engine) as (gateway, session):
            process = await asyncio.create_subprocess_exec(
                *(str(python), "-I", "-c", textwrap.dedent(TITLE)),
                *(session.endpoint.base_url, session.endpoint.api_key, str(tmp_path / "work")),
                stdout=asyncio.subprocess.PIPE,
                env={
                    "PATH": "/usr/bin:/bin",
                    "HOME": str(tmp_path),
                    "TMPDIR": str(tmp_path),
                    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                    "LOG_LEVEL": "ERROR",
                    "OPENHANDS_SUPPRESS_BANNER": "1",
                },
            )
            said, _ = await asyncio.wait_for(process.communicate(), 90)
            return await gateway.close(session), said.decode()

    recording, said = asyncio.run(run())
    assert json.loads(said.splitlines()[-1]) == ["First title", "Second title"]
    assert len(engine.prompts) == 4
    assert [call.row for call in recording.calls] == [None, 0, 0, None]
    (row,) = recording.rows
    assert row.token_ids == engine.prompts[2] + engine.completions[2]
    assert sum(row.sampled) == len(engine.completions[1]) + len(engine.completions[2])


# With a browser


BROWSER_TOOLS = (
    *(
        "navigate",
        "click",
        "get_state",
        "get_content",
        "type",
        "scroll",
        "go_back",
        "list_tabs",
        "switch_tab",
    ),
    *("close_tab", "get_storage", "set_storage", "start_recording", "stop_recording"),
)


def tool(name: str, **arguments: Any) -> str:
    return call_text(f"browser_{name}", arguments)


def in_the_office(shop: Workshop, office: ServedOffice, *script: Any, **options: Any) -> Attempt:
    """An attempt whose sandbox reaches the office at the addresses that TAC's tasks use."""
    doors = Applications(list(ServiceName)).open(office.tenant)

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, office.loop).result(30)

    async def open_doors(engine: ScriptedEngine, session: Session, sandbox: Sandbox) -> None:
        for service, port in PORTS.items():
            call(doors.serve(service, sandbox.listeners[port].dup()))

    try:
        return shop.attempt(*script, before=open_doors, ports=(*PORTS.values(), browsers.PORT), **options)
    finally:
        call(doors.close())


OVERLAY = {
    "chat": {"channels": [{"name": "dev", "topic": "Code", "members": ["alex_turner"]}]},
}


def test_openhands_works_in_the_office_with_a_browser(shop: Workshop, tmp_path: Path) -> None:
    chromiums()
    chat = "http://the-agent-company.com:3000"
    with served_office(tmp_path, OVERLAY, services=[ServiceName.CHAT]) as office:
        done = in_the_office(
            *(shop, office),
            tool("navigate", url=chat),
            tool("get_state"),
            tool("type", index=1, text="theagentcompany"),
            tool("type", index=2, text="theagentcompany"),
            tool("click", index=3),
            tool("navigate", url=f"{chat}/channel/dev"),
            tool("get_state", include_screenshot=True),
            tool("type", index=13, text="Hello from a browser"),
            tool("click", index=14),
            tool("get_content"),
            tool("click", index=4711),
            tool("start_recording"),
            FINISH,
            limits=AgentLimits(max_turns=20),
            sandbox_limits=ROOMY,
            tokenizer=qwen_style_tokenizer(),
        )
    assert done.report.ending is Ending.FINISHED, done.report
    prompt = done.engine.tokenizer.decode(done.engine.prompts[-1])
    assert all(f'"name": "browser_{name}"' in prompt for name in BROWSER_TOOLS)
    assert "<BROWSER_TOOLS>" in prompt
    assert done.answers[0] == f"Navigated to: {chat}"
    assert '"text": "Login"' in done.answers[1]
    assert done.answers[4] == "Clicked element 3"
    assert '"text": "Send"' in done.answers[6]
    assert "**The Agent**" in done.answers[9] and "Hello from a browser" in done.answers[9]
    assert done.answers[10] == "Element with index 4711 not found"
    assert "Unable to start recording" in done.answers[11]
    step = done.steps[0]
    assert (step.tool, json.loads(step.arguments)) == ("browser_navigate", {"url": chat, "new_tab": False})
    assert step.result is not None and step.result.output == done.answers[0] and step.result.exit_code == 0
    assert_one_exact_row(done)


# Connects to the browser's place again and again, and talks nonsense there.
IMPOSTOR = f"""
import socket, time
while True:
    try:
        s = socket.create_connection(("127.0.0.1", {browsers.PORT}))
        s.sendall(b"nonsense\\0" * 1000)
        time.sleep(0.005)
    except OSError:
        time.sleep(0.005)
"""


def test_an_impostor_of_the_browser_ends_nothing(shop: Workshop) -> None:
    chromiums()
    done = shop.attempt(
        terminal(f"cat > /tmp/i.py <<'E'{IMPOSTOR}E\npython3 /tmp/i.py >/dev/null 2>&1 &"),
        tool("navigate", url="about:blank"),
        terminal("pkill -f /tmp/i.py"),
        tool("navigate", url="about:blank"),
        FINISH,
        ports=(browsers.PORT,),
        sandbox_limits=ROOMY,
    )
    assert done.report.ending is Ending.FINISHED, done.report
    assert "Browser operation failed: it does not speak the protocol" in done.answers[1]
    assert done.answers[3] == "Navigated to: about:blank"


def test_without_a_chromium_there_are_no_browser_tools(shop: Workshop, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.touch(mode=0o644)
    tmp_path.chmod(0o755)
    mounts = tuple(Mount(str(nothing), path) for path in chromiums())
    done = shop.attempt(
        tool("navigate", url="about:blank"),
        FINISH,
        mounts=mounts,
        ports=(browsers.PORT,),
    )
    assert done.answers[0].endswith("Available: ['terminal', 'file_editor', 'finish', 'think']")
    assert done.report.ending is Ending.FINISHED

    async def demanded(**options: Any) -> str:
        provider = BubblewrapProvider()
        section = AgentSection(name="openhands", openhands=OpenHandsSection(profile="full", browser="on"))
        try:
            sandbox = await provider.start(SandboxSpec("test", **options).equipped(equipment_of(section)))
            with pytest.raises(AgentWorkerError) as error:
                await browsers.find(sandbox, section)
            return str(error.value)
        finally:
            await provider.close()

    assert "has no Chromium: install one of" in asyncio.run(demanded(read_only_mounts=mounts))
    assert "set sandbox.memory_mb to " in asyncio.run(demanded(limits=SandboxLimits(memory_mb=256)))
