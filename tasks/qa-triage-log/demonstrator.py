"""Look for the reported error, name its service, count that service's errors."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import SYSTEMS


def work(instruction: str, slip: Slip) -> Work:
    symptom = re.findall(r"error (\w+)", instruction)[0]
    if slip("guess_service"):
        culprit = slip.choose(SYSTEMS)
    elif slip("first_error"):
        culprit = (yield "grep ERROR app.log | head -1").split()[-1]
    elif slip("warning_too"):
        culprit = (yield f"grep {symptom} app.log | head -1").split()[-1]
    else:
        culprit = (yield f"grep 'ERROR {symptom}' app.log").split()[-1]
    yield f"echo {culprit} > culprit.txt"
    if slip("no_count"):
        return
    if slip("count_all"):
        yield "grep -c ERROR app.log > count.txt"
    else:
        yield f"grep {culprit} app.log | grep -c ERROR > count.txt"


ENDINGS = (
    WrongEnding("the first error in the log", results=(1, 0, 0), slips=("first_error",)),
    WrongEnding("a warning taken for the error", results=(1, 0, 0), slips=("warning_too",)),
    WrongEnding("the errors of all services counted", results=(1, 2, 0), slips=("count_all",)),
    WrongEnding("nothing counted", results=(1, 2, 0), slips=("no_count",)),
)
