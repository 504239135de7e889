"""Find the ticket, move it, say who tested it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    topic = re.findall(r"ticket (\w+)", instruction)[0]
    project = re.findall(r"project (\w+)", instruction)[0]
    name = re.findall(r"tested by (\w+)", instruction)[0]
    if slip("guess_number"):
        number = slip.choose(range(2, 40))
    elif slip("first_row"):
        number = _number((yield f"tracker issues {project} | head -1"))
    else:
        number = _number((yield f"tracker issues {project} | grep {topic}"))
    yield f"tracker move {project}-{number} {'backlog' if slip('wrong_state') else 'done'}"
    if not slip("no_comment"):
        yield f"tracker comment {project}-{number} tested by {name}"


def _number(line: str) -> int:
    """Of a line such as `STORK-5 Todo: contract`."""
    return int(line.split()[0].rpartition("-")[2])


ENDINGS = (
    WrongEnding("another ticket", results=(0, 0, 0), slips=("first_row",)),
    WrongEnding("no comment", results=(1, 1, 0), slips=("no_comment",)),
)
