"""Make one OpenHands conversation from the trainer's order, run it, and say how it ended."""

import contextlib
import importlib.metadata
import logging
import socket
import tempfile
import threading
import traceback
from typing import Any

from openhands.sdk import LocalConversation
from openhands.sdk.conversation.exceptions import ConversationRunError
from openhands.sdk.conversation.state import ConversationExecutionStatus
from pydantic import SecretStr

from tac_rl.agents.base import REPEATED_ITSELF, Ending
from tac_rl.agents.openhands import wire
from tac_rl.agents.openhands.worker.attempt import Attempt, Over, Stop
from tac_rl.agents.openhands.worker.browser import Browser
from tac_rl.agents.openhands.worker.compact import CompactAgent
from tac_rl.agents.openhands.worker.endpoint import EndpointError, EndpointLLM
from tac_rl.agents.openhands.worker.full import FullAgent

logging.disable(logging.WARNING)  # A policy in training does everything that the SDK warns of.


def versions() -> dict[str, str]:
    """What the environment holds, for messages."""
    return {name: importlib.metadata.version(name) for name in ("openhands-sdk", "openhands-tools")}


def run(stream: socket.socket, listener: socket.socket | None) -> None:
    """Serve one conversation from its first frame to its last. Never raises.

    `listener`: where the sandbox's browser connects, where there is one.
    """
    with stream, listener or contextlib.nullcontext():
        order = wire.receive(stream)
        if order is None:
            return
        attempt = Attempt(stream, order)
        browser = Browser(attempt, order["browser"], listener) if listener is not None else None
        try:
            with tempfile.TemporaryDirectory(prefix="conversation-", ignore_cleanup_errors=True) as folder:
                attempt.end(_work(attempt, browser, order, folder))
        except Over:
            pass
        except Exception as error:
            traceback.print_exc()
            attempt.end({"failed": f"{type(error).__name__}: {error}"})
        finally:
            if browser is not None:
                browser.drop()


def _work(attempt: Attempt, browser: Browser | None, order: dict[str, Any], folder: str) -> dict[str, Any]:
    """The last frame; raises `Over`."""
    full = order["profile"] == "full"
    llm = EndpointLLM(
        model=f"openai/{order['model']}",
        base_url=order["base_url"],
        api_key=SecretStr(order["api_key"]),
        usage_id="agent",
        timeout=int(order["call_timeout_s"]) + 1,
        num_retries=1,  # attempts, not repeats: the gateway is on this machine
        reasoning_effort=None,
        caching_prompt=False,
        disable_vision=True,
        native_tool_calling=True,
        input_cost_per_token=0.0,
        output_cost_per_token=0.0,
        # The stock loop takes text for the end of the work, a broken call in it included.
        splits_thinking=full,
        litellm_extra_body={"unreadable_calls": "calls"} if full else {},
    )
    agent = FullAgent.made(llm, attempt, browser) if full else CompactAgent.made(llm, attempt)
    conversation = LocalConversation(
        agent,
        folder,
        visualizer=None,
        stuck_detection=full,  # the built-in agent has none
        max_iteration_per_run=int(order["max_turns"]),
    )
    try:
        conversation.send_message(order["instruction"])
        conversation.run()
    except Exception as error:
        return _ending_of(error)
    finally:
        llm.close()
        with contextlib.suppress(Exception):
            conversation.close()
    if attempt.ending is not None:
        return {"ending": attempt.ending, "detail": attempt.detail}
    if conversation.state.execution_status is ConversationExecutionStatus.STUCK:
        return {"ending": Ending.STUCK, "detail": REPEATED_ITSELF}
    if conversation.state.execution_status is ConversationExecutionStatus.ERROR:
        return {"ending": Ending.OUT_OF_TURNS, "detail": f"{order['max_turns']} turns are used up"}
    return {"failed": f"the conversation stopped as {conversation.state.execution_status.value}"}


def _ending_of(error: BaseException) -> dict[str, Any]:
    """What an exception out of the SDK's loop means; raises `Over` where it is that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Over):
            raise Over
        if isinstance(cause, Stop):
            return {"ending": cause.ending, "detail": cause.detail}
        if isinstance(cause, EndpointError):
            if cause.ending is not None:
                return {"ending": cause.ending, "detail": str(cause)}
            return {"failed": str(cause), "kind": "gateway"}
        cause = cause.original_exception if isinstance(cause, ConversationRunError) else cause.__cause__
    traceback.print_exception(error)
    return {"failed": f"{type(error).__name__}: {error}"}


threading.excepthook = lambda arguments: traceback.print_exception(arguments.exc_value)
