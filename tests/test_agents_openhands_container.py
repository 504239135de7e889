"""OpenHands' agent-server in a real container, a real gateway, a shipped task; a scripted fake engine's replies."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from docker_helpers import needs_docker
from gateway_fakes import ScriptedEngine, call_text, opened, tiny_tokenizer

from tac_rl.agents.base import AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.agents.calls import NO_CALL
from tac_rl.agents.openhands.container import door, libraries
from tac_rl.agents.openhands.container.agent import SERVER_PORT, ContainerAgent
from tac_rl.agents.scripted import OracleAgent
from tac_rl.assembly import DEFAULT_CONTEXT
from tac_rl.config.agent import SERVER_MB, SERVER_PROCESSES, AgentSection, OpenHandsSection
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.config.sandbox import DockerSection
from tac_rl.errors import AgentWorkerError, ConfigError, GatewayError, InfrastructureError
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.gateway.session import Recording
from tac_rl.rollouts.attempts import Attempts
from tac_rl.rollouts.outcomes import Outcome
from tac_rl.rollouts.rollout import Workshop, run_rollout
from tac_rl.sandboxes.base import Sandbox, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.docker.provider import DockerProvider
from tac_rl.serving.base import Sampling
from tac_rl.serving.endpoint import Endpoint
from tac_rl.tasks.demonstrations import oracle_of
from tac_rl.tasks.packages import load_package

ROOT = Path(__file__).parents[1]
FINISH = call_text("finish", {"message": "done"})
LIMITS = SandboxLimits(memory_mb=SERVER_MB, processes=SERVER_PROCESSES)
SERVERS = "grep -la 'openhands.agent_serve[r]' /proc/[0-9]*/cmdline 2>/dev/null | wc -l"
TOOLS = [{"type": "function", "function": {"name": "terminal", "parameters": {"type": "object"}}}]


def terminal(command: str) -> str:
    return call_text("terminal", {"command": command})


def made() -> ContainerAgent:
    """The agent; skips the test where a part is missing."""
    needs_docker()
    if not (libraries.default_folder() / "tac-rl-requirements").is_file():
        pytest.skip("the agent-server is not there: make it with ./setup.sh --openhands --docker")
    section = OpenHandsSection(placement="container", profile="full", start_seconds=400)
    return ContainerAgent(AgentSection(name="openhands", openhands=section))


class Looking:
    """The agent, and afterwards a look at what it left running in its sandbox."""

    name, uses_model = "openhands", True

    def __init__(self, agent: ContainerAgent) -> None:
        self._agent = agent
        self.servers_after = ""

    async def work(self, instruction: str, workplace: Workplace, *rest: Any) -> AgentReport:
        report = await self._agent.work(instruction, workplace, *rest)
        self.servers_after = (await workplace.sandbox.exec(SERVERS)).output.strip()
        return report


def test_the_stock_server_works_on_a_shipped_task_in_its_container_and_is_graded() -> None:
    """Several turns, stock tools, one exact row; what a command asks the model is no turn and no row."""
    agent = made()
    looking = Looking(agent)
    package = load_package(ROOT / "tasks" / "finance-column-total")
    ask_for_a_title = (
        f"""curl -s 127.0.0.1:{door.PORT}/v1/chat/completions -d '{{"model": "x", "messages": """
        """[{"role": "user", "content": "Write a title."}]}'; true"""
    )

    async def run() -> Any:
        provider = DockerProvider(DockerSection(pool=0))
        engine = ScriptedEngine(tiny_tokenizer())
        gateway = Gateway(engine, Renderer(engine.tokenizer))
        workshop = Workshop(
            sandboxes=provider,
            sandbox_limits=LIMITS,
            agent_for=lambda package: OracleAgent(oracle_of(package)),
            gateway=gateway,
            context_limit=DEFAULT_CONTEXT,
            equipment=agent.equipment,
        )
        await gateway.start()
        try:
            plan = Attempts(RunConfig(), [package], [], workshop).plan(package, 5, version=0, temperature=1.0)
            limits = replace(plan.limits, seconds=600.0)
            plan = replace(plan, sampling=Sampling(max_tokens=1000), limits=limits)
            shown = await run_rollout(plan, workshop)
            # The policy says what the package's own demonstrator did, for the same seed.
            engine.script = [
                terminal("readlink /proc/self/ns/mnt; id -u; ls -A /workspace | grep -c '^.git$'"),
                terminal(SERVERS),
                terminal(ask_for_a_title),
                call_text(
                    "file_editor",
                    {"command": "create", "path": "/workspace/häßlich.txt", "file_text": "Grüße\n"},
                ),
                terminal("cat /workspace/häßlich.txt; exit_code() { return 3; }; exit_code"),
                *(terminal(step.arguments) for step in shown.steps),
                FINISH,
            ]
            replies = len(engine.script)
            workshop = replace(workshop, agent_for=lambda package: looking, context_limit=100_000)
            return engine, replies, shown, await run_rollout(plan, workshop)
        finally:
            await gateway.stop()
            await provider.close()

    engine, replies, shown, result = asyncio.run(run())
    assert result.outcome is Outcome.FINISHED, result.detail
    assert result.grade is not None and result.grade.complete and result.grade == shown.grade
    # One row, equal token for token to what the engine generated, and no call but the agent's own.
    assert result.turns == len(engine.completions) == replies
    (row,) = result.rows
    assert row.token_ids == engine.prompts[-1] + engine.completions[-1]
    trained = [token for token, sampled in zip(row.token_ids, row.sampled, strict=True) if sampled]
    assert trained == [token for completion in engine.completions for token in completion]
    # The stock terminal leaves control sequences in what it shows.
    outputs = [re.sub(r"\x1b\[\?2004[hl]\s*", "", s.result.output) if s.result else "" for s in result.steps]
    # The tools ran in the container, beside the server, as nobody special.
    namespace, user, repositories = outputs[0].splitlines()[:3]
    assert namespace.startswith("mnt:") and namespace != str(Path("/proc/self/ns/mnt").readlink())
    assert (user, repositories) == ("1000", "0")
    assert int(outputs[1].splitlines()[0]) >= 1
    assert "only the agent's own turns" in outputs[2]
    assert outputs[4].startswith("Grüße")
    assert result.steps[4].result is not None and result.steps[4].result.exit_code == 3
    assert [step.tool for step in result.steps][3:5] == ["file_editor", "terminal"]
    assert looking.servers_after == "0"


