"""The trainer's side of `placement: container`: starts the agent-server in a rollout's sandbox, waits for its end."""

import asyncio
import contextlib
import json
import math
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tac_rl.agents.base import REPEATED_ITSELF, AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.agents.calls import NO_CALL
from tac_rl.agents.openhands.container import door, inside, libraries
from tac_rl.config.agent import AgentSection
from tac_rl.errors import AgentWorkerError, GatewayError
from tac_rl.sandboxes.base import WORKSPACE, Equipment, Mount, Sandbox
from tac_rl.serving.endpoint import Endpoint

SERVER_PORT = 4011
"""Where the agent-server listens on the sandbox's own loopback."""
_PROGRAM = Path(inside.__file__)
_WAIT_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LATE_SECONDS = 30.0


class ContainerAgent:
    """Serves any number of rollouts at once; holds nothing between them."""

    name = "openhands"
    uses_model = True

    def __init__(self, config: AgentSection) -> None:
        """Raises `ConfigError` where the agent-server's libraries are missing."""
        self._config = config
        self._libraries = libraries.find(config.openhands.libraries)

    @property
    def equipment(self) -> Equipment:
        """What a sandbox must have for this agent."""
        return Equipment((Mount(str(self._libraries), libraries.TARGET),), (door.PORT,))

    async def work(
        self,
        instruction: str,
        workplace: Workplace,
        endpoint: Endpoint | None,
        limits: AgentLimits,
        watch: Callable[[AgentStep], None],
    ) -> AgentReport:
        """Work until done or a limit is reached. Raises `InfrastructureError` for failures of ours.

        The attempt's time begins when the agent-server stands.
        """
        if endpoint is None:
            raise GatewayError("agent openhands needs a model endpoint")
        sandbox = workplace.sandbox
        listener = sandbox.listeners.get(door.PORT)
        if listener is None:
            raise AgentWorkerError(
                f"sandbox {sandbox.spec.name} has no port {door.PORT} for an agent-server: start it with the "
                "agent's equipment"
            )
        ours = door.Door(endpoint, limits, watch)
        async with ours.answering(listener, call_timeout_s=self._config.call_timeout_s):
            order = _order(instruction, endpoint.model, limits, self._config.call_timeout_s)
            await sandbox.put({f"{inside.FOLDER}/order.json": json.dumps(order).encode()})
            try:
                started = await _run(sandbox, "start", self._config.openhands.start_seconds)
                if "conversation" not in started and ours.turns == 0:
                    raise AgentWorkerError(f"OpenHands in {sandbox.spec.name}: {_said(started)}")
                report = await _until_over(sandbox, ours, time.monotonic() + limits.seconds, limits)
            finally:
                await _stop(sandbox)
        ours.flush()
        return report


