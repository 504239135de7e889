"""OpenHands, compact: a real worker, real sandboxes, the real gateway; a scripted fake engine's replies."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_fakes import ScriptedEngine, call_text, cut
from openhands_helpers import Attempt, Workshop, openhands_python, workshop
from sandbox_helpers import processes_mentioning

from tac_rl.agents.base import AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.agents.calls import CUT, NO_CALL, NOT_JSON
from tac_rl.agents.openhands import agent as agent_module
from tac_rl.agents.openhands.agent import OpenHandsAgent
from tac_rl.agents.openhands.process import WorkerProcess
from tac_rl.agents.toolcall import ToolCallAgent
from tac_rl.assembly import evaluation
from tac_rl.config.agent import AgentSection, OpenHandsSection
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.errors import AgentWorkerError, ConfigError, GatewayError, InfrastructureError, SandboxError
from tac_rl.gateway.session import Session
from tac_rl.rollouts.evaluation import EvaluationResult
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import SandboxLimits
from tac_rl.sandboxes.sweep import sweep

FINISH = call_text("finish", {})
BROKEN = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"\n</tool_call>'


def bash(command: Any) -> str:
    return call_text("bash", {"command": command})


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with workshop() as made:
        yield made


def assert_one_exact_row(done: Attempt) -> None:
    """All that the engine sampled, once, in the context it was sampled in."""
    (row,) = done.recording.rows
    assert row.token_ids == done.engine.prompts[-1] + done.engine.completions[-1]
    trained = [token for token, sampled in zip(row.token_ids, row.sampled, strict=True) if sampled]
    assert trained == [token for completion in done.engine.completions for token in completion]


def test_it_works_in_the_sandbox_until_it_calls_finish(shop: Workshop) -> None:
    done = shop.attempt(
        bash("echo hi > a; cd /tmp"), "Now I look. " + bash("pwd; cat /workspace/a"), FINISH, "unused"
    )
    assert done.report == AgentReport(Ending.FINISHED, 3)
    assert done.answers == ["", "/tmp\nhi"]
    assert [(step.turn, step.text, step.tool, step.arguments) for step in done.steps] == [
        (1, "", "bash", "echo hi > a; cd /tmp"),
        (2, "Now I look.", "bash", "pwd; cat /workspace/a"),
        (3, "", "finish", ""),
    ]
    assert_one_exact_row(done)


SCRIPTS: dict[str, tuple[Any, ...]] = {
    "calls": (bash("echo hi"), "I look. " + bash("pwd; exit 3"), bash("echo 'Grüße 世界 🎉'"), FINISH),
    "plain text": (bash("true"), "I am done, I think."),
    "nothing": (bash("true"), ""),
    "only thoughts": ("<think>I look.</think>" + bash("ls"), "<think>only thoughts</think>"),
    "broken calls": (BROKEN, bash("true"), "<tool_call>", bash("true"), FINISH),
    "wrong calls": (
        call_text("browse", {"url": "x"}),
        call_text("bash", {"cmd": "ls"}),
        bash("true"),
        bash(None),
        bash(["ls", "-l"]),
        bash("true"),
        call_text("bash", "ls"),
        call_text("bash", ["ls"]),
        bash("true"),
        call_text("finish", [1]),
        call_text("bash", {"command": "echo more", "security_risk": "LOW", "again": None}),
        FINISH,
    ),
    "surrogates": (
        '<tool_call>{"name": "bash", "arguments": {"command": "\\ud800"}}</tool_call>',
        bash("a\0b"),
        FINISH,
    ),
    "cut replies": (cut("I will now think " * 3), bash("true"), cut(bash("ls") + "and"), FINISH),
    "many calls": (
        f"{bash('echo 1 > n')}{call_text('nothing', {})}{bash('cat n')}",
        f"{bash('true')}\n{BROKEN}",
        f"{bash('false')}{FINISH}{bash('true')}",
    ),
    "too many malformed": (BROKEN, call_text("browse", {}), cut("on and on"), FINISH),
    "turns": (*[bash("true")] * 12,),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_model_sees_the_same_tokens_as_from_the_built_in_agent(
    shop: Workshop, script: tuple[Any, ...]
) -> None:
    limits = AgentLimits(max_turns=12, max_malformed=3)
    ours = shop.attempt(*script, agent=ToolCallAgent(), limits=limits)
    theirs = shop.attempt(*script, limits=limits)
    assert theirs.engine.prompts == ours.engine.prompts
    assert theirs.report == ours.report
    assert [(s.turn, s.text, s.tool, s.arguments, s.error) for s in theirs.steps] == [
        (s.turn, s.text, s.tool, s.arguments, s.error) for s in ours.steps
    ]
    assert_one_exact_row(theirs)


AWKWARD: list[Any] = [
    bash("ls"),
    bash("echo 'Grüße, 世界 🎉' > ü.txt"),
    call_text("bash", {"z": {"b": [1, 2.0, {"c": "</tool_call>"}], "a": '\n\t"\\'}, "command": "true"}),
    '<tool_call>\n{"name": "bash", "arguments": {"command": "echo "hi""}}\n</tool_call>',
    bash("true"),
    '<tool_call>{"name": "bash", "arguments": "{not json"}</tool_call>',
    '<tool_call>{"name":"bash","arguments":{"command":"\\u00fc","command":"echo twice"}}</tool_call>',
    f"<think>I should look first.\nYes.</think>\n\n{bash('cat a')}",
    f"Two at once: {bash('echo a')}\n\n  and {bash('echo b')}",
    cut('Let me see <tool_call>\n{"name": "bash", "argu'),
    bash("true"),
    cut("<think>never"),
    '<tool_call>{"name":   "bash", "arguments": {"n": 1.0, "m": 1e400, "k": -0.0, "command": "true"}}</tool_call>',
    '<tool_call>{"name": "bash", "arguments": {"command": "\\ud800"}}</tool_call>',
    f"{bash('echo {1..5} | tee /dev/stderr')}  <tool_call></tool_call></tool_call>",
    bash("true"),
    f"{call_text('bash', [1, 'list'])}",
    bash("x" * 300),
    call_text("bash", {"command": "echo more", "again": None, "summary": "s", "security_risk": "LOW"}),
    FINISH,
]


def test_twenty_awkward_turns_make_one_exact_row(shop: Workshop) -> None:
    done = shop.attempt(*AWKWARD, limits=AgentLimits(max_turns=30))
    assert done.report == AgentReport(Ending.FINISHED, 20)
    assert [call.continues for call in done.recording.calls] == [None, *range(19)]
    assert_one_exact_row(done)


def test_endings_are_told_apart(shop: Workshop) -> None:
    def ending(*script: Any, **options: Any) -> tuple[Ending, str]:
        report = shop.attempt(*script, **options).report
        return report.ending, report.detail

    assert ending(FINISH) == (Ending.FINISHED, "")
    assert ending("I am done.") == (Ending.FINISHED, NO_CALL)
    assert ending(*[bash("true")] * 9, limits=AgentLimits(max_turns=4)) == (
        Ending.OUT_OF_TURNS,
        "4 turns are used up",
    )
    assert ending(*[bash("true")] * 9, max_calls=2)[0] is Ending.OUT_OF_TURNS
    assert ending(BROKEN, cut("on"), BROKEN) == (
        Ending.AGENT_FAILED,
        f"3 malformed calls in a row, the last: {NOT_JSON}",
    )
    assert ending(*[bash("seq 1 200")] * 50, context_limit=900, limits=AgentLimits(max_turns=50))[0] is (
        Ending.OUT_OF_CONTEXT
    )
    assert ending(*["again " * 99] * 9, max_tokens=20)[1].endswith(CUT)


def test_time_runs_out_during_a_command_and_the_command_is_cut_short(shop: Workshop) -> None:
    done = shop.attempt(bash("echo begun; sleep 60"), FINISH, limits=AgentLimits(seconds=3.0))
    assert (done.report.ending, done.report.turns) == (Ending.TIMED_OUT, 1)
    assert done.steps[0].result is not None
    assert done.steps[0].result.timed_out


def test_time_runs_out_during_a_model_call(shop: Workshop) -> None:
    async def before(engine: ScriptedEngine, session: Session, sandbox: Any) -> None:
        engine.gate = asyncio.Event()

    done = shop.attempt("never", limits=AgentLimits(seconds=1.0), before=before)
    assert (done.report.ending, done.report.turns) == (Ending.TIMED_OUT, 0)
    assert done.recording.infrastructure_error is None


def test_many_conversations_at_once_keep_to_themselves(shop: Workshop) -> None:
    async def all_of_them() -> list[Attempt]:
        return await asyncio.gather(
            *(
                shop.attempt_async(bash(f"echo {number} > mine"), bash("cat mine"), FINISH, agent=shop.agent)
                for number in range(8)
            )
        )

    for number, done in enumerate(shop.run(all_of_them())):
        assert done.report == AgentReport(Ending.FINISHED, 3)
        assert done.answers == ["", str(number)]


def test_commands_have_the_sandboxs_limits(shop: Workshop) -> None:
    done = shop.attempt(
        bash("sleep 9"),
        bash("seq 1 100000"),
        FINISH,
        sandbox_limits=SandboxLimits(exec_seconds=2.0, output_bytes=300),
    )
    assert "time limit" in done.answers[0]
    assert len(done.answers[1]) < 600


def test_failures_of_ours_are_infrastructure_failures(shop: Workshop) -> None:
    async def close(engine: ScriptedEngine, session: Session, sandbox: Any) -> None:
        await session.close()

    async def stop(engine: ScriptedEngine, session: Session, sandbox: Any) -> None:
        await sandbox.stop()

    with pytest.raises(InfrastructureError, match=r"503.*out of memory"):
        shop.attempt(bash("true"), RuntimeError("out of memory"))
    with pytest.raises(GatewayError, match="410"):
        shop.attempt(before=close)
    with pytest.raises(SandboxError):
        shop.attempt(bash("true"), before=stop)


def test_a_worker_that_is_killed_fails_its_rollouts_and_the_next_one_works(shop: Workshop) -> None:
    def kill(step: AgentStep) -> None:
        (pid,) = shop.agent.pids
        os.kill(pid, signal.SIGKILL)

    with pytest.raises(AgentWorkerError, match="ended during a conversation"):
        shop.attempt(bash("true"), bash("true"), FINISH, watch=kill)
    assert shop.attempt(bash("true"), FINISH).report == AgentReport(Ending.FINISHED, 2)


def test_the_time_that_a_dead_workers_successor_takes_to_start_is_not_the_attempts(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, started = shop.agent, shop.agent._worker
    late = 0.0

    async def slow(number: int) -> WorkerProcess:
        nonlocal late
        worker = await started(number)
        late = 10_000.0
        return worker

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + late

    monkeypatch.setattr(agent, "_worker", slow)
    monkeypatch.setattr(agent_module, "time", Clock)
    assert shop.attempt(bash("true"), FINISH).report == AgentReport(Ending.FINISHED, 2)


OWNER = """
import asyncio, os, sys
from pathlib import Path
from tac_rl.agents.openhands.agent import OpenHandsAgent
from tac_rl.assembly import evaluation
from tac_rl.config.agent import AgentSection, OpenHandsSection
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig

