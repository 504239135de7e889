"""From the client to the project, from the project to owner and risk; a line each as soon as it is known."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    client = re.findall(r"client (\w+)", instruction)[0]
    project = (yield f"grep {client} projects.txt").split()[-1]
    yield f"echo project {project} > report.txt"
    if slip("first_owner"):
        owner = (yield "head -1 owners.txt").split()[-1]
    else:
        owner = (yield f"grep {project} owners.txt").split()[-1]
    yield f"echo owner {owner} >> report.txt"
    if slip("stop_early"):
        return
    if slip("assume_no_risk"):
        risk = "none"
    else:
        risk = (yield f"grep {project} risks.txt").split()[-1]
    arrow = ">" if slip("overwrite") else ">>"
    yield f"echo risk {risk} {arrow} report.txt"


ENDINGS = (
    WrongEnding("the owner of another project", results=(1, 0, 1, 0), slips=("first_owner",)),
    WrongEnding("no line about the risk", results=(1, 1, 0, 0), slips=("stop_early",)),
    WrongEnding("a risk that nobody looked up", results=(1, 1, 0, 0), slips=("assume_no_risk",)),
    WrongEnding("the last line written over the others", results=(0, 0, 1, 0), slips=("overwrite",)),
)
