"""A real OpenHands worker for the tests of a file: started once, used by many attempts."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from gateway_fakes import ScriptedEngine, opened, tiny_tokenizer

from tac_rl.agents.base import Agent, AgentLimits, AgentReport, AgentStep, Workplace
from tac_rl.agents.openhands.agent import OpenHandsAgent
from tac_rl.agents.openhands.environment import default_folder
from tac_rl.config.agent import AgentSection, OpenHandsSection
from tac_rl.gateway.server import Gateway
from tac_rl.gateway.session import Recording, Session
from tac_rl.sandboxes.base import Mount, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.serving.base import Sampling

T = TypeVar("T")
Before = Callable[[ScriptedEngine, Session, Any], Awaitable[None]]


@dataclass
class Attempt:
    """What came of one attempt."""

    report: AgentReport
    steps: list[AgentStep]
    recording: Recording
    engine: ScriptedEngine

    @property
    def answers(self) -> list[str]:
        """What the agent said to each reply but the last, as the gateway saw it."""
        return ["\n".join(m["content"] for m in call.messages) for call in self.recording.calls[1:]]


class Workshop:
    """An event loop, a sandbox provider and a started agent, which outlive single tests."""

    def __init__(self, agent: OpenHandsAgent, loop: asyncio.AbstractEventLoop) -> None:
        self.agent = agent
        self._loop = loop
        self._provider = BubblewrapProvider()
        self._number = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(work, 120))

    def attempt(self, *script: Any, agent: Agent | None = None, **options: Any) -> Attempt:
        """Let an agent (the workshop's own, unless another is given) work with an engine that replies `script`."""
        return self.run(self.attempt_async(*script, agent=agent or self.agent, **options))

    async def attempt_async(
        self,
        *script: Any,
        agent: Agent,
        limits: AgentLimits | None = None,
        max_tokens: int = 4000,
        before: Before | None = None,
        watch: Callable[[AgentStep], None] | None = None,
        sandbox_limits: SandboxLimits | None = None,
        mounts: tuple[Mount, ...] = (),
        ports: tuple[int, ...] = (),
        instruction: str = "Do it.",
        tokenizer: Any = None,
        **options: Any,
    ) -> Attempt:
        engine = ScriptedEngine(tokenizer or tiny_tokenizer(), script)
        steps: list[AgentStep] = []
        self._number += 1
        spec = SandboxSpec(
            f"test-{self._number}", sandbox_limits or SandboxLimits(), read_only_mounts=mounts, ports=ports
        )
        sandbox = await self._provider.start(spec)

        def note(step: AgentStep) -> None:
            steps.append(step)
            if watch is not None:
                watch(step)

        try:
            async with opened(engine, sampling=Sampling(max_tokens=max_tokens), **options) as (
                gateway,
                session,
            ):
                if before is not None:
                    await before(engine, session, sandbox)
                report = await agent.work(
                    instruction, Workplace(sandbox), session.endpoint, limits or AgentLimits(), note
                )
                recording = await gateway.close(session)
        finally:
            await sandbox.stop()
        return Attempt(report, steps, recording, engine)

    async def close(self) -> None:
        await self.agent.stop()
        await self._provider.close()


def openhands_python() -> Path:
    """The interpreter of OpenHands' environment; skips the test where there is none."""
    python = default_folder() / "bin" / "python"
    if not python.is_file():
        pytest.skip("OpenHands' environment is not there: make it with ./setup.sh --openhands")
    return python


@contextmanager
def workshop(profile: str = "compact", **section: Any) -> Iterator[Workshop]:
    """Started; for a fixture of a module."""
    config = AgentSection(
        name="openhands",
        openhands=OpenHandsSection(
            python=openhands_python(), **{"profile": profile, "workers": 1, **section}
        ),
    )
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        asyncio.set_event_loop(loop)
        opened_workshop = Workshop(OpenHandsAgent(config), loop)
        try:
            runner.run(opened_workshop.agent.start())
            yield opened_workshop
        finally:
            runner.run(opened_workshop.close())
            asyncio.set_event_loop(None)


__all__ = ["Attempt", "Gateway", "Workshop", "openhands_python", "workshop"]