async def main():
    section = OpenHandsSection(python=Path(sys.argv[1]), workers=2)
    agent = OpenHandsAgent(AgentSection(name="openhands", openhands=section), runtime_dir=Path(sys.argv[2]))
    await agent.start()
    print(*agent.pids, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_workers_die_with_their_owner_and_the_sweep_removes_their_folders() -> None:
    with tempfile.TemporaryDirectory(prefix="oh-") as folder:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(openhands_python()), folder], stdout=subprocess.PIPE, text=True
        )
        try:
            assert owner.stdout is not None
            workers = [runtime.identity(int(pid)) for pid in owner.stdout.readline().split()]
            assert [runtime.is_alive(worker) for worker in workers] == [True, True]
        finally:
            owner.kill()
            owner.wait()
        for _ in range(100):
            if not any(map(runtime.is_alive, workers)):
                break
            time.sleep(0.05)
        assert not any(map(runtime.is_alive, workers))
        (leftover,) = sweep(Path(folder))
        assert (leftover.processes, list(Path(folder).iterdir())) == ((), [])


def test_a_worker_writes_and_connects_nowhere_else(shop: Workshop) -> None:
    """Everything that the worker holds open or has written is in its own folder, or is a socket to us."""
    shop.attempt(bash("echo hi"), FINISH)
    (pid,) = shop.agent.pids
    environment = dict(
        item.split("=", 1) for item in Path(f"/proc/{pid}/environ").read_text().split("\0") if item
    )
    folder = Path(environment["HOME"]).parent
    places = [environment[name] for name in ("HOME", "TMPDIR", "TMUX_TMPDIR", "OH_PERSISTENCE_DIR")]
    assert all(Path(place).is_relative_to(folder) for place in places)
    targets = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    files = [
        t for t in targets if t.startswith("/") and t != "/dev/null" and not t.startswith("/dev/urandom")
    ]
    assert all(Path(name).is_relative_to(folder) for name in files), files
    connections = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    inodes = {t.removeprefix("socket:[").removesuffix("]") for t in targets if t.startswith("socket:")}
    remote = [line.split()[2] for line in connections if line.split()[9] in inodes]
    assert all(address.startswith("0100007F:") for address in remote), remote  # 127.0.0.1


