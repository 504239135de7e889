"""The OpenAI Agents SDK (PyPI: openai-agents) as an agent: its runner, its messages, its way of calling tools.

The SDK keeps the history, asks the endpoint, and calls two tools, the built-in agent's `bash` and `finish`. What it
is told and told not to do is all here: tools one after another, tracing off, unknown tools answered. A reply that
its endpoint could not read as a call would end its run; then the history goes on with what was wrong, as it does
for the built-in agent. This module imports the SDK when an agent is made, not before.
"""

import asyncio
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tac_rl.agents.base import ENDINGS_BY_CODE, AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.agents.calls import NO_CALL, Malformed, command_of, too_many, unreadable
from tac_rl.agents.chat_client import EndOfWork
from tac_rl.agents.prompt import SYSTEM_PROMPT, TOOLS, observation
from tac_rl.errors import ConfigError, GatewayError, InfrastructureError
from tac_rl.sandboxes.base import ExecResult
from tac_rl.serving.endpoint import Endpoint

Watch = Callable[[AgentStep], None]


class OpenAIAgentsAgent:
    """Serves any number of rollouts at once. Raises `ConfigError` where the SDK is not installed."""

    name = "openai-agents"
    uses_model = True

    def __init__(self, *, call_timeout_s: float = 330.0) -> None:
        """`call_timeout_s`: longest wait for one model call, in seconds."""
        self._sdk = import_sdk()
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
            raise GatewayError(f"agent {self.name} needs a model endpoint")
        return await _Attempt(self._sdk, workplace, limits, watch).run(
            instruction, endpoint, self._call_timeout_s
        )


def import_sdk() -> ModuleType:
    """The SDK, whose top-level module is called `agents`.

    `python tac_rl/train.py` puts the folder tac_rl/ first on `sys.path`, where that name is ours: not while we look.
    """
    ours = Path(__file__).resolve().parents[1]
    path = list(sys.path)
    sys.path[:] = [entry for entry in path if Path(entry or ".").resolve() != ours]
    try:
        sdk = importlib.import_module("agents")
        sdk.OpenAIChatCompletionsModel  # noqa: B018  # another package has the same name
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            "agent.name: openai-agents needs the OpenAI Agents SDK, which is not installed here: "
            f"pip install 'tac-rl[openai-agents]' ({error})"
        ) from error
    finally:
        sys.path[:] = path
    return sdk