def test_a_server_that_the_model_kills_ends_the_attempt_as_the_models_doing() -> None:
    agent = made()
    kill = f"kill -9 $(grep -la 'port.{SERVER_PORT}' /proc/[0-9]*/cmdline | cut -d/ -f3)"

    async def run() -> tuple[AgentReport, Recording]:
        provider = DockerProvider(DockerSection(pool=0))
        engine = ScriptedEngine(tiny_tokenizer(), [terminal(kill), FINISH])
        sandbox = await provider.start(SandboxSpec("killed", LIMITS).equipped(agent.equipment))
        try:
            async with opened(engine) as (gateway, session):
                report = await agent.work(
                    "Do it.",
                    Workplace(sandbox),
                    session.endpoint,
                    AgentLimits(seconds=600),
                    lambda step: None,
                )
                return report, await gateway.close(session)
        finally:
            await sandbox.stop()
            await provider.close()

    report, recording = asyncio.run(run())
    assert (report.ending, report.turns) == (Ending.AGENT_FAILED, 1), report
    assert len(recording.rows) == 1


# The door alone, without a container


Call = Callable[..., Awaitable[tuple[int, Any]]]


def at_the_door(
    work: Callable[[door.Door, Call], Awaitable[None]],
    script: tuple[Any, ...],
    limits: AgentLimits | None = None,
    **options: Any,
) -> tuple[ScriptedEngine, Recording, list[AgentStep]]:
    engine, steps = ScriptedEngine(tiny_tokenizer(), script), []

    async def run() -> Recording:
        async with opened(engine, **options) as (gateway, session):
            ours = door.Door(session.endpoint, limits or AgentLimits(), steps.append)
            with socket.create_server(("127.0.0.1", 0)) as listener:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
                async with ours.answering(listener, call_timeout_s=30), aiohttp.ClientSession() as client:

                    async def call(*messages: Any, tools: Any = TOOLS) -> tuple[int, Any]:
                        body = {"model": session.endpoint.model, "messages": messages}
                        body |= {"tools": tools} if tools else {}
                        async with client.post(url, json=body) as answer:
                            return answer.status, await answer.json()

                    await work(ours, call)
            return await gateway.close(session)

    return engine, asyncio.run(run()), steps


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


FIRST = (said("system", "You work."), said("user", "Do it."))


def test_titles_and_questions_of_commands_never_reach_the_engine() -> None:
    async def work(ours: door.Door, call: Call) -> None:
        assert (await call(said("user", "Write a title."), tools=None))[0] == 403
        assert (await call(*FIRST))[0] == 200
        assert (await call(said("system", "You are a helper."), FIRST[1]))[0] == 403
        assert (await call(*FIRST, tools=None))[0] == 403
        assert (await call(*FIRST, tools=[*TOOLS, *TOOLS]))[0] == 403
        assert ours.turns == 1 and not ours.over.is_set()

    engine, recording, _ = at_the_door(work, ("Done.",))
    assert len(engine.completions) == 1 and len(recording.rows) == 1


