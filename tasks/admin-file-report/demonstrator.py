"""Find the file, put it there, tell the colleague."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import TOPICS


def work(instruction: str, slip: Slip) -> Work:
    city = re.findall(r"about (\w+)", instruction)[0]
    department = re.findall(r"folder (\w+)", instruction)[0]
    name = re.findall(r"send (\w+)", instruction)[0]
    if slip("guess_file"):
        file = f"{slip.choose(TOPICS)}.txt"
    else:
        file = (yield f"grep -l {city} *.txt").split()[-1]
    folder = "" if slip("no_folder") else f"{department}/"
    yield f"drive put {file} {folder}{file}"
    if not slip("no_message"):
        yield f"chat dm {name} {city} filed"


ENDINGS = (
    WrongEnding("at the top of the drive", results=(0, 1), slips=("no_folder",)),
    WrongEnding("nobody told", results=(2, 0), slips=("no_message",)),
    WrongEnding("another file", results=(0, 0), commands=("drive put $(ls | head -1) other.txt",)),
)
