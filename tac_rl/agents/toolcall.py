"""The built-in agent: a system sentence, two tools (`bash`, `finish`), and a loop.

A reply without a tool call ends the work. A call that can't be run (broken JSON, unknown tool, missing or
wrong argument, cut at the token limit) is answered with what was wrong; too many in a row, and the agent
has failed. Everything else that can go wrong is the endpoint's or the sandbox's failure, and is raised.
"""

import time
from collections.abc import Callable
from typing import Any

from tac_rl.agents.base import AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.agents.calls import NO_CALL, Malformed, command_of, too_many, unreadable
from tac_rl.agents.chat_client import ChatClient, ChatReply, EndOfWork
from tac_rl.agents.prompt import SYSTEM_PROMPT, TOOLS, observation
from tac_rl.errors import GatewayError
from tac_rl.serving.endpoint import Endpoint

Watch = Callable[[AgentStep], None]


class ToolCallAgent:
    """Serves any number of rollouts at once."""

    name = "toolcall"
    uses_model = True

    def __init__(self, *, call_timeout_s: float = 330.0) -> None:
        """`call_timeout_s`: longest wait for one model call, in seconds."""
        self._call_timeout_s = call_timeout_s

    async def work(
        self,
        instruction: str,
        workplace: Workplace,
        endpoint: Endpoint | None,
        limits: AgentLimits,
        watch: Watch,
    ) -> AgentReport:
        """Work until done or a limit is reached. Raises `InfrastructureError` for failures of ours."""
        if endpoint is None:
            raise GatewayError("agent toolcall needs a model endpoint")
        async with ChatClient(endpoint, TOOLS, call_timeout_s=self._call_timeout_s) as client:
            return await _Attempt(client, workplace, limits, watch).run(instruction)


class _Attempt:
    """The state of one attempt."""

    def __init__(self, client: ChatClient, workplace: Workplace, limits: AgentLimits, watch: Watch) -> None:
        self._client = client
        self._workplace = workplace
        self._limits = limits
        self._watch = watch
        self._deadline = time.monotonic() + limits.seconds
        self._messages: list[dict[str, Any]] = []
        self._malformed = 0
        """Malformed calls in a row."""
        self._turn = 0

    async def run(self, instruction: str) -> AgentReport:
        self._messages = [
            {"role": "system", "content": SYSTEM_PROMPT},
            {"role": "user", "content": instruction},
        ]
        try:
            while self._turn < self._limits.max_turns:
                reply = await self._client.complete(self._messages, seconds_left=self._seconds_left())
                self._turn += 1
                self._messages.append(reply.message)
                report = await self._act(reply)
                if report is not None:
                    return report
        except EndOfWork as end:
            return AgentReport(end.ending, self._turn, end.detail)
        return AgentReport(Ending.OUT_OF_TURNS, self._turn, f"{self._limits.max_turns} turns are used up")

    async def _act(self, reply: ChatReply) -> AgentReport | None:
        """Do what a reply asks for; a report where that ends the work."""
        why = unreadable(reply.text, cut=reply.cut)
        if not reply.tool_calls:
            self._watch(AgentStep(self._turn, reply.text, "", "", None, why))
            if not why:
                return AgentReport(Ending.FINISHED, self._turn, NO_CALL)
        text = reply.text
        for call in reply.tool_calls:
            report = await self._run_call(call, text, cut=reply.cut)
            if report is not None:
                return report
            text = ""  # told once
        if why and not (reply.cut and reply.tool_calls):
            self._messages.append({"role": "user", "content": why})
            return self._count_malformed(why)
        return None

    async def _run_call(self, call: dict[str, Any], text: str, *, cut: bool) -> AgentReport | None:
        name = str(call["function"]["name"])
        raw = str(call["function"]["arguments"])
        try:
            command = command_of(name, raw, cut=cut)
        except Malformed as malformed:
            why = str(malformed)
            self._watch(AgentStep(self._turn, text, name, raw, None, why))
            self._answer(call, why)
            return self._count_malformed(why)
        self._malformed = 0
        if command is None:
            self._watch(AgentStep(self._turn, text, name, "", None))
            return AgentReport(Ending.FINISHED, self._turn)
        sandbox = self._workplace.sandbox
        timeout_s = min(self._seconds_left(), sandbox.spec.limits.exec_seconds)
        result = await sandbox.exec(command, timeout_s=timeout_s)
        self._watch(AgentStep(self._turn, text, name, command, result))
        self._answer(call, observation(result))
        return None

    def _answer(self, call: dict[str, Any], content: str) -> None:
        self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})

    def _count_malformed(self, why: str) -> AgentReport | None:
        self._malformed += 1
        if self._malformed < self._limits.max_malformed:
            return None
        return AgentReport(Ending.AGENT_FAILED, self._turn, too_many(self._malformed, why))

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise EndOfWork(Ending.TIMED_OUT, f"{self._limits.seconds:g} s are over")
        return left
