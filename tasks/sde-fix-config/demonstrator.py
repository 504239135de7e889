"""Ask the check what is wrong, change that setting, check again and commit."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import CITIES

KEYS = ("region", "theme", "owner", "upstream")


def work(instruction: str, slip: Slip) -> Work:
    system = re.findall(r"message fix (\w+)", instruction)[0]
    if slip("guess_setting"):
        key, value = "region", slip.choose(CITIES)
        yield "cat config.ini"
    else:
        output = yield "sh check.sh"
        key, *_, value = output.split()
    if slip("wrong_key"):
        key = slip.choose([other for other in KEYS if other != key])
    file = "check.sh" if slip("edit_check") else "config.ini"
    yield f"sed -i 's/^{key} .*/{key} = {value}/' {file}"
    if slip("forget_commit"):
        yield "sh check.sh"
    else:
        yield f"sh check.sh && git commit -qam 'fix {system}'"


ENDINGS = (
    WrongEnding("another setting changed", results=(0, 0, 0), slips=("wrong_key",)),
    WrongEnding("not committed", results=(1, 1, 0), slips=("forget_commit",)),
    WrongEnding("the check changed instead", results=(0, 0, 0), slips=("edit_check",)),
    WrongEnding("an empty commit", results=(0, 0, 0), commands=("git commit -q --allow-empty -m 'fix it'",)),
)
