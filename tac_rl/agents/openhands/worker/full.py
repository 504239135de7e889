"""The full profile: OpenHands' stock prompt, terminal, file editor, think and finish, acting in the sandbox, and the
browser tools where the sandbox has a browser.

Schemas and descriptions are the SDK's own; the executors are ours (`full_tools.py`, `browser_tools.py`). The loop is
the SDK's too, with one repair: answers to malformed calls wait until the whole reply is in the history, or a reply
with several calls would come back in pieces, as another history.
"""

import inspect
from pathlib import Path
from typing import Any

from openhands.sdk import Agent, Message
from openhands.sdk.conversation.state import ConversationExecutionStatus
from openhands.sdk.event import AgentErrorEvent, ObservationEvent
from openhands.sdk.llm import LLMResponse
from openhands.sdk.tool import Tool
from pydantic import PrivateAttr

from tac_rl.agents.base import Ending
from tac_rl.agents.calls import NO_CALL
from tac_rl.agents.openhands.worker.attempt import Attempt, text_of
from tac_rl.agents.openhands.worker.browser import Browser
from tac_rl.agents.openhands.worker.browser_tools import BROWSER
from tac_rl.agents.openhands.worker.full_tools import FILE_EDITOR, TERMINAL

_PROMPTS = str(Path(inspect.getfile(Agent)).parent / "prompts")


class FullAgent(Agent):
    """OpenHands' agent, counting turns and malformed calls."""

    _attempt: Attempt = PrivateAttr()
    _browser: Browser | None = PrivateAttr(default=None)
    _late: list[AgentErrorEvent] = PrivateAttr(default_factory=list)
    """Answers to malformed calls of the reply at hand."""

    @property
    def attempt(self) -> Attempt:
        return self._attempt

    @property
    def browser(self) -> Browser:
        """For the browser tools, which only an agent with one has."""
        assert self._browser is not None
        return self._browser

    @property
    def prompt_dir(self) -> str:
        """Where the SDK's own prompts are: it looks beside the class's module."""
        return _PROMPTS

    @classmethod
    def made(cls, llm: Any, attempt: Attempt, browser: Browser | None) -> "FullAgent":
        names = [TERMINAL, FILE_EDITOR, *([BROWSER] if browser else [])]
        agent = cls(
            llm=llm,
            tools=[Tool(name=name) for name in names],
            system_prompt_kwargs={"cli_mode": True},
        )
        agent._attempt, agent._browser = attempt, browser
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
        self._attempt.reply(text_of(message))
        self._late = []

        def hold(event: Any) -> None:
            if isinstance(event, AgentErrorEvent):
                self._late.append(event)
            else:
                on_event(event)

        super()._handle_tool_calls(message, llm_response, conversation, state, hold, stream)
        self._answer_malformed(on_event)
        if state.execution_status is ConversationExecutionStatus.FINISHED:
            self._attempt.tell(tool="finish")
            self._attempt.ending = Ending.FINISHED

    def _execute_actions(self, conversation: Any, action_events: Any, on_event: Any) -> None:
        def note(event: Any) -> None:
            if isinstance(event, ObservationEvent):
                self._attempt.ran()
            on_event(event)

        super()._execute_actions(conversation, action_events, note)

    def _answer_malformed(self, on_event: Any) -> None:
        late, self._late = self._late, []
        for event in late:
            on_event(event)
        for event in late:
            self._attempt.tell(tool=event.tool_name, error=event.error)
            self._attempt.malformed(event.error)

    def _handle_content_response(
        self,
        message: Message,
        llm_response: LLMResponse,
        conversation: Any,
        state: Any,
        *rest: Any,
        **options: Any,
    ) -> None:
        self._attempt.reply(text_of(message))
        super()._handle_content_response(message, llm_response, conversation, state, *rest, **options)
        self._attempt.tell()
        self._attempt.ending, self._attempt.detail = Ending.FINISHED, NO_CALL

    def _handle_no_content_response(self, message: Message, *rest: Any, **options: Any) -> None:
        self._attempt.reply(text_of(message))
        super()._handle_no_content_response(message, *rest, **options)
        self._attempt.tell(error="the reply is empty")
        self._attempt.malformed("the reply is empty")