def test_attempts_of_the_shipped_policy_are_graded_and_no_worker_is_left(tmp_path: Path) -> None:
    """Through the doors' own assembly: real engine, real tasks, one worker for all packages."""
    source = Path(__file__).parents[1] / "configs" / "tiny_cpu.yaml"
    overrides = ["agent.name=openhands", f"agent.openhands.python={openhands_python()}"]
    config = load_config(RunConfig, source, overrides)

    async def run() -> tuple[EvaluationResult, list[int]]:
        async with evaluation(config, tmp_path, 0) as (attempts, version):
            result = await attempts.evaluate(
                "test", version=version, split="heldout", attempts=8, temperature=1.0, recorder=Nobody()
            )
            return result, processes_mentioning("openhands/worker/start.py")

    result, workers = asyncio.run(run())
    assert (result.attempts, result.infrastructure_failures) == (8, 0)
    assert workers
    # What is left of them is this file's own workshop.
    assert len([pid for pid in workers if f" {os.getpid()} " in _command_line(pid)]) <= 1


class Nobody:
    """A recorder that remembers nothing."""

    def begin(self, plan: Any) -> None: ...

    def phase(self, plan: Any, phase: str, turn: int) -> None: ...

    def drop(self, plan: Any) -> None: ...

    def end(self, result: Any) -> None: ...


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def test_it_refuses_to_work_without_an_endpoint(shop: Workshop) -> None:
    with pytest.raises(GatewayError, match="endpoint"):
        shop.run(shop.agent.work("x", Workplace(None), None, AgentLimits(), lambda step: None))  # type: ignore[arg-type]


def test_a_missing_environment_is_one_clear_error(tmp_path: Any) -> None:
    config = AgentSection(name="openhands", openhands=OpenHandsSection(python=tmp_path / "python"))
    with pytest.raises(ConfigError, match=r"agent\.openhands\.python.*setup\.sh --openhands"):
        OpenHandsAgent(config)
