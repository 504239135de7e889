"""Agents without a model: the oracle (a package's own demonstrator), a script of commands, and doing nothing."""

import time
from collections.abc import Callable, Generator, Sequence

from tac_rl.agents.base import AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.errors import TaskError
from tac_rl.serving.endpoint import Endpoint

Demonstrator = Callable[[str], Generator[str, str, None]]
"""Given the instruction: yields one shell command at a time, and is sent what the command printed."""


class NopAgent:
    """Does nothing: what it scores, a package gives away."""

    name = "nop"
    uses_model = False

    async def work(
        self,
        instruction: str,
        workplace: Workplace,
        endpoint: Endpoint | None,
        limits: AgentLimits,
        watch: Callable[[AgentStep], None],
    ) -> AgentReport:
        return AgentReport(Ending.FINISHED, turns=0)


class OracleAgent:
    """Lets a demonstrator work, step by step on what it observes. Only the time limit binds it."""

    uses_model = False

    def __init__(self, demonstrator: Demonstrator, *, name: str = "oracle") -> None:
        self.name = name
        self._demonstrator = demonstrator

    async def work(
        self,
        instruction: str,
        workplace: Workplace,
        endpoint: Endpoint | None,
        limits: AgentLimits,
        watch: Callable[[AgentStep], None],
    ) -> AgentReport:
        """Raises `TaskError` where the demonstrator does: that is a mistake of the package's author."""
        deadline = time.monotonic() + limits.seconds
        work = self._demonstrator(instruction)
        printed: str | None = None
        turn = 0
        try:
            while (command := self._advance(work, printed)) is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return AgentReport(Ending.TIMED_OUT, turn, f"{limits.seconds:g} s are over")
                turn += 1
                timeout_s = min(left, workplace.sandbox.spec.limits.exec_seconds)
                result = await workplace.sandbox.exec(command, timeout_s=timeout_s)
                watch(AgentStep(turn, "", "bash", command, result))
                printed = result.output
        finally:
            work.close()
        return AgentReport(Ending.FINISHED, turn)

    def _advance(self, work: Generator[str, str, None], printed: str | None) -> str | None:
        """The next command, or None at the end."""
        try:
            command = next(work) if printed is None else work.send(printed)
        except StopIteration:
            return None
        except Exception as error:
            raise TaskError(
                f"agent {self.name}: the demonstrator raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(command, str):
            raise TaskError(f"agent {self.name}: the demonstrator must yield commands, not {command!r}")
        return command


def script_demonstrator(commands: Sequence[str]) -> Demonstrator:
    """A demonstrator that runs `commands` whatever they print."""

    def work(instruction: str) -> Generator[str, str, None]:
        for command in commands:
            _ = yield command  # `yield from` would want a list that takes answers

    return work
