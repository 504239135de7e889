"""A foreign harness, the OpenAI Agents SDK, in real sandboxes and against the real gateway; the engine is scripted."""

import asyncio
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway_fakes import ScriptedEngine, call_text, cut, opened, tiny_tokenizer
from sandbox_helpers import in_sandbox

from tac_rl.agents.base import AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.agents.calls import CUT, NOT_JSON
from tac_rl.agents.factory import make_agent
from tac_rl.agents.scripted import OracleAgent
from tac_rl.agents.toolcall import ToolCallAgent
from tac_rl.assembly import DEFAULT_CONTEXT
from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError, GatewayError, InfrastructureError, SandboxError
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.gateway.session import Recording
from tac_rl.rollouts.attempts import Attempts
from tac_rl.rollouts.outcomes import Outcome
from tac_rl.rollouts.rollout import RolloutResult, Workshop, run_rollout
from tac_rl.sandboxes.base import SandboxLimits
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.serving.base import Sampling
from tac_rl.tasks.demonstrations import oracle_of
from tac_rl.tasks.packages import load_package

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("agents") is None, reason="openai-agents is not installed (./setup.sh --dev)"
)
ROOT = Path(__file__).parents[1]
FINISH = call_text("finish", {})
BROKEN = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"\n</tool_call>'


def bash(command: Any) -> str:
    return call_text("bash", {"command": command})


class Attempt:
    """What came of one attempt."""

    def __init__(
        self, report: AgentReport, steps: list[AgentStep], recording: Recording, engine: ScriptedEngine
    ) -> None:
        self.report, self.steps, self.recording, self.engine = report, steps, recording, engine
        self.answers = ["\n".join(m["content"] for m in call.messages) for call in recording.calls[1:]]


def attempt(
    *script: Any,
    limits: AgentLimits | None = None,
    max_tokens: int = 500,
    gate: bool = False,
    kill_sandbox: bool = False,
    agent: Any = None,
    **options: Any,
) -> Attempt:
    """Let the agent work with an engine that replies `script`, then says that it is done."""
    engine = ScriptedEngine(tiny_tokenizer(), script)
    steps: list[AgentStep] = []

    async def work(sandbox: Any) -> Attempt:
        engine.gate = asyncio.Event() if gate else None
        async with opened(engine, sampling=Sampling(max_tokens=max_tokens), **options) as (gateway, session):
            if kill_sandbox:
                await sandbox.stop()
            report = await (agent or make_agent("openai-agents")).work(
                "Do it.", Workplace(sandbox), session.endpoint, limits or AgentLimits(), steps.append
            )
            return Attempt(report, steps, await gateway.close(session), engine)

    return in_sandbox(work)


AWKWARD = [
    bash("echo 'Grüße, 世界 🎉' > ü.txt; cat ü.txt"),
    call_text("bash", {"z": {"b": [1, 2.0, {"c": "</tool_call>"}], "a": '\n\t"\\'}, "command": "echo x"}),
    '<tool_call>\n{"name": "bash", "arguments": {"command": "echo "hi""}}\n</tool_call>',
    f"<think>I should look first.\nYes.</think>\n\n{bash('ls')}",
    '<tool_call>{"name": "bash", "arguments": "{not json"}</tool_call>',
    '<tool_call>{"name":"bash","arguments":{"command":"echo \\u00fc","command":"echo twice"}}</tool_call>',
    f"Two at once: {bash('echo a > order; sleep 0.3; echo b >> order')}\n\n  and {bash('cat order')}",
    cut('Let me see <tool_call>\n{"name": "bash", "argu'),
    '<tool_call>{"name": "bash", "arguments": {"n": 1.0, "m": 1e400, "k": -0.0, "command": "true"}}</tool_call>',
    f"   {bash('true')} odd   spaces  ",
    call_text("browse", {"url": "x"}),
    bash("x" * 300),
    call_text("finish", [1]),
    f"{bash('echo ran')}\n{BROKEN}",
    FINISH,
]


