"""The learner's own process: `python -m tac_rl.learning.worker`, started by `ProcessLearner` and by nobody
else.

It reads requests from standard input and answers on what was standard output, one JSON object a line;
whatever libraries print goes to standard error, which is the learner's log. It ends when its input does,
and with its parent, however that dies.

Requests: `{"id", "do": "start", "plan": {...}, "resume_from": path or null, "takes_turns": bool}` and
`{"id", "do": "step", "rows": folder, "version", "out": folder}`.
Answers: `{"id", "result": {...}}` or `{"id", "error": class name, "message"}`.

A learner that takes turns with the engine sleeps before any answer is given, also that of
a step that failed: the engine wakes up when it is heard.
"""

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tac_rl.config.learner import LearnerSection
from tac_rl.errors import LearnerError, TacRlError
from tac_rl.learning.rows import read_groups
from tac_rl.learning.stages import Stage

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies (Linux), and end now if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Worker:
    """Answers requests, one at a time."""

    def __init__(self) -> None:
        self.learner: Any = None
        self.takes_turns = False

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request's result, or its error."""
        answer = _tried(lambda: self._do(request))
        if self.takes_turns and self.learner is not None:
            # Only now: while an error was under way, its traceback held on to the tensors of the step.
            began = time.perf_counter()
            slept = _tried(lambda: self.learner.sleep())
            if "error" in slept:
                answer = slept
            elif "metrics" in answer.get("result", {}):
                answer["result"]["metrics"]["sleep_seconds"] = time.perf_counter() - began
        return {"id": request["id"], **answer}

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            return self._start(request)
        if self.learner is None:
            raise LearnerError("a step was asked for before the learner was started")
        began = time.perf_counter()
        self.learner.wake()
        woken = time.perf_counter() - began
        metrics, skipped = self.learner.step(
            read_groups(Path(request["rows"])), request["version"], Path(request["out"])
        )
        return {"metrics": metrics | ({"wake_seconds": woken} if self.takes_turns else {}), "skipped": skipped}

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        # Imported here: torch and PEFT take seconds, and a bad request should not.
        from tac_rl.learning.step import LearnerPlan, StepLearner

        plan = dict(request["plan"])
        self.takes_turns = request["takes_turns"]
        plan["model_path"] = Path(plan["model_path"])
        plan["settings"] = LearnerSection.model_validate(plan["settings"])
        plan["stages"] = tuple(Stage.from_json(stage) for stage in plan["stages"])
        learner = StepLearner(LearnerPlan(**plan))
        if request["resume_from"] is not None:
            learner.resume(Path(request["resume_from"]))
        self.learner = learner
        return {"version": learner.version, "bfloat16": learner.autocast, "device": str(learner.device)}


def _tried(work: Callable[[], Any]) -> dict[str, Any]:
    """`{"result"}` of the work, or `{"error", "message"}` with the traceback in the log."""
    try:
        return {"result": work()}
    except Exception as error:
        traceback.print_exc()
        known = type(error).__name__ if isinstance(error, TacRlError) else ""
        return {"error": known, "message": str(error) or type(error).__name__}


def main() -> None:
    die_with(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # A terminal's Ctrl-C reaches the whole process group; stopping this process is its parent's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker()
    for line in sys.stdin:
        answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