def test_the_door_tells_each_call_with_what_came_of_it() -> None:
    async def work(ours: door.Door, call: Call) -> None:
        _, answer = await call(*FIRST)
        reply = answer["choices"][0]["message"]
        output = "hi\n[Command finished with exit code 3]"
        result = {"role": "tool", "tool_call_id": reply["tool_calls"][0]["id"], "content": output}
        await call(*FIRST, reply, result)
        ours.flush()
        assert not ours.calls_last

    _, recording, steps = at_the_door(work, ("I look. " + terminal("echo hi; false"), "Done."))
    assert [(s.turn, s.text, s.tool, s.arguments) for s in steps] == [
        (1, "I look.", "terminal", "echo hi; false"),
        (2, "Done.", "", ""),
    ]
    assert steps[0].result is not None and steps[0].result.exit_code == 3
    assert len(recording.rows) == 1


def test_the_door_closes_after_the_last_turn_and_after_malformed_calls() -> None:
    async def turns(ours: door.Door, call: Call) -> None:
        assert [(await call(*FIRST))[0] for _ in range(2)] == [200, 410]
        assert ours.ending is Ending.OUT_OF_TURNS and ours.over.is_set()

    engine, _, _ = at_the_door(turns, ("a", "b"), AgentLimits(max_turns=1))
    assert len(engine.completions) == 1

    async def malformed(ours: door.Door, call: Call) -> None:
        history = list(FIRST)
        for _ in range(2):
            reply = (await call(*history))[1]["choices"][0]["message"]
            answer = {"role": "tool", "tool_call_id": reply["tool_calls"][0]["id"], "content": "no such tool"}
            history += [reply, answer]
        assert ours.ending is Ending.AGENT_FAILED and "2 malformed calls" in ours.detail
        assert (await call(*history))[0] == 410

    engine, _, _ = at_the_door(malformed, (call_text("browse", {}),) * 3, AgentLimits(max_malformed=2))
    assert len(engine.completions) == 2


def test_a_full_context_is_an_ending_and_any_other_refusal_a_failure_of_ours() -> None:
    async def full(ours: door.Door, call: Call) -> None:
        assert (await call(*FIRST, said("user", "long " * 200)))[0] == 400
        assert ours.ending is Ending.OUT_OF_CONTEXT and ours.failure is None

    at_the_door(full, (), context_limit=300)

    async def broken(ours: door.Door, call: Call) -> None:
        assert (await call(*FIRST))[0] >= 500
        assert ours.ending is None and isinstance(ours.failure, GatewayError)
        assert (await call(*FIRST))[0] == 410

    at_the_door(broken, (InfrastructureError("the engine is gone"),))


# What is refused before anything starts


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ((), "set it to docker"),
        (("sandbox.kind=docker",), "agent.openhands.profile to full"),
        (("sandbox.kind=docker", "agent.openhands.profile=full"), "sandbox.memory_mb"),
        (
            ("sandbox.kind=docker", "agent.openhands.profile=full", "sandbox.memory_mb=2048"),
            "sandbox.processes",
        ),
    ],
)
def test_the_config_names_what_the_container_needs(changes: tuple[str, ...], fix: str) -> None:
    base = ("agent.name=openhands", "agent.openhands.placement=container")
    with pytest.raises(ConfigError, match=fix):
        load_config(RunConfig, ROOT / "configs" / "tiny_cpu.yaml", [*base, *changes])


def test_missing_libraries_and_a_sandbox_without_the_port_are_one_clear_error(tmp_path: Path) -> None:
    section = OpenHandsSection(placement="container", profile="full", libraries=tmp_path)
    with pytest.raises(ConfigError, match=r"setup\.sh --openhands --docker"):
        ContainerAgent(AgentSection(name="openhands", openhands=section))
    (tmp_path / "tac-rl-requirements").write_text("")
    agent = ContainerAgent(AgentSection(name="openhands", openhands=section))

    class Bare:
        """Fake sandbox: one that was started for another agent."""

        spec = SandboxSpec("bare")
        listeners: dict[int, socket.socket] = {}  # noqa: RUF012

    async def work() -> None:
        sandbox: Sandbox = Bare()  # type: ignore[assignment]
        endpoint = Endpoint("http://127.0.0.1:1/v1", "k", "m")
        await agent.work("x", Workplace(sandbox), endpoint, AgentLimits(), lambda step: None)

    with pytest.raises(AgentWorkerError, match="no port"):
        asyncio.run(work())


def test_plain_text_ends_as_it_does_outside() -> None:
    from tac_rl.agents.openhands.container.agent import _report

    ours = door.Door(Endpoint("http://127.0.0.1:1/v1", "k", "m"), AgentLimits(max_turns=2), lambda step: None)
    with pytest.raises(AgentWorkerError, match="before its first turn"):
        _report({"status": "error", "detail": "import"}, ours, AgentLimits())
    ours.turns = 2
    assert _report({"status": "finished"}, ours, AgentLimits()) == AgentReport(Ending.FINISHED, 2, NO_CALL)
    assert _report({"status": "error"}, ours, AgentLimits(max_turns=2)).ending is Ending.OUT_OF_TURNS
    assert _report({"status": "stuck"}, ours, AgentLimits()).ending is Ending.STUCK
    assert _report({"status": ["?"]}, ours, AgentLimits()).ending is Ending.AGENT_FAILED
