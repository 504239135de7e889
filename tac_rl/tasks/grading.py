"""Grade what an attempt left behind: in a sandbox of its own, with an evaluator that agents never see.

Two ways to fail, kept apart: whatever the *workspace* holds, there is a grade; where the *evaluator*
raises, hangs, floods its output or returns nonsense, there is a `GradingError`, never a 0.
"""

import ast
import asyncio
import functools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tac_rl.compiled import with_compiled
from tac_rl.errors import GradingError
from tac_rl.office.process import Lease, Office
from tac_rl.office.verbs import client_files
from tac_rl.sandboxes.base import WORKSPACE, ExecResult, Sandbox, SandboxLimits, SandboxProvider
from tac_rl.tasks.base import Checkpoint, Grade, TaskInstance
from tac_rl.tasks.company import connect, make_spec

UTILS = "/tmp/utils"
"""Where the kit, the evaluator and the job lie in the grading sandbox. (`/utils`, TAC's place, can't be written.)"""

LIMITS = SandboxLimits(disk_mb=256, exec_seconds=30.0)
"""Room for the workspace twice, as an archive and unpacked."""

# Isolated from the environment and without site-packages: an evaluator has the standard library only.
# `tar` refuses names that lead outside, makes such links last, and writes through none.
_COMMAND = (
    f"tar -xf {UTILS}/workspace.tar -C {WORKSPACE} --no-same-owner --no-same-permissions; "
    f"python3 -I -S {UTILS}/start.py"
)


@dataclass(frozen=True)
class _Job:
    """What the grading sandbox is told, and how its answer is recognised."""

    nonce: str
    facts: Mapping[str, Any]
    trajectory: str
    may_run: bool

    def to_literal(self) -> bytes:
        """As a Python literal in ASCII; JSON values all have one."""
        return ascii(
            {
                "nonce": self.nonce,
                "facts": dict(self.facts),
                "trajectory": self.trajectory,
                "may_run": self.may_run,
                "workspace": WORKSPACE,
            }
        ).encode()


class HasEvaluator(Protocol):
    """A package of ours, as far as grading knows it."""

    @property
    def evaluator(self) -> bytes: ...


Rooms = Callable[[], AbstractAsyncContextManager[Sandbox]]
"""Gives an empty sandbox to grade in, for one use."""


async def grade(
    instance: TaskInstance,
    package: HasEvaluator,
    workspace_tar: bytes,
    trajectory: str,
    provider: SandboxProvider,
    *,
    company: tuple[Office | None, Lease | None] = (None, None),
) -> Grade:
    """Grade the workspace in `workspace_tar` (as `Sandbox.export` makes it), in a fresh sandbox.

    `company`: the office, and the lease of the company that the attempt took place in; the evaluator reaches it.

    Raises `GradingError` where the evaluator itself fails, `SandboxError` where the sandbox does.
    """

    @asynccontextmanager
    async def fresh() -> AsyncIterator[Sandbox]:
        office, lease = company
        spec = make_spec(f"grading-{secrets.token_hex(6)}", LIMITS, office if lease else None)
        # What the agent wrote may need its image's programs.
        sandbox = await provider.start(replace(spec, image=instance.image))
        try:
            await connect(lease, sandbox)
            yield sandbox
        finally:
            await asyncio.shield(sandbox.stop())

    return await grade_in(fresh, instance, package, workspace_tar, trajectory)


