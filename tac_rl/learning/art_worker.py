"""The process that ART lives in: `python -m tac_rl.learning.art_worker`, started by `ArtLearner` and by nobody else.

Requests and answers are those of `worker.py`. ART's trainer runs inside its event loop and keeps it turning between
steps, so requests are read there too. ART's server is a child of this process, and its guard (`serving/guard.py`) ends
it when the pipe that is its standard input closes, however this process ends.
"""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from tac_rl.config.engine import EngineSection
from tac_rl.config.learner import LearnerSection
from tac_rl.errors import LearnerError, TacRlError
from tac_rl.learning.rows import read_groups
from tac_rl.learning.stages import Stage
from tac_rl.learning.worker import die_with
from tac_rl.rewards.openpipe import load_art

GUARD_SECONDS = 12.0
"""For the guard to end the server: above its own two limits."""
WITHOUT_TELEMETRY = {"UNSLOTH_DISABLE_STATISTICS": "1", "WANDB_MODE": "disabled"}


class Worker:
    """Answers requests, one at a time."""

    def __init__(self, guard_pipe: int) -> None:
        self.learner: Any = None
        self.guard_pipe = guard_pipe

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            return await self._start(request)
        if self.learner is None:
            raise LearnerError("a step was asked for before the learner was started")
        groups = await asyncio.to_thread(read_groups, Path(request["rows"]))
        metrics, skipped = await self.learner.step(groups, request["version"], Path(request["out"]))
        return {"metrics": metrics, "skipped": skipped}

    async def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        os.environ.update(WITHOUT_TELEMETRY)
        os.environ.pop("WANDB_API_KEY", None)
        importlib.import_module("unsloth")  # before transformers, peft and trl, which it changes
        load_art("learner.kind: art")
        from tac_rl.learning.art_step import ArtPlan, ArtStepLearner

        plan = dict(request["plan"])
        for name in ("model_path", "folder", "temporary"):
            plan[name] = Path(plan[name])
        plan["settings"] = LearnerSection.model_validate(plan["settings"])
        plan["stages"] = tuple(Stage.from_json(stage) for stage in plan["stages"])
        plan["engine"] = EngineSection.model_validate(plan["engine"])
        resume = request["resume_from"]
        learner = ArtStepLearner(ArtPlan(**plan), None if resume is None else Path(resume))
        learner.service.before_close = self._end_server
        self.learner = learner
        told = await learner.start()
        gc.freeze()  # ART collects garbage a dozen times a step; what its libraries are made of needs no second look
        # ART takes a terminal's Ctrl-C for its own; stopping this process is its parent's business.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return told

    def _end_server(self) -> None:
        os.close(self.guard_pipe)
        server = self.learner.service._vllm_process
        if server is not None:
            server.wait(GUARD_SECONDS)

    async def close(self) -> None:
        if self.learner is not None:
            await self.learner.backend.close()


async def serve(requests: int, answers: int, guard_pipe: int) -> None:
    worker = Worker(guard_pipe)
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(requests, "rb")
    )
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        while line := await reader.readline():
            request = json.loads(line)
            try:
                answer = {"id": request["id"], "result": await worker.answer(request)}
            except Exception as error:
                traceback.print_exc()
                known = type(error).__name__ if isinstance(error, TacRlError) else ""
                answer = {"id": request["id"], "error": known, "message": str(error) or type(error).__name__}
            out.write(json.dumps(answer) + "\n")
            out.flush()
    await worker.close()


def main() -> None:
    die_with(int(sys.argv[1]))
    requests, answers = os.dup(0), os.dup(1)
    # ART's children have these two as theirs: the guard's pipe, and the log.
    pipe, guard_pipe = os.pipe()
    os.dup2(pipe, 0)
    os.close(pipe)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(requests, answers, guard_pipe))
    os._exit(0)  # Whatever threads ART's libraries have left.


if __name__ == "__main__":
    main()