def test_awkward_turns_make_one_row_equal_token_for_token_to_what_the_engine_generated() -> None:
    done = attempt(*AWKWARD, limits=AgentLimits(max_turns=30))
    assert done.report == AgentReport(Ending.FINISHED, len(AWKWARD))
    (row,) = done.recording.rows
    assert row.token_ids == done.engine.prompts[-1] + done.engine.completions[-1]
    sampled = [token for token, was in zip(row.token_ids, row.sampled, strict=True) if was]
    assert sampled == [token for completion in done.engine.completions for token in completion]
    assert [call.continues for call in done.recording.calls] == [None, *range(len(AWKWARD) - 1)]
    # Every call and every answer reached the right side: the shell ours, and one call after the other.
    assert done.answers[0] == "Grüße, 世界 🎉"
    assert done.answers[2] == NOT_JSON
    assert done.answers[5] == "twice"
    assert done.answers[6] == "\na\nb"
    assert done.answers[7] == CUT
    assert done.answers[10] == "error: there is no tool 'browse'; use bash or finish"


def test_the_model_reads_what_it_reads_from_the_built_in_agent() -> None:
    script = [bash("echo hi"), bash("exit 3"), call_text("bash", {}), FINISH]
    ours, theirs = attempt(*script, agent=ToolCallAgent()), attempt(*script)
    assert theirs.report == ours.report
    assert theirs.engine.prompts == ours.engine.prompts
    assert [replace(step, result=None) for step in theirs.steps] == [
        replace(step, result=None) for step in ours.steps
    ]


def test_plain_text_ends_the_work() -> None:
    done = attempt(bash("true"), "All done.")
    assert (done.report.ending, done.report.turns) == (Ending.FINISHED, 2)
    assert done.steps[-1].text == "All done."


@pytest.mark.parametrize(
    "script",
    [
        [BROKEN, call_text("browse", {}), bash("true"), BROKEN, cut("on and on"), BROKEN, FINISH],
        [call_text("browse", {})] * 4,
        [bash(None)] * 4,
    ],
    ids=["mixed", "unknown tools", "arguments"],
)
def test_too_many_malformed_calls_in_a_row_fail_the_agent(script: list[Any]) -> None:
    done = attempt(*script)
    assert done.report.ending is Ending.AGENT_FAILED
    assert "3 malformed calls in a row" in done.report.detail
    assert len(done.recording.rows) == 1


def test_turns_run_out_also_over_several_runs_of_the_sdk() -> None:
    done = attempt(bash("true"), BROKEN, *[bash("true")] * 9, limits=AgentLimits(max_turns=4))
    assert (done.report.ending, done.report.turns) == (Ending.OUT_OF_TURNS, 4)
    assert len(done.engine.prompts) == 4


def test_context_runs_out() -> None:
    done = attempt(*[bash("seq 1 200")] * 50, context_limit=900, limits=AgentLimits(max_turns=50))
    assert done.report.ending is Ending.OUT_OF_CONTEXT
    assert done.recording.infrastructure_error is None and done.recording.rows


def test_time_runs_out_during_a_command_whose_output_is_told() -> None:
    done = attempt(bash("echo begun; sleep 60"), FINISH, limits=AgentLimits(seconds=4.0))
    assert (done.report.ending, done.report.turns) == (Ending.TIMED_OUT, 1)
    result = done.steps[0].result
    assert result is not None and result.timed_out and result.output.startswith("begun")


def test_time_runs_out_during_a_model_call() -> None:
    done = attempt("never", limits=AgentLimits(seconds=1.0), gate=True)
    assert (done.report.ending, done.report.turns) == (Ending.TIMED_OUT, 0)
    assert done.recording.infrastructure_error is None


def test_failures_of_ours_are_raised() -> None:
    with pytest.raises(GatewayError, match=r"503.*out of memory"):
        attempt(bash("true"), RuntimeError("out of memory"))
    with pytest.raises(SandboxError):
        attempt(bash("true"), kill_sandbox=True)

    async def nobody_listens(sandbox: Any) -> None:
        async with opened(ScriptedEngine(tiny_tokenizer())) as (_, session):
            endpoint = replace(session.endpoint, base_url="http://127.0.0.1:9/v1")
        await make_agent("openai-agents").work(
            "x", Workplace(sandbox), endpoint, AgentLimits(), lambda step: None
        )

    with pytest.raises(InfrastructureError, match="APIConnectionError"):
        in_sandbox(nobody_listens)


