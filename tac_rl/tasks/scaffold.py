"""`python -m tac_rl.tasks new NAME`: a tiny working package, to be turned into the one that is wanted."""

from pathlib import Path

from tac_rl.errors import TaskError
from tac_rl.tasks.base import ROLES
from tac_rl.tasks.metadata import NAME_PATTERN

_FILES = {
    "task.yaml": """\
name: NAME
role: ROLE
difficulty: 1
services: []
summary: Find out who owns a matter and write the name down.
""",
    "task.md": """\
The file notes.txt says who owns the {matter}. Write only the owner's name to owner.txt.
""",
    "instance.py": '''\
"""Notes that name the owner of each of several matters; one of them is asked for."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import FIRST_NAMES, TOPICS


def make(rng: random.Random) -> Made:
    matters = rng.sample(TOPICS, 5)
    owners = rng.sample(FIRST_NAMES, 5)
    matter, owner = matters[0], owners[0]
    lines = [f"{topic} owner {name}" for topic, name in zip(matters, owners, strict=True)]
    rng.shuffle(lines)
    return Made(
        values={"matter": matter},
        files={"notes.txt": "\\n".join(lines) + "\\n"},
        facts={"owner": owner, "owners": owners},
    )
''',
    "evaluator.py": '''\
"""Two steps: some owner's name is written down, and it is the right one. Standard library only."""

from common import facts, grader, read_text
from scoring import Checkpoint, Result


@grader
def some_owner() -> bool:
    return read_text("owner.txt").strip() in facts()["owners"]


@grader
def right_owner() -> bool:
    return read_text("owner.txt").strip() == facts()["owner"]


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result([Checkpoint(1, int(some_owner())), Checkpoint(2, 2 * int(right_owner()))])
''',
    "demonstrator.py": '''\
"""Look the owner up, then write the name down. Without slips this is the oracle."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import FIRST_NAMES


def work(instruction: str, slip: Slip) -> Work:
    matter = re.findall(r"owns the (\\w+)", instruction)[0]
    if slip("guess_owner"):
        owner = slip.choose(FIRST_NAMES)
    else:
        output = yield f"grep {matter} notes.txt"
        owner = output.split()[-1]
    target = "notes.txt" if slip("wrong_file") else "owner.txt"
    yield f"echo {owner} > {target}"


ENDINGS = (
    WrongEnding("written to the wrong file", results=(0, 0), slips=("wrong_file",)),
    WrongEnding("nobody's name", results=(0, 0), commands=("echo owner > owner.txt",)),
)
''',
}


def new_package(path: Path, name: str) -> Path:
    """Lay out the package `name` in the folder `path`; `TaskError` where the name won't do or is taken."""
    role = name.split("-")[0]
    if not NAME_PATTERN.fullmatch(name) or role not in ROLES:
        raise TaskError(
            f"{name!r} is no name for a package: lower-case words joined by hyphens, the first of them a role "
            f"({', '.join(ROLES)}), such as hr-leave-balance"
        )
    folder = path / name
    if folder.exists():
        raise TaskError(f"{folder}: exists already; choose another name, or remove it first")
    folder.mkdir(parents=True)
    for file, content in _FILES.items():
        text = content.replace("NAME", name, 1).replace("ROLE", role, 1) if file == "task.yaml" else content
        (folder / file).write_text(text, encoding="utf-8")
    return folder
