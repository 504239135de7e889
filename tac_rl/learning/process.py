"""`ProcessLearner`: the learner in a process of its own, behind the `Learner` contract.

The loop stays responsive while a step computes, the seconds of importing PEFT are paid once a run, and
whatever happens to the process ends in one clear `LearnerError` with the tail of its log. The process ends
when its parent does, also when that is killed.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import tac_rl
from tac_rl.config.learner import LearnerSection
from tac_rl.errors import AdapterError, LearnerError
from tac_rl.learning.base import Group, StepResult
from tac_rl.learning.rows import write_groups
from tac_rl.learning.stages import Stage
from tac_rl.memory_plan.placement import Placement
from tac_rl.serving.hardware import gpu_environment

ANSWER_BYTES = 1 << 20
"""Longest answer; answers are a few hundred bytes."""
STOP_SECONDS = 5.0
LOG_TAIL_BYTES = 4000
KERNELS_KEPT = "160"
"""Enough for the shapes of one micro-batch, which return in every layer."""
LARGE_MODEL_BYTES = 128 << 20
MAPPED_BYTES = str(1 << 20)
ERRORS: Mapping[str, type[Exception]] = {"AdapterError": AdapterError}


class ProcessLearner:
    """Starts, feeds and stops the learner's process."""

    module = "tac_rl.learning.worker"
    """What the process runs."""
    stop_seconds = STOP_SECONDS

    def __init__(
        self,
        settings: LearnerSection,
        *,
        model_path: Path,
        scratch: Path,
        log: Path,
        iterations: int,
        seed: int,
        temperature: float = 1.0,
        stages: Sequence[Stage] = (),
        longest_row: int = 0,
        placement: Placement | None = None,
        cores: Collection[int] = (),
    ) -> None:
        """`scratch`: a folder of this learner's own for rows on their way; `log`: where the process's
        standard error is appended; `iterations`: of the whole run (for the learning rate's schedule);
        `temperature`: the engine's sampling temperature; `stages`: of the run, where it has several;
        `longest_row`: the context, in tokens; `placement`: its GPU, and whether it takes turns on it with the engine;
        None: what `settings` say, and none; `cores`: of the processor, that it is to compute on; none: as this
        process."""
        self.settings = settings
        self.model_path = model_path
        self.scratch = scratch
        self.log = log
        self._gpus = [] if placement is None or placement.learner is None else [placement.learner]
        # The process sees only its own of several GPUs, as the first.
        numbered = self._gpus and settings.device.startswith("cuda:")
        device = {"device": "cuda"} if numbered else {}
        self.plan: dict[str, Any] = {
            "model_path": str(model_path.resolve()),
            "settings": settings.model_dump(mode="json") | device,
            "iterations": iterations,
            "seed": seed,
            "temperature": temperature,
            "stages": [stage.as_json() for stage in stages],
            "longest_row": longest_row,
        }
        self._cores = sorted(cores)
        self.takes_turns = placement is not None and placement.turns
        self.process: asyncio.subprocess.Process | None = None
        self.told: Mapping[str, Any] = {}
        """What the process said of itself when it was started."""
        self._requests = 0
        self._lock = asyncio.Lock()

    async def start(self, resume_from: Path | None) -> None:
        """Start the process and load model and adapter. Raises `AdapterError` or `LearnerError`."""
        if self.process is not None:
            raise LearnerError("the learner was started already; stop it first")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.module,
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=worker_environment(
                    self.settings.threads, large_model=is_large(self.model_path), gpus=self._gpus
                ),
                limit=ANSWER_BYTES,
            )
        resume = None if resume_from is None else str(resume_from.resolve())
        try:
            if self._cores:
                with contextlib.suppress(ProcessLookupError):  # That it died is told with its log's end.
                    os.sched_setaffinity(self.process.pid, self._cores)  # before it has threads
            self.told = await self._ask(
                {"do": "start", "plan": self.plan, "resume_from": resume, "takes_turns": self.takes_turns},
                self.settings.start_timeout_s,
            )
        except BaseException:
            await self.stop()
            raise

    async def step(self, groups: Sequence[Group], version: int, out: Path) -> StepResult:
        """One update, see `Learner`. After an error that killed the process the learner must be started
        again."""
        rows = self.scratch / f"rows-{version}"
        shutil.rmtree(rows, ignore_errors=True)  # of a step that failed: kept until now to be looked at
        write_groups(groups, rows)
        answer = await self._ask(
            {"do": "step", "rows": str(rows.resolve()), "version": version, "out": str(out.resolve())},
            self.settings.step_timeout_s,
        )
        shutil.rmtree(rows, ignore_errors=True)
        return StepResult(out, answer["metrics"], answer["skipped"])

    async def stop(self) -> None:
        """End the process; safe to call twice and after a crash."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 0.0 if self._lock.locked() else self.stop_seconds)
        except TimeoutError:
            await _kill(process)

    async def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        async with self._lock:
            process = self.process
            if process is None:
                raise LearnerError("the learner is not running; start it first")
            assert process.stdin is not None and process.stdout is not None
            self._requests += 1
            number = self._requests
            try:
                async with asyncio.timeout(timeout_s):
                    process.stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
                    await process.stdin.drain()
                    answer = await _answer(process.stdout, number)
            except TimeoutError:
                await self._discard(process)
                raise LearnerError(
                    f"the learner did not answer {request['do']!r} within {timeout_s:g} s and was killed "
                    f"(learner.{request['do']}_timeout_s); {self._log_tail()}"
                ) from None
            except (OSError, ValueError) as error:
                # Killing it now would reap it under asyncio's hands, and its exit status would be lost.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), STOP_SECONDS)
                await self._discard(process)
                raise LearnerError(
                    f"the learner's process died during {request['do']!r} "
                    f"(exit status {process.returncode}, {error}); {self._log_tail()}"
                ) from error
        if "error" in answer:
            kind = ERRORS.get(answer["error"], LearnerError)
            known = bool(answer["error"])
            raise kind(answer["message"] if known else f"{answer['message']}; {self._log_tail()}")
        result: dict[str, Any] = answer["result"]
        return result

    async def _discard(self, process: asyncio.subprocess.Process) -> None:
        await _kill(process)
        if self.process is process:
            self.process = None

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
            tail = log.read().decode("utf-8", "replace").strip()
            return f"its log {self.log} ends with:\n{tail}" if tail else f"its log {self.log} is empty"
        return f"its log {self.log} can't be read"


async def _answer(stream: asyncio.StreamReader, number: int) -> dict[str, Any]:
    """The answer to request `number`; answers to requests that nobody waits for any more are passed over."""
    while True:
        line = await stream.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("its answers ended")
        answer: dict[str, Any] = json.loads(line)
        if answer["id"] == number:
            return answer


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()


def is_large(model_path: Path) -> bool:
    """Whether a model's memory on the CPU matters more than the time that tidy memory costs."""
    return sum(file.stat().st_size for file in model_path.glob("*.safetensors")) > LARGE_MODEL_BYTES


def worker_environment(
    threads: int, *, large_model: bool = False, gpus: Sequence[int] = ()
) -> dict[str, str]:
    """The environment that the process runs in; what it sets only counts from a process's start. `gpus`: that it is to
    see, of those that we see; none: all."""
    package = str(Path(tac_rl.__file__).resolve().parents[1])  # importable there as it is here
    # glibc keeps tensors of up to 32 MB on its heap, whose gaps then take up to as much again as the tensors. Mapped
    # one by one they go back to the system when they are freed, for some 30 % more processor time.
    tidy = {"MALLOC_MMAP_THRESHOLD_": MAPPED_BYTES} if large_model else {}
    return {
        **tidy,
        **os.environ,
        **gpu_environment(gpus),
        "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        # In bfloat16 the CPU's kernels are compiled for each shape of a product, and every row has shapes of its own.
        # Two caches hold them, 1024 each by default: 0.6 MB a shape, hundreds of MB that no later step uses.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": KERNELS_KEPT,
        "LRU_CACHE_CAPACITY": KERNELS_KEPT,
    }
