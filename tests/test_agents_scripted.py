"""Agents without a model: oracle, script, nop; and how agents are named."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from sandbox_helpers import in_sandbox

from tac_rl.agents.base import Agent, AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.agents.factory import make_agent
from tac_rl.config.agent import AgentSection
from tac_rl.errors import ConfigError, TaskError


def work_of(agent: Agent, limits: AgentLimits | None = None) -> tuple[AgentReport, list[AgentStep]]:
    steps: list[AgentStep] = []

    async def work(sandbox: Any) -> AgentReport:
        return await agent.work("Find 7.", Workplace(sandbox), None, limits or AgentLimits(), steps.append)

    return in_sandbox(work), steps


def test_the_oracle_sends_what_was_printed_to_the_demonstrator() -> None:
    seen: list[str] = []

    def demonstrator(instruction: str) -> Generator[str, str, None]:
        seen.append(instruction)
        printed = yield "printf 41"
        seen.append(printed)
        seen.append((yield f"echo $(({printed} + 1)); exit 5"))

    report, steps = work_of(make_agent("oracle", demonstrator=demonstrator))
    assert report == AgentReport(Ending.FINISHED, 2)
    assert seen[:2] == ["Find 7.", "41"]
    assert seen[2].startswith("42")
    assert [step.arguments for step in steps] == ["printf 41", "echo $((41 + 1)); exit 5"]
    assert steps[0].result is not None
    assert steps[0].result.output == "41"


def test_the_oracle_is_not_bound_by_turns_but_by_time() -> None:
    def endless(instruction: str) -> Generator[str, str, None]:
        while True:
            yield "sleep 0.1"

    report, _ = work_of(make_agent("oracle", demonstrator=endless), AgentLimits(max_turns=1, seconds=2.0))
    assert report.ending is Ending.TIMED_OUT
    assert report.turns > 1


def test_a_demonstrator_that_raises_is_its_authors_mistake() -> None:
    def raising(instruction: str) -> Generator[str, str, None]:
        printed = yield "echo x"
        yield str(int(printed))

    with pytest.raises(TaskError, match=r"oracle.*ValueError"):
        work_of(make_agent("oracle", demonstrator=raising))


def test_a_demonstrator_that_yields_something_else_is_its_authors_mistake() -> None:
    def listing(instruction: str) -> Generator[Any, str, None]:
        yield ["ls"]

    with pytest.raises(TaskError, match=r"must yield commands.*\['ls'\]"):
        work_of(make_agent("oracle", demonstrator=listing))


def test_nop_does_nothing() -> None:
    report, steps = work_of(make_agent("nop"))
    assert report == AgentReport(Ending.FINISHED, 0)
    assert steps == []


def test_a_script_is_one_command_a_line(tmp_path: Path) -> None:
    script = tmp_path / "s.txt"
    script.write_text("cd /tmp\n\n  \nX=ü; pwd\necho $X # said\n", encoding="utf-8")
    agent = make_agent(f"script:{script}")
    report, steps = work_of(agent)
    assert agent.name == f"script:{script}"
    assert report == AgentReport(Ending.FINISHED, 3)
    assert [step.result.output for step in steps if step.result] == ["", "/tmp\n", "ü\n"]


def test_a_missing_or_unreadable_script_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.txt"):
        make_agent(f"script:{tmp_path / 'missing.txt'}")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary"):
        make_agent(f"script:{binary}")


def test_an_unknown_agent_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"'tolcall'.*toolcall, .*script:FILE"):
        make_agent("tolcall")


def test_an_oracle_needs_a_demonstrator() -> None:
    with pytest.raises(ConfigError, match="demonstrator"):
        make_agent("oracle")


def test_only_toolcall_uses_the_model() -> None:
    assert make_agent("toolcall", AgentSection()).uses_model
    assert not make_agent("nop").uses_model
