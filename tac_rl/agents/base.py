"""The contract of an agent: work on an instruction in a workplace, talking to a model endpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tac_rl.sandboxes.base import ExecResult, Sandbox
from tac_rl.serving.endpoint import Endpoint


class Ending(StrEnum):
    """How an agent stopped. Infrastructure failures are exceptions, not endings."""

    FINISHED = "finished"
    """It said that it is done (the finish tool, or plain text without a tool call)."""
    OUT_OF_TURNS = "out_of_turns"
    OUT_OF_CONTEXT = "out_of_context"
    TIMED_OUT = "timed_out"
    STUCK = "stuck"
    """Its harness saw it repeat itself without getting anywhere, and stopped it."""
    AGENT_FAILED = "agent_failed"
    """It could not go on by its own doing: malformed calls past the limit, or its process failed."""


REPEATED_ITSELF = "OpenHands saw it repeat itself"
"""The detail of an attempt that OpenHands ended as stuck."""

ENDINGS_BY_CODE = {
    "context_length_exceeded": Ending.OUT_OF_CONTEXT,
    "max_calls_exceeded": Ending.OUT_OF_TURNS,
}
"""What the endpoint's error codes mean for an attempt; any other is a failure of ours."""


@dataclass(frozen=True)
class Workplace:
    """What is leased to one rollout: a sandbox, and a company that its commands reach where the task needs one."""

    sandbox: Sandbox


@dataclass(frozen=True)
class AgentLimits:
    max_turns: int = 12
    seconds: float = 120.0
    max_malformed: int = 3
    """Malformed calls in a row after which the agent has failed."""


@dataclass(frozen=True)
class AgentStep:
    """One command and what came of it, told to whoever watches (a terminal, a trajectory)."""

    turn: int
    text: str
    """What the model wrote besides tool calls."""
    tool: str
    """Name of the tool, empty where there was no call."""
    arguments: str
    """The command, or the raw arguments where they are not a command."""
    result: ExecResult | None
    error: str = ""
    """What was wrong with a malformed call."""


@dataclass(frozen=True)
class AgentReport:
    ending: Ending
    turns: int
    detail: str = ""


class Agent(Protocol):
    name: str
    uses_model: bool
    """False for agents that need no endpoint (oracle, nop, script)."""

    async def work(
        self,
        instruction: str,
        workplace: Workplace,
        endpoint: Endpoint | None,
        limits: AgentLimits,
        watch: Callable[[AgentStep], None],
    ) -> AgentReport:
        """Work until done or a limit is reached. Raises `InfrastructureError` for failures of ours."""
        ...
