"""Ask the policy for the column and the report file, then sum that column into that file."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    person = re.findall(r"in (\w+)\.csv", instruction)[0]
    column, report = "days", "report.txt"
    if not slip("assume_column"):
        column = (yield "grep column policy.txt").split()[-1]
    if not slip("assume_report"):
        report = (yield "grep report policy.txt").split()[-1]
    query = (
        f"sqlite3 :memory: -cmd '.import --csv {person}.csv {person}' 'select sum({column}) from {person}'"
    )
    yield query if slip("only_print") else f"{query} > {report}"


ENDINGS = (
    WrongEnding("the column that one would assume", results=(1, 0, 0), slips=("assume_column",)),
    WrongEnding("the sum in a file of its own", results=(1, 1, 0), slips=("assume_report",)),
    WrongEnding("the sum only on the screen", results=(0, 0, 0), slips=("only_print",)),
)