def test_no_trace_is_made() -> None:
    import agents

    class Noting(agents.TracingProcessor):
        """Fake exporter: notes that there was something to export."""

        seen: list[Any] = []  # noqa: RUF012

        def on_trace_start(self, trace: Any) -> None:
            self.seen.append(trace)

        on_trace_end = on_span_start = on_span_end = on_trace_start

        def shutdown(self) -> None: ...

        def force_flush(self) -> None: ...

    agents.set_trace_processors([Noting()])
    attempt(bash("true"), FINISH)
    assert Noting.seen == []


def test_it_attempts_a_shipped_task_and_is_graded() -> None:
    package = load_package(ROOT / "tasks" / "finance-column-total")

    async def run() -> tuple[RolloutResult, RolloutResult]:
        provider = BubblewrapProvider()
        engine = ScriptedEngine(tiny_tokenizer())
        gateway = Gateway(engine, Renderer(engine.tokenizer))
        workshop = Workshop(
            sandboxes=provider,
            sandbox_limits=SandboxLimits(),
            agent_for=lambda package: OracleAgent(oracle_of(package)),
            gateway=gateway,
            context_limit=DEFAULT_CONTEXT,
        )
        await gateway.start()
        try:
            plan = Attempts(RunConfig(), [package], [], workshop).plan(package, 5, version=0, temperature=1.0)
            plan = replace(plan, sampling=Sampling(max_tokens=500))
            shown = await run_rollout(plan, workshop)
            # The policy says what the package's own demonstrator did, for the same seed.
            engine.script = [*(bash(step.arguments) for step in shown.steps), FINISH]
            workshop = replace(workshop, agent_for=lambda package: make_agent("openai-agents"))
            return shown, await run_rollout(plan, workshop)
        finally:
            await gateway.stop()
            await provider.close()

    shown, result = asyncio.run(run())
    assert result.outcome is Outcome.FINISHED and len(result.rows) == 1
    assert result.grade is not None and result.grade.complete and result.grade == shown.grade
    assert result.turns == shown.turns + 1 and result.spent["tools"] > 0


def test_the_sdk_is_found_where_our_own_agents_folder_is_first_on_the_path() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tac_rl')!r})\n"
        "from tac_rl.agents.openai_agents import import_sdk\n"
        "assert sys.path[0].endswith('tac_rl')\n"
        "print(import_sdk().Runner.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "Runner\n", done.stderr


def test_a_missing_sdk_is_an_error_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agents", None)
    with pytest.raises(ConfigError, match=r"pip install 'tac-rl\[openai-agents\]'"):
        make_agent("openai-agents")


@pytest.mark.parametrize("where", ["command", "model call"])
def test_a_cancelled_attempt_ends_and_leaves_no_task(where: str) -> None:
    engine = ScriptedEngine(tiny_tokenizer(), [bash("echo begun; sleep 60")])

    async def work(sandbox: Any) -> None:
        engine.gate = asyncio.Event() if where == "model call" else None
        async with opened(engine) as (_, session):
            attempt = asyncio.create_task(
                make_agent("openai-agents").work(
                    "x", Workplace(sandbox), session.endpoint, AgentLimits(), lambda step: None
                )
            )
            await engine.begun.wait()
            await asyncio.sleep(0.5)
            assert any("/agents/" in task.get_coro().cr_code.co_filename for task in asyncio.all_tasks())  # type: ignore[union-attr]
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            files = [task.get_coro().cr_code.co_filename for task in asyncio.all_tasks()]  # type: ignore[union-attr]
            assert files and not [name for name in files if "/agents/" in name]
            assert len(engine.prompts) == (1 if where == "command" else 0)

    in_sandbox(work)
