"""Look the folder up in the rules, then move the letters there."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    kind = re.findall(r"every (\w+) letter", instruction)[0]
    looked_for = "goes" if slip("read_the_wrong_rule") else kind
    output = yield f"grep {looked_for} rules.txt"
    folders = [line.split()[-1] for line in output.splitlines() if not line.startswith(f"{kind} ")]
    folder = slip.choose(folders) if folders else output.split()[-1]
    letters = "*" if slip("move_everything") else f"{kind}-*"
    verb = "cp" if slip("copy_only") else "mv"
    yield f"{verb} inbox/{letters} {folder}"


ENDINGS = (
    WrongEnding("a folder of another kind", results=(1, 0, 1), slips=("read_the_wrong_rule",)),
    WrongEnding("the whole inbox moved", results=(1, 2, 0), slips=("move_everything",)),
    WrongEnding("copied, and still in the inbox", results=(0, 0, 0), slips=("copy_only",)),
    WrongEnding("all letters deleted", results=(0, 0, 0), commands=("rm inbox/*",)),
)
