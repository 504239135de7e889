"""The trainer's side of an OpenHands conversation: hands it to a worker, and runs its tools in the sandbox."""

import asyncio
import base64
import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tac_rl.agents.base import AgentLimits, AgentReport, AgentStep, Ending, Workplace
from tac_rl.agents.openhands import browser as browsers
from tac_rl.agents.openhands.environment import find_python
from tac_rl.agents.openhands.process import Conversation, WorkerProcess
from tac_rl.agents.prompt import observation
from tac_rl.config.agent import AgentSection
from tac_rl.errors import AgentWorkerError, GatewayError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import ExecResult, Sandbox
from tac_rl.serving.endpoint import Endpoint

Watch = Callable[[AgentStep], None]


class OpenHandsAgent:
    """Serves any number of rollouts at once. `start` before `work` (or the first rollout waits), `stop` at the end."""

    name = "openhands"
    uses_model = True

    def __init__(
        self, config: AgentSection, *, log: Path | None = None, runtime_dir: Path | None = None
    ) -> None:
        """`log`: for the workers' messages; `runtime_dir`: as in the section `sandbox`.

        Raises `ConfigError` where OpenHands' environment is missing.
        """
        self._config = config
        self._python = find_python(config.openhands.python)
        self._log = log
        self._folder = runtime.runtime_base(runtime_dir) / runtime.identity(os.getpid()) / "openhands"
        self._workers: list[WorkerProcess | None] = [None] * config.openhands.workers
        self._starting = [asyncio.Lock() for _ in self._workers]
        self._driving = [0] * len(self._workers)
        """Conversations by worker."""

    async def start(self) -> None:
        """Start the workers; `AgentWorkerError` where one is not ready in time."""
        async with asyncio.TaskGroup() as group:
            for number in range(len(self._workers)):
                group.create_task(self._worker(number))

    async def stop(self) -> None:
        """End the workers and remove their folders. Safe to call twice."""
        for number, lock in enumerate(self._starting):
            async with lock:
                if (worker := self._workers[number]) is not None:
                    self._workers[number] = None
                    await worker.stop()
        for folder in (self._folder, self._folder.parent):
            with contextlib.suppress(OSError):  # Sandboxes of this process still use it.
                folder.rmdir()

    @property
    def pids(self) -> list[int]:
        """The running workers'."""
        return [worker.pid for worker in self._workers if worker is not None and worker.pid is not None]

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
            raise GatewayError("agent openhands needs a model endpoint")
        browser = await browsers.find(workplace.sandbox, self._config)
        number = min(range(len(self._workers)), key=self._driving.__getitem__)
        self._driving[number] += 1
        try:
            worker = await self._worker(number)
            # From here: a worker that has to be started anew is no time of the model's.
            deadline = time.monotonic() + limits.seconds
            conversation = await worker.converse(
                {
                    "profile": self._config.openhands.profile,
                    "instruction": instruction,
                    "base_url": endpoint.base_url,
                    "api_key": endpoint.api_key,
                    "model": endpoint.model,
                    "max_turns": limits.max_turns,
                    "max_malformed": limits.max_malformed,
                    "call_timeout_s": self._config.call_timeout_s,
                    "browser": browser.program if browser else None,
                },
                browser.listener if browser else None,
            )
            try:
                return await _Serving(conversation, workplace.sandbox, limits, deadline, watch).run()
            finally:
                conversation.close()
        finally:
            self._driving[number] -= 1

    async def _worker(self, number: int) -> WorkerProcess:
        """The worker of this number, started anew where it is dead."""
        async with self._starting[number]:
            worker = self._workers[number]
            if worker is None or worker.dead:
                if worker is not None:
                    await worker.stop()
                worker = WorkerProcess(self._python, self._folder, self._log)
                self._workers[number] = None
                await worker.start(self._config.openhands.start_seconds)
                self._workers[number] = worker
            return worker


class _Serving:
    """Does what one conversation asks for, until it ends or its time is over."""

    def __init__(
        self, conversation: Conversation, sandbox: Sandbox, limits: AgentLimits, deadline: float, watch: Watch
    ) -> None:
        self._conversation = conversation
        self._sandbox = sandbox
        self._limits = limits
        self._deadline = deadline
        self._watch = watch
        self._turns = 0

    async def run(self) -> AgentReport:
        try:
            while True:
                async with asyncio.timeout(self._seconds_left()):
                    frame = await self._conversation.receive()
                self._turns = frame.get("turn", self._turns)
                match frame["op"]:
                    case "exec":
                        await self._exec(frame)
                    case "get":
                        await self._get(frame)
                    case "step":
                        self._watch(_step(frame, frame["tool"], frame["arguments"]))
                    case "end":
                        return _report(frame)
                    case other:
                        raise AgentWorkerError(f"the OpenHands worker asked for {other!r}")
        except TimeoutError:
            return AgentReport(Ending.TIMED_OUT, self._turns, f"{self._limits.seconds:g} s are over")

    async def _exec(self, frame: dict[str, Any]) -> None:
        """Run a command; a quiet one is OpenHands' own affair and no step of the model."""
        command = frame["command"]
        timeout_s = min(
            self._seconds_left(), self._sandbox.spec.limits.exec_seconds, frame.get("seconds") or math.inf
        )
        result = await self._sandbox.exec(command, timeout_s=timeout_s)
        if not frame.get("quiet"):
            step = _step(frame, frame.get("tool", "bash"), command)
            self._watch(AgentStep(step.turn, step.text, step.tool, step.arguments, result))
        self._conversation.send(
            {
                "observation": observation(result),
                "output": result.output,
                "exit_code": result.exit_code,
                "timed_out": result.timed_out,
            }
        )

    async def _get(self, frame: dict[str, Any]) -> None:
        try:
            data = await self._sandbox.get(frame["path"], max_bytes=frame["max_bytes"])
        except FileNotFoundError:
            self._conversation.send({"missing": frame["path"]})
        else:
            self._conversation.send({"data": base64.b64encode(data).decode()})

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _step(frame: dict[str, Any], tool: str, arguments: str) -> AgentStep:
    result = None
    if (told := frame.get("result")) is not None:
        result = ExecResult(told["output"], int(told["failed"]), False, False, told["seconds"])
    return AgentStep(frame["turn"], frame["text"], tool, arguments, result, frame.get("error", ""))


def _report(frame: dict[str, Any]) -> AgentReport:
    if "failed" in frame:
        if frame.get("kind") == "gateway":
            raise GatewayError(frame["failed"])
        raise AgentWorkerError(f"OpenHands failed: {frame['failed']}")
    return AgentReport(Ending(frame["ending"]), frame["turns"], frame["detail"])
