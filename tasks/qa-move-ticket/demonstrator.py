"""Find the ticket, move it, say who tested it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    topic = re.findall(r"ticket (\w+)", instruction)[0]
    project = re.findall(r"project (\w+)", instruction)[0]
    name = re.findall(r"tested by (\w+)", instruction)[0]
    if slip("guess_number"):
        key = f"{project}-{slip.choose(range(2, 40))}"
    elif slip("first_row"):
        key = (yield f"tracker issues {project} | head -1").split()[0]
    else:
        key = (yield f"tracker issues {project} | grep {topic}").split()[0]
    state = "started" if slip("wrong_state") else "done"
    yield f"tracker move {key} {'progress' if state == 'started' else state}"
    if not slip("no_comment"):
        yield f"tracker comment {key} tested by {name}"


ENDINGS = (
    WrongEnding("another ticket", results=(0, 0, 0), slips=("first_row",)),
    WrongEnding("no comment", results=(1, 1, 0), slips=("no_comment",)),
)
