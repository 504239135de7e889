"""The compact profile: OpenHands' loop, events and history, with the words of the built-in agent.

A small policy is trained on one system sentence, two tools and a handful of error messages
(`agents/prompt.py`, `agents/calls.py`). So that it sees the same tokens from both agents, the tools' schemas
are those, without the `summary` and `security_risk` that the SDK adds, and replies are read by the same rules:
a reply cut at the token limit or with a broken call is told so, plain text ends the work, calls run in order
up to `finish`.
"""

import copy
from collections.abc import Sequence
from typing import Any, Self

from openhands.sdk import Agent, Message, TextContent
from openhands.sdk.conversation.state import ConversationExecutionStatus
from openhands.sdk.event import ActionEvent, AgentErrorEvent, MessageEvent, ObservationEvent
from openhands.sdk.event.error_classification import AGENT_OUTCOME
from openhands.sdk.llm import LLMResponse, MessageToolCall
from openhands.sdk.tool import (
    Action,
    Observation,
    Tool,
    ToolAnnotations,
    ToolDefinition,
    ToolExecutor,
    register_tool,
)
from pydantic import PrivateAttr

from tac_rl.agents.base import Ending
from tac_rl.agents.calls import NO_CALL, Malformed, command_of, unreadable
from tac_rl.agents.openhands.worker.attempt import Attempt, text_of
from tac_rl.agents.prompt import SYSTEM_PROMPT, TOOLS

TOOL_SPECS = [Tool(name=tool["function"]["name"]) for tool in TOOLS]
_SCHEMAS = {tool["function"]["name"]: tool for tool in TOOLS}


class CommandAction(Action):
    """A shell command."""

    command: str


class DoneAction(Action):
    """The work is done."""


class Output(Observation):
    """What the model reads of a command."""


class _RunCommand(ToolExecutor[CommandAction, Output]):
    def __call__(self, action: CommandAction, conversation: Any = None) -> Output:
        answer = conversation.agent.attempt.ask("exec", command=action.command)
        return Output(content=[TextContent(text=answer["observation"])])


class _Finish(ToolExecutor[DoneAction, Output]):
    def __call__(self, action: DoneAction, conversation: Any = None) -> Output:
        return Output()


class _PlainTool(ToolDefinition[Any, Output]):
    """A tool whose schema reaches the model as it is written in `prompt.py`."""

    def to_openai_tool(self, add_security_risk_prediction: bool = False, action_type: Any = None) -> Any:
        return copy.deepcopy(_SCHEMAS[self.name])


class BashTool(_PlainTool):
    name = "bash"

    @classmethod
    def create(cls, conv_state: Any = None, **params: Any) -> Sequence[Self]:
        return [_made(cls, CommandAction, _RunCommand())]


class FinishedTool(_PlainTool):
    name = "finish"

    @classmethod
    def create(cls, conv_state: Any = None, **params: Any) -> Sequence[Self]:
        return [_made(cls, DoneAction, _Finish())]


def _made(tool: Any, action_type: type[Action], executor: Any) -> Any:
    return tool(
        description=_SCHEMAS[tool.name]["function"]["description"],
        action_type=action_type,
        observation_type=Output,
        annotations=ToolAnnotations(title=tool.name),
        executor=executor,
    )


register_tool("bash", BashTool)
register_tool("finish", FinishedTool)


class CompactAgent(Agent):
    """OpenHands' agent with the built-in agent's reading of replies."""

    _attempt: Attempt = PrivateAttr()

    @property
    def attempt(self) -> Attempt:
        return self._attempt

    @classmethod
    def made(cls, llm: Any, attempt: Attempt) -> "CompactAgent":
        agent = cls(llm=llm, tools=TOOL_SPECS, include_default_tools=[], system_prompt=SYSTEM_PROMPT)
        agent._attempt = attempt
        return agent

    def _handle_tool_calls(
        self,
        message: Message,
        llm_response: LLMResponse,
        conversation: Any,
        state: Any,
        on_event: Any,
        stream: Any = None,
    ) -> None:
        cut = _was_cut(llm_response)
        text = text_of(message)
        self._attempt.reply(text)
        read = [_read(call, cut) for call in message.tool_calls or ()]
        # The whole reply goes into the history before any answer, or it would come back in pieces.
        events = []
        for number, (call, (action, _)) in enumerate(zip(message.tool_calls or (), read, strict=True)):
            events.append(
                ActionEvent(
                    source="agent",
                    thought=[c for c in message.content if isinstance(c, TextContent)] if number == 0 else [],
                    reasoning_content=message.reasoning_content if number == 0 else None,
                    action=action,
                    tool_name=call.name,
                    tool_call_id=call.id,
                    tool_call=call,
                    llm_response_id=llm_response.id,
                )
            )
            on_event(events[-1])
        for event, (action, why) in zip(events, read, strict=True):
            if action is None:
                self._refuse(event, why, on_event)
                continue
            self._attempt.ran()
            if isinstance(action, DoneAction):
                self._attempt.tell(tool="finish")
                self._finish(state, "")
                return
            for result in self._execute_action_event(conversation, event):
                assert isinstance(result, ObservationEvent)
                on_event(result)
        if not cut and (why := unreadable(text, cut=False)):
            self._correct(why, on_event)

    def _handle_content_response(
        self,
        message: Message,
        llm_response: LLMResponse,
        conversation: Any,
        state: Any,
        on_event: Any,
        stream: Any = None,
        *,
        mask_secrets: bool = True,
    ) -> None:
        text = text_of(message)
        self._attempt.reply(text)
        self._emit_message_event(message, llm_response, conversation, on_event, mask_secrets=mask_secrets)
        why = unreadable(text, cut=_was_cut(llm_response))
        self._attempt.tell(error=why)
        if why:
            self._correct(why, on_event)
        else:
            self._finish(state, NO_CALL)

    def _handle_no_content_response(self, *arguments: Any, response_type: Any, **options: Any) -> None:
        self._handle_content_response(*arguments, **options)

    def _refuse(self, event: ActionEvent, why: str, on_event: Any) -> None:
        """Answer a call that can't be run."""
        self._attempt.tell(tool=event.tool_name, arguments=event.tool_call.arguments, error=why)
        on_event(
            AgentErrorEvent(
                error=why,
                tool_name=event.tool_name,
                tool_call_id=event.tool_call_id,
                classification=AGENT_OUTCOME,
            )
        )
        self._attempt.malformed(why)

    def _correct(self, why: str, on_event: Any) -> None:
        """Say what is wrong with a reply that has no call to answer."""
        on_event(
            MessageEvent(
                source="environment", llm_message=Message(role="user", content=[TextContent(text=why)])
            )
        )
        self._attempt.malformed(why)

    def _finish(self, state: Any, detail: str) -> None:
        self._attempt.ending, self._attempt.detail = Ending.FINISHED, detail
        state.execution_status = ConversationExecutionStatus.FINISHED


def _read(call: MessageToolCall, cut: bool) -> tuple[Action | None, str]:
    """The action of a call, or None and what is wrong with it."""
    try:
        command = command_of(call.name, call.arguments, cut=cut)
    except Malformed as malformed:
        return None, str(malformed)
    return (DoneAction() if command is None else CommandAction(command=command)), ""


def _was_cut(response: LLMResponse) -> bool:
    choice: Any = response.raw_response["choices"][0]
    return bool(choice["finish_reason"] == "length")