class _Attempt:
    """The state of one attempt."""

    def __init__(self, sdk: ModuleType, workplace: Workplace, limits: AgentLimits, watch: Watch) -> None:
        self._sdk = sdk
        self._workplace = workplace
        self._limits = limits
        self._watch = watch
        self._deadline = time.monotonic() + limits.seconds
        self._clock: asyncio.Timeout | None = None
        self._turn = 0
        self._text = ""
        """What the last reply said besides calls, until it is told."""
        self._cut = False
        """Whether the last reply ran into the token limit."""
        self._malformed = 0
        """Malformed calls in a row."""
        self._finished = False
        self._cause: InfrastructureError | EndOfWork | None = None
        """Why the run has to end; what is raised within the SDK may come out wrapped."""

    async def run(self, instruction: str, endpoint: Endpoint, call_timeout_s: float) -> AgentReport:
        import openai  # comes with the SDK

        hooks = {"response": [self._note_finish_reason]}
        async with openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,
            timeout=call_timeout_s,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks=hooks),
        ) as client:
            model = self._sdk.OpenAIChatCompletionsModel(model=endpoint.model, openai_client=client)
            agent = self._sdk.Agent(
                name="worker",
                instructions=SYSTEM_PROMPT,
                tools=[self._tool(**tool["function"]) for tool in TOOLS],
                tool_use_behavior=self._after_tools,
                model=model,
            )
            try:
                return await self._converse(agent, instruction)
            except EndOfWork as end:
                return AgentReport(end.ending, self._turn, end.detail)
            except openai.APIStatusError as error:
                ending = ENDINGS_BY_CODE.get(str(error.code))
                if ending is not None:
                    return AgentReport(ending, self._turn, error.message)
                raise GatewayError(
                    f"{endpoint.base_url} answered {error.status_code}: {error.message}"
                ) from error
            except (openai.OpenAIError, ValueError) as error:  # no connection, no JSON
                raise GatewayError(f"{endpoint.base_url}: {type(error).__name__}: {error}") from error

    async def _converse(self, agent: Any, instruction: str) -> AgentReport:
        """Runs of the SDK; the next goes on where a reply that ended the last was a call that can't be read."""
        history: Any = instruction
        while self._turn < self._limits.max_turns:
            result = await self._run_until_text(agent, history)
            if result is None:
                break
            if self._finished:
                return AgentReport(Ending.FINISHED, self._turn)
            why = unreadable(self._text, cut=self._cut)
            self._tell("", "", None, why)
            if not why:
                return AgentReport(Ending.FINISHED, self._turn, NO_CALL)
            self._count_malformed(why)
            history = [*result.to_input_list(), {"role": "user", "content": why}]
        return AgentReport(Ending.OUT_OF_TURNS, self._turn, f"{self._limits.max_turns} turns are used up")

    async def _run_until_text(self, agent: Any, history: Any) -> Any:
        """One run of the SDK: its result, None where turns have run out."""
        try:
            async with asyncio.timeout(self._seconds_left()) as self._clock:
                return await self._sdk.Runner.run(
                    agent,
                    history,
                    max_turns=self._limits.max_turns - self._turn,
                    hooks=self._hooks(),
                    run_config=self._sdk.RunConfig(
                        tracing_disabled=True,  # The SDK sends traces to OpenAI else.
                        tool_execution=self._sdk.ToolExecutionConfig(max_function_tool_concurrency=1),
                        tool_not_found_behavior="return_error_to_model",
                        tool_error_formatter=self._unknown_tool,
                    ),
                )
        except self._sdk.MaxTurnsExceeded:
            return None
        except TimeoutError as error:
            raise EndOfWork(Ending.TIMED_OUT, "the time was over during a model call") from error
        except EndOfWork:
            raise
        except Exception as error:
            if self._cause is not None:
                raise self._cause from error
            if isinstance(error, self._sdk.ModelBehaviorError | self._sdk.ModelRefusalError):
                raise EndOfWork(Ending.AGENT_FAILED, f"{type(error).__name__}: {error}") from error
            if isinstance(error, self._sdk.AgentsException):
                raise InfrastructureError(f"agent openai-agents: {type(error).__name__}: {error}") from error
            raise

    def _hooks(self) -> Any:
        attempt = self

        class Hooks(self._sdk.RunHooks):  # type: ignore[name-defined]
            async def on_llm_start(self, *_: Any) -> None:
                if attempt._cause is not None:
                    raise attempt._cause

            async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
                attempt._turn += 1
                messages = [item for item in response.output if item.type == "message"]
                attempt._text = "".join(
                    part.text for item in messages for part in item.content if part.type == "output_text"
                )

        return Hooks()

    async def _note_finish_reason(self, response: Any) -> None:
        """The SDK doesn't tell whether a reply was cut; the HTTP response does."""
        await response.aread()
        try:
            self._cut = response.json()["choices"][0]["finish_reason"] == "length"
        except (ValueError, KeyError, IndexError, TypeError):
            self._cut = False  # Not a completion: the SDK says what it is.

    def _tool(self, name: str, description: str, parameters: dict[str, Any]) -> Any:
        async def invoke(context: Any, raw: str) -> str:
            try:
                return await self._call(name, raw)
            except (InfrastructureError, EndOfWork) as cause:
                self._cause = cause
                raise

        return self._sdk.FunctionTool(
            name=name,
            description=description,
            params_json_schema=dict(parameters),
            on_invoke_tool=invoke,
            strict_json_schema=False,  # `command_of` checks, and says what is wrong.
        )

    def _after_tools(self, context: Any, results: Any) -> Any:
        return self._sdk.ToolsToFinalOutputResult(is_final_output=self._finished, final_output="")

    async def _call(self, name: str, raw: str) -> str:
        """Do what a call asks for; what is answered to it."""
        if self._finished:
            return ""
        try:
            command = command_of(name, raw, cut=self._cut)
        except Malformed as malformed:
            self._tell(name, raw, None, str(malformed))
            self._count_malformed(str(malformed))
            return str(malformed)
        self._malformed = 0
        if command is None:
            self._finished = True
            self._tell(name, "", None)
            return ""
        assert self._clock is not None
        sandbox = self._workplace.sandbox
        timeout_s = min(self._seconds_left(), sandbox.spec.limits.exec_seconds)
        self._clock.reschedule(None)  # The command has a limit of its own, and its output is told.
        result = await sandbox.exec(command, timeout_s=timeout_s)
        self._tell(name, command, result)
        self._clock.reschedule(asyncio.get_running_loop().time() + self._seconds_left())
        return observation(result)

    def _unknown_tool(self, failed: Any) -> str | None:
        """What is answered to the call of a tool that there isn't; None for the SDK's own words."""
        if failed.kind != "tool_not_found":
            return None
        try:
            command_of(failed.tool_name, "{}", cut=self._cut)
        except Malformed as malformed:
            self._tell(failed.tool_name, "", None, str(malformed))
            try:
                self._count_malformed(str(malformed))
            except EndOfWork as cause:
                self._cause = cause
            return str(malformed)
        return None

    def _tell(self, tool: str, arguments: str, result: ExecResult | None, error: str = "") -> None:
        text, self._text = self._text, ""
        self._watch(AgentStep(self._turn, text, tool, arguments, result, error))

    def _count_malformed(self, why: str) -> None:
        self._malformed += 1
        if self._malformed >= self._limits.max_malformed:
            raise EndOfWork(Ending.AGENT_FAILED, too_many(self._malformed, why))

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise EndOfWork(Ending.TIMED_OUT, f"{self._limits.seconds:g} s are over")
        return left
