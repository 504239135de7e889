"""The learner's own process: `python -m tac_rl.learning.worker`, started by `ProcessLearner` and by nobody
else.

It reads requests from standard input and answers on what was standard output, one JSON object a line;
whatever libraries print goes to standard error, which is the learner's log. It ends when its input does,
and with its parent, however that dies.

Requests: `{"id", "do": "start", "plan": {...}, "resume_from": path or null}` and
`{"id", "do": "step", "rows": folder, "version", "out": folder}`.
Answers: `{"id", "result": {...}}` or `{"id", "error": class name, "message"}`.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
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

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            return self._start(request)
        if self.learner is None:
            raise LearnerError("a step was asked for before the learner was started")
        metrics, skipped = self.learner.step(
            read_groups(Path(request["rows"])), request["version"], Path(request["out"])
        )
        return {"metrics": metrics, "skipped": skipped}

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        # Imported here: torch and PEFT take seconds, and a bad request should not.
        from tac_rl.learning.step import LearnerPlan, StepLearner

        plan = dict(request["plan"])
        plan["model_path"] = Path(plan["model_path"])
        plan["settings"] = LearnerSection.model_validate(plan["settings"])
        plan["stages"] = tuple(Stage.from_json(stage) for stage in plan["stages"])
        learner = StepLearner(LearnerPlan(**plan))
        if request["resume_from"] is not None:
            learner.resume(Path(request["resume_from"]))
        self.learner = learner
        return {"version": learner.version, "bfloat16": learner.autocast, "device": str(learner.device)}


def main() -> None:
    die_with(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # A terminal's Ctrl-C reaches the whole process group; stopping this process is its parent's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"id": request["id"], "result": worker.answer(request)}
        except Exception as error:
            traceback.print_exc()
            known = type(error).__name__ if isinstance(error, TacRlError) else ""
            answer = {"id": request["id"], "error": known, "message": str(error) or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