async def _until_over(sandbox: Sandbox, ours: door.Door, deadline: float, limits: AgentLimits) -> AgentReport:
    """Until the conversation has ended inside, the door has seen an end, or time is over."""
    over = asyncio.ensure_future(ours.over.wait())
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return AgentReport(Ending.TIMED_OUT, ours.turns, f"{limits.seconds:g} s are over")
            waiting = asyncio.ensure_future(_run(sandbox, "wait", min(left, _WAIT_SECONDS)))
            try:
                await asyncio.wait({over, waiting}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if ours.failure is not None:
                    raise ours.failure
                if ours.ending is not None:
                    return AgentReport(ours.ending, ours.turns, ours.detail)
                if not waiting.done():
                    continue
                found = waiting.result()
            finally:
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({waiting})
            if found.get("status") != "running":
                return _report(found, ours, limits)
    finally:
        over.cancel()


def _report(found: dict[str, Any], ours: door.Door, limits: AgentLimits) -> AgentReport:
    """The end as the sandbox tells it, which is believed as far as the door saw it too."""
    status = found.get("status")
    if ours.turns == 0:  # The model has not had a word yet, so this is no doing of its.
        raise AgentWorkerError(f"OpenHands ended before its first turn: {_said(found)}")
    if status == "finished":
        return AgentReport(Ending.FINISHED, ours.turns, "" if ours.calls_last else NO_CALL)
    if status == "stuck":
        return AgentReport(Ending.STUCK, ours.turns, REPEATED_ITSELF)
    if status == "error" and ours.turns >= limits.max_turns:
        return AgentReport(Ending.OUT_OF_TURNS, ours.turns, f"{limits.max_turns} turns are used up")
    return AgentReport(Ending.AGENT_FAILED, ours.turns, f"the agent-server: {_said(found)}")


def _said(answer: dict[str, Any]) -> str:
    return str(answer.get("error") or f"{answer.get('status')}: {answer.get('detail')}")


async def _run(sandbox: Sandbox, what: str, seconds: float) -> dict[str, Any]:
    """What the program inside answers; it is read as hostile where the model has had a turn."""
    text = shlex.quote(_PROGRAM.read_text(encoding="utf-8"))
    seconds = math.ceil(seconds * 10) / 10
    command = f"(cd / && exec python3 -IS -c {text} {what} {seconds:g} 2>&1)"
    result = await sandbox.exec(command, timeout_s=seconds + _LATE_SECONDS)
    try:
        answer = json.loads(result.output.strip().rpartition("\n")[2])
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    return {"status": "gone", "detail": result.output.strip()[-300:] or f"exit status {result.exit_code}"}


async def _stop(sandbox: Sandbox) -> None:
    """Kill the server; the sandbox's end or freeze kills what it started."""
    await asyncio.shield(asyncio.ensure_future(_run(sandbox, "stop", _STOP_SECONDS)))


def _order(instruction: str, model: str, limits: AgentLimits, call_timeout_s: float) -> dict[str, Any]:
    return {
        "port": SERVER_PORT,
        "python": libraries.PYTHON,
        "libraries": libraries.TARGET,
        "env": ENVIRONMENT,
        "message": {"role": "user", "content": [{"type": "text", "text": instruction}], "run": True},
        "conversation": {
            "agent": {
                "kind": "Agent",
                "llm": {
                    "model": f"openai/{model}",
                    "base_url": f"http://127.0.0.1:{door.PORT}/v1",
                    "api_key": "held-by-the-trainer",
                    "usage_id": "agent",
                    "timeout": int(call_timeout_s) + 1,
                    "num_retries": 1,  # attempts, not repeats
                    "reasoning_effort": None,
                    "caching_prompt": False,
                    "disable_vision": True,
                    "native_tool_calling": True,
                    "input_cost_per_token": 0.0,
                    "output_cost_per_token": 0.0,
                    # The stock loop takes text for the end of the work, a broken call in it included.
                    "litellm_extra_body": {"unreadable_calls": "calls"},
                },
                "tools": [{"name": "terminal"}, {"name": "file_editor"}],
                "system_prompt_kwargs": {"cli_mode": True},
            },
            "workspace": {"kind": "LocalWorkspace", "working_dir": WORKSPACE},
            "max_iterations": limits.max_turns,
            "autotitle": False,  # It would ask the policy.
        },
    }


ENVIRONMENT = {
    "OH_PERSISTENCE_DIR": f"{inside.FOLDER}/persistence",
    "OH_CONVERSATIONS_PATH": f"{inside.FOLDER}/conversations",
    "OH_BASH_EVENTS_DIR": f"{inside.FOLDER}/bash-events",
    "OH_ENABLE_VSCODE": "false",
    "OH_PRELOAD_TOOLS": "false",
    "OH_ENABLE_BROWSER": "false",
    "OPENHANDS_SUPPRESS_BANNER": "1",
    "LOG_LEVEL": "ERROR",
    # As in `process.py`: no question to the network while it is imported.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "ALLOW_SHORT_CONTEXT_WINDOWS": "true",
    "DO_NOT_TRACK": "1",
    "ANONYMIZED_TELEMETRY": "false",
    "NO_PROXY": "127.0.0.1",
}
"""The server's, and so its terminal's. All that it writes lies outside the workspace."""
