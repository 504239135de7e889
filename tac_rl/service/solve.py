"""One posted task: a workplace for it, the agent at work there, and its steps as they happen."""

import asyncio
import base64
import binascii
import io
import secrets
import tarfile
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tac_rl.agents.base import Agent, AgentLimits, AgentStep, Workplace
from tac_rl.errors import InfrastructureError, TacRlError
from tac_rl.gateway.protocol import ApiError
from tac_rl.gateway.server import Gateway
from tac_rl.rollouts.rollout import Workshop
from tac_rl.serving.base import Sampling
from tac_rl.tasks.base import Company, TaskInstance
from tac_rl.tasks.company import connect, lease_company, make_spec
from tac_rl.tasks.layout import lay_out

_FILES_MAX = 200


class PostedTask(BaseModel):
    """The body of `POST /solve`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instruction: str = Field(min_length=1, max_length=100_000)
    files: dict[str, str] = Field(default_factory=dict, max_length=_FILES_MAX)
    """Path in the workspace -> content as text, or as base64 where it begins with `base64:`."""
    company: str | None = None
    """Snapshot of the company to work in (`company`, `bare`, ...); None: no services."""
    max_turns: int | None = Field(default=None, ge=1)
    """At most as many as the server allows."""
    seconds: float | None = Field(default=None, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    return_files: bool = False
    """Whether the last line holds the files that are in the workspace afterwards, in the form of `files`."""


def parse_task(body: Any) -> PostedTask:
    """The posted task; `ApiError` names the field."""
    try:
        task = PostedTask.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise ApiError.invalid(f"{where}: {first['msg']}", where) from error
    for name in task.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ApiError.invalid(f"files: {name!r} must be a path in the workspace", "files")
    return task


@dataclass(frozen=True)
class Solver:
    """What every posted task shares."""

    workshop: Workshop
    gateway: Gateway
    agent: Agent
    limits: AgentLimits
    version: int
    sampling: Sampling

    async def solve(self, task: PostedTask) -> AsyncGenerator[dict[str, Any], None]:
        """Lines for the client: one a step, then `finished` or `failed`. Closing the iterator ends the work."""
        lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        attempt = _Attempt(self, task, lines)
        working = asyncio.create_task(attempt.run())
        working.add_done_callback(lambda _: lines.put_nowait(None))
        try:
            while (line := await lines.get()) is not None:
                yield line
            await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


@dataclass
class _Attempt:
    solver: Solver
    task: PostedTask
    lines: "asyncio.Queue[dict[str, Any] | None]"
    name: str = field(default_factory=lambda: f"solve-{secrets.token_hex(4)}")

    async def run(self) -> None:
        started = time.monotonic()
        try:
            last = await self._work()
        except TacRlError as error:
            kind = "infrastructure" if isinstance(error, InfrastructureError) else "request"
            last = {"event": "failed", "reason": kind, "detail": str(error)}
        self.lines.put_nowait({**last, "seconds": round(time.monotonic() - started, 3)})

    async def _work(self) -> dict[str, Any]:
        company = Company(self.task.company) if self.task.company else None
        files = {name: _content(name, text) for name, text in self.task.files.items()}
        instance = TaskInstance("posted", 0, self.task.instruction, files, company=company)
        workshop = self.solver.workshop
        lease = await lease_company(instance, workshop.office, self.name)
        try:
            office = workshop.office if lease else None
            sandbox = await workshop.sandboxes.start(
                make_spec(self.name, workshop.sandbox_limits, office, instance).equipped(workshop.equipment)
            )
            try:
                await connect(lease, sandbox)
                await lay_out(instance, sandbox)
                self.lines.put_nowait({"event": "started", "id": self.name})
                last = await self._let_work(Workplace(sandbox))
                if self.task.return_files:
                    await sandbox.freeze()
                    archive = await sandbox.export(max_bytes=workshop.sandbox_limits.disk_mb << 20)
                    last["files"] = _files_of(archive)
                return last
            finally:
                await asyncio.shield(sandbox.stop())
        finally:
            if lease is not None:
                await asyncio.shield(lease.close())

    async def _let_work(self, workplace: Workplace) -> dict[str, Any]:
        solver, task = self.solver, self.task
        limits = replace(
            solver.limits,
            max_turns=min(task.max_turns or solver.limits.max_turns, solver.limits.max_turns),
            seconds=min(task.seconds or solver.limits.seconds, solver.limits.seconds),
        )
        session = await solver.gateway.open(
            self.name,
            version=solver.version,
            sampling=replace(solver.sampling, temperature=task.temperature),
            context_limit=solver.workshop.context_limit,
        )
        try:
            report = await solver.agent.work(
                task.instruction, workplace, session.endpoint, limits, self._tell
            )
        finally:
            recording = await solver.gateway.close(session)
        if recording.infrastructure_error:
            raise InfrastructureError(recording.infrastructure_error)
        return {
            "event": "finished",
            "ending": report.ending.value,
            "turns": report.turns,
            "detail": report.detail,
        }

    def _tell(self, step: AgentStep) -> None:
        line: dict[str, Any] = {"event": "step", "turn": step.turn, "text": step.text, "tool": step.tool}
        line["arguments"] = step.arguments
        if step.result is not None:
            line |= {"output": step.result.output, "exit_code": step.result.exit_code}
        if step.error:
            line["error"] = step.error
        self.lines.put_nowait(line)


def _content(name: str, text: str) -> bytes:
    if not text.startswith("base64:"):
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text.removeprefix("base64:"), validate=True)
    except binascii.Error as error:
        raise TacRlError(f"files: {name}: not base64: {error}") from error


def _files_of(archive: bytes) -> Mapping[str, str]:
    """The regular files of an exported workspace, as `PostedTask.files` has them."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                continue
            content = stream.read()
            try:
                text = content.decode()
            except UnicodeDecodeError:
                text = f"base64:{base64.b64encode(content).decode()}"
            files[member.name.removeprefix("./")] = text
    return files
