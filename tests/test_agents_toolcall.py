"""The built-in agent in a real sandbox, against the real gateway, with a scripted fake engine's replies."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from gateway_fakes import ScriptedEngine, call_text, cut, opened, tiny_tokenizer
from sandbox_helpers import in_sandbox

from tac_rl.agents.base import AgentLimits, AgentReport, AgentStep, Ending, Endpoint, Workplace
from tac_rl.agents.calls import CUT, NOT_JSON
from tac_rl.agents.prompt import SYSTEM_PROMPT, TOOLS, observation
from tac_rl.agents.toolcall import ToolCallAgent
from tac_rl.errors import GatewayError, InfrastructureError, SandboxError
from tac_rl.gateway.session import Recording, Session
from tac_rl.sandboxes.base import ExecResult
from tac_rl.serving.base import Sampling

FINISH = call_text("finish", {})
BROKEN = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"\n</tool_call>'


def bash(command: Any) -> str:
    return call_text("bash", {"command": command})


@dataclass
class Attempt:
    """What came of one attempt."""

    report: AgentReport
    steps: list[AgentStep]
    recording: Recording
    answers: list[str]
    """What the agent said to each reply, as the gateway saw it."""
    engine: ScriptedEngine


def attempt(
    *script: Any,
    limits: AgentLimits | None = None,
    max_tokens: int = 500,
    before: Callable[[ScriptedEngine, Session, Any], Awaitable[None]] | None = None,
    watch: Callable[[AgentStep], None] | None = None,
    sandbox_limits: dict[str, Any] | None = None,
    **options: Any,
) -> Attempt:
    """Let the agent work with an engine that replies `script`, then says that it is done."""
    engine = ScriptedEngine(tiny_tokenizer(), script)
    steps: list[AgentStep] = []

    def note(step: AgentStep) -> None:
        steps.append(step)
        if watch is not None:
            watch(step)

    async def work(sandbox: Any) -> Attempt:
        async with opened(engine, sampling=Sampling(max_tokens=max_tokens), **options) as (gateway, session):
            if before is not None:
                await before(engine, session, sandbox)
            report = await ToolCallAgent().work(
                "Do it.", Workplace(sandbox), session.endpoint, limits or AgentLimits(), note
            )
            recording = await gateway.close(session)
        answers = ["\n".join(m["content"] for m in call.messages) for call in recording.calls[1:]]
        return Attempt(report, steps, recording, answers, engine)

    return in_sandbox(work, **(sandbox_limits or {}))


def test_it_works_until_it_calls_finish() -> None:
    done = attempt(
        bash("echo hi > a; cd /tmp"), "Now I look. " + bash("pwd; cat /workspace/a"), FINISH, "unused"
    )
    assert done.report == AgentReport(Ending.FINISHED, 3)
    assert done.answers == ["", "/tmp\nhi"]
    assert [(step.turn, step.text, step.tool, step.arguments) for step in done.steps] == [
        (1, "", "bash", "echo hi > a; cd /tmp"),
        (2, "Now I look.", "bash", "pwd; cat /workspace/a"),
        (3, "", "finish", ""),
    ]
    (row,) = done.recording.rows
    assert row.token_ids == done.engine.prompts[-1] + done.engine.completions[-1]


def test_the_model_sees_the_system_sentence_the_tools_and_the_instruction() -> None:
    done = attempt(FINISH)
    first = done.recording.calls[0].messages
    assert [(m["role"], m["content"]) for m in first] == [("system", SYSTEM_PROMPT), ("user", "Do it.")]
    prompt = done.engine.tokenizer.decode(done.engine.prompts[0])
    assert all(tool["function"]["name"] in prompt for tool in TOOLS)


def test_plain_text_ends_the_work() -> None:
    done = attempt("I am done, I think.")
    assert (done.report.ending, done.report.turns) == (Ending.FINISHED, 1)
    assert done.steps == [AgentStep(1, "I am done, I think.", "", "", None)]


def test_several_calls_in_one_reply_run_in_order() -> None:
    done = attempt(
        f"{bash('echo 1 > n')}{bash('echo 2 >> n; cat n')}", f"{bash('echo 3 >> n')}{FINISH}{bash('rm n')}"
    )
    assert done.report == AgentReport(Ending.FINISHED, 2)
    assert done.answers == ["\n1\n2"]
    assert [step.arguments for step in done.steps] == ["echo 1 > n", "echo 2 >> n; cat n", "echo 3 >> n", ""]
    assert done.steps[1].result is not None
    assert done.steps[1].result.output == "1\n2\n"


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (BROKEN, NOT_JSON),
        ("<tool_call>", NOT_JSON),
        (call_text("browse", {"url": "x"}), "error: there is no tool 'browse'; use bash or finish"),
        (call_text("bash", {}), "error: bash needs the argument command"),
        (call_text("bash", {"cmd": "ls"}), "error: bash needs the argument command"),
        (bash(["ls", "-l"]), "error: command must be a string"),
        (bash(None), "error: command must be a string"),
        (call_text("bash", "ls"), NOT_JSON),
        (call_text("bash", ["ls"]), "error: arguments must be an object"),
        (call_text("finish", [1]), "error: arguments must be an object"),
        (bash("a\0b"), "error: command must be plain text"),
        (
            '<tool_call>{"name": "bash", "arguments": {"command": "\\ud800"}}</tool_call>',
            "error: command must be plain text",
        ),
        (cut("I will now think about " * 3), CUT),
        (cut(bash("ls") + "and"), CUT),
        (cut('<tool_call>\n{"name": "bash", "argu'), CUT),
    ],
)
def test_a_malformed_call_is_answered_with_what_was_wrong(reply: Any, answer: str) -> None:
    done = attempt(reply, bash("echo ok"), FINISH)
    assert done.report == AgentReport(Ending.FINISHED, 3)
    assert done.answers == [answer, "ok"]
    assert done.steps[0].error == answer
    assert done.steps[0].result is None
    assert len(done.recording.rows) == 1


def test_a_broken_call_beside_a_good_one_is_told_and_the_good_one_runs() -> None:
    done = attempt(f"{bash('echo ran')}\n{BROKEN}", FINISH)
    assert done.answers == [f"ran\n{NOT_JSON}"]


def test_too_many_malformed_calls_in_a_row_fail_the_agent() -> None:
    done = attempt(BROKEN, call_text("browse", {}), bash("true"), BROKEN, cut("on and on"), BROKEN, FINISH)
    assert done.report.ending is Ending.AGENT_FAILED
    assert done.report.turns == 6
    assert "3 malformed calls in a row" in done.report.detail


def test_a_model_that_never_ends_its_reply_fails_and_its_tokens_are_one_row() -> None:
    done = attempt(*["again and " * 100] * 5, max_tokens=20)
    assert done.report.ending is Ending.AGENT_FAILED
    assert done.report.turns == 3
    (row,) = done.recording.rows
    assert sum(row.sampled) == 60
    assert row.token_ids == done.engine.prompts[-1] + done.engine.completions[-1]


def test_turns_run_out() -> None:
    done = attempt(*[bash("true")] * 9, limits=AgentLimits(max_turns=4))
    assert (done.report.ending, done.report.turns) == (Ending.OUT_OF_TURNS, 4)


def test_context_runs_out() -> None:
    done = attempt(*[bash("seq 1 200")] * 50, context_limit=900, limits=AgentLimits(max_turns=50))
    assert done.report.ending is Ending.OUT_OF_CONTEXT
    assert done.recording.infrastructure_error is None
    assert done.recording.rows


def test_time_runs_out_during_a_command_and_the_command_is_cut_short() -> None:
    done = attempt(bash("echo begun; sleep 60"), FINISH, limits=AgentLimits(seconds=3.0))
    assert (done.report.ending, done.report.turns) == (Ending.TIMED_OUT, 1)
    assert done.steps[0].result is not None
    assert done.steps[0].result.timed_out


def test_time_runs_out_during_a_model_call() -> None:
    async def before(engine: ScriptedEngine, session: Session, sandbox: Any) -> None:
        engine.gate = asyncio.Event()

    done = attempt("never", limits=AgentLimits(seconds=0.3), before=before)
    assert (done.report.ending, done.report.turns) == (Ending.TIMED_OUT, 0)
    assert done.recording.infrastructure_error is None


def test_what_is_out_of_the_ordinary_about_a_command_is_told() -> None:
    done = attempt(
        bash("echo no; exit 3"),
        bash("false"),
        bash("sleep 9"),
        bash("seq 1 100000"),
        FINISH,
        sandbox_limits={"exec_seconds": 2.0, "output_bytes": 300},
    )
    assert done.answers[0].startswith("no")
    assert "[" in done.answers[0]
    assert done.answers[1] == "[exit 1]"
    assert "time limit" in done.answers[2]
    assert done.answers[3].startswith("1\n2\n") and done.answers[3].endswith("100000")
    assert len(done.answers[3]) < 600


def test_an_observation_is_the_output_without_its_last_line_end() -> None:
    def result(output: str, exit_code: int | None = 0, timed_out: bool = False) -> ExecResult:
        return ExecResult(output, exit_code, truncated=False, timed_out=timed_out, seconds=0.0)

    assert observation(result("a\nb\n")) == "a\nb"
    assert observation(result("")) == ""
    assert observation(result("a\n", 2)) == "a\n[exit 2]"
    assert observation(result("", 1)) == "[exit 1]"
    assert observation(result("part\n[the time limit]\n", None, timed_out=True)) == "part\n[the time limit]"


def test_an_engine_failure_is_an_infrastructure_failure() -> None:
    with pytest.raises(InfrastructureError, match=r"503.*out of memory"):
        attempt(bash("true"), RuntimeError("out of memory"))


def test_an_endpoint_closed_under_the_agent_is_an_infrastructure_failure() -> None:
    async def before(engine: ScriptedEngine, session: Session, sandbox: Any) -> None:
        await session.close()

    with pytest.raises(GatewayError, match="410"):
        attempt(before=before)


def test_a_sandbox_that_dies_is_an_infrastructure_failure() -> None:
    async def before(engine: ScriptedEngine, session: Session, sandbox: Any) -> None:
        await sandbox.stop()

    with pytest.raises(SandboxError):
        attempt(bash("true"), before=before)


@pytest.mark.parametrize(
    ("status", "text", "hint"),
    [
        (200, "not json", "JSONDecodeError"),
        (200, "{}", "chat completion"),
        (500, "[]", "500"),
        (404, "{}", "404"),
    ],
)
def test_a_foreign_endpoint_that_answers_nonsense_is_an_infrastructure_failure(
    status: int, text: str, hint: str
) -> None:
    async def work(sandbox: Any) -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=status, text=text)

        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = Endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", "key", "m")
        try:
            with pytest.raises(GatewayError, match=hint):
                await ToolCallAgent().work(
                    "x", Workplace(sandbox), endpoint, AgentLimits(), lambda step: None
                )
        finally:
            await runner.cleanup()
        with pytest.raises(GatewayError, match="Connect"):  # nobody listens there any more
            await ToolCallAgent().work("x", Workplace(sandbox), endpoint, AgentLimits(), lambda step: None)

    in_sandbox(work)


def test_it_refuses_to_work_without_an_endpoint() -> None:
    async def work(sandbox: Any) -> None:
        await ToolCallAgent().work("x", Workplace(sandbox), None, AgentLimits(), lambda step: None)

    with pytest.raises(GatewayError, match="endpoint"):
        in_sandbox(work)
