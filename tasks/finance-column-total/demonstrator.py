"""Look up the column, sum it, note the work as done."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

COLUMNS = ("net", "gross", "bonus", "paid")


def work(instruction: str, slip: Slip) -> Work:
    table = re.findall(r"(\w+)\.csv", instruction)[0]
    if slip("guess_column"):
        column = slip.choose(COLUMNS)
    else:
        output = yield "grep column settings.txt"
        column = output.split()[-1]
    if slip("wrong_column"):
        column = slip.choose([c for c in COLUMNS if c != column])
    target = "status.txt" if slip("wrong_file") else "total.txt"
    yield f"sqlite3 :memory: -cmd '.import --csv {table}.csv {table}' 'select sum({column}) from {table}' > {target}"
    if not slip("forget_note"):
        yield f"echo {table} done >> status.txt"


ENDINGS = (
    WrongEnding("the wrong column", results=(1, 0, 1), slips=("wrong_column",)),
    WrongEnding("not noted as done", results=(1, 2, 0), slips=("forget_note",)),
    WrongEnding("the total in the wrong file", results=(0, 0, 0), slips=("wrong_file",)),
    WrongEnding("nothing but a note", results=(0, 0, 0), commands=("echo done > status.txt",)),
)