async def grade_in(
    rooms: Rooms, instance: TaskInstance, package: HasEvaluator, workspace_tar: bytes, trajectory: str
) -> Grade:
    """Grade in a sandbox that `rooms` gives.

    An evaluator may run programs that the agent wrote. Where such a program brings the grading down, the
    workspace is graded once more with those programs yielding nothing: sabotage never pays, and is never
    mistaken for a failure of ours.
    """
    where = f"task {instance.task}, seed {instance.seed}"
    for may_run in (True, False):
        job = _Job(secrets.token_hex(16), instance.facts, trajectory, may_run)
        files = {**_kit(), **with_compiled("evaluator", package.evaluator)}
        if instance.company is not None:
            files.update(client_files())
        files["job"] = job.to_literal()
        files["workspace.tar"] = workspace_tar
        async with rooms() as sandbox:
            await sandbox.put({f"{UTILS}/{name}": data for name, data in files.items()})
            result = await sandbox.exec(_COMMAND)
        if not (may_run and _brought_down_by_programs(result, job.nonce)):
            return parse_result(result, job.nonce, where)
    raise AssertionError("unreachable: the second round returns or raises")


@functools.cache
def _kit() -> Mapping[str, bytes]:
    """The files of `grading_kit/`, by name."""
    files: dict[str, bytes] = {}
    for path in sorted((Path(__file__).parent / "grading_kit").glob("*.py")):
        files.update(with_compiled(path.stem, path.read_bytes()))
    return files


def _brought_down_by_programs(result: ExecResult, nonce: str) -> bool:
    """True where the evaluator ran the agent's programs and did not come to its end."""
    lines = result.output.splitlines()
    ended = result.exit_code == 0 and any(line.startswith(f"{nonce} result ") for line in lines)
    return f"{nonce} runs" in lines and not ended


def parse_result(result: ExecResult, nonce: str, where: str) -> Grade:
    """The grade on the one line that starts with the nonce; `GradingError` for anything else."""
    printed = result.output[-1000:].strip()
    if result.truncated:
        raise GradingError(f"{where}: the evaluator flooded its output; the end of it: {printed[-200:]!r}")
    if result.timed_out:
        raise GradingError(
            f"{where}: the evaluator did not end in {result.seconds:.0f} s; it printed {printed!r}"
        )
    prefix = f"{nonce} result "
    lines = [line.removeprefix(prefix) for line in result.output.splitlines() if line.startswith(prefix)]
    if len(lines) != 1 or result.exit_code != 0:
        raise GradingError(f"{where}: the evaluator failed (exit code {result.exit_code}): {printed!r}")
    try:
        return grade_from_result(ast.literal_eval(lines[0]))
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise GradingError(f"{where}: the evaluator's result is malformed: {error}") from None


def grade_from_result(document: object) -> Grade:
    """TAC's result JSON, strictly: `{"checkpoints": [{"total", "result"}], "final_score": {...}}`.

    Booleans count as 0 and 1, as TAC's evaluators write them. `ValueError` names what is wrong.
    """
    if not isinstance(document, dict) or set(document) != {"checkpoints", "final_score"}:
        raise ValueError("it must have the keys checkpoints and final_score, and no other")
    entries = document["checkpoints"]
    if not isinstance(entries, list) or not entries:
        raise ValueError("checkpoints must be a list that is not empty")
    checkpoints = tuple(Checkpoint(*_points(e, f"checkpoints[{i}]")) for i, e in enumerate(entries))
    total, result = _points(document["final_score"], "final_score")
    if total != sum(checkpoint.total for checkpoint in checkpoints):
        raise ValueError(f"final_score.total is {total}, not the sum of the checkpoints' totals")
    if total == 0:
        raise ValueError("final_score.total is 0, so nothing can be earned")
    return Grade(checkpoints, total, result)


def _points(entry: object, where: str) -> tuple[int, int]:
    if not isinstance(entry, dict) or set(entry) != {"total", "result"}:
        raise ValueError(f"{where} must have the keys total and result, and no other")
    total, result = entry["total"], entry["result"]
    if not isinstance(total, int) or not isinstance(result, int):
        raise ValueError(f"{where}: total and result must be integers, not {total!r} and {result!r}")
    if not 0 <= result <= total:
        raise ValueError(f"{where}: result {result} is not between 0 and the total {total}")
    return int(total), int(result)
