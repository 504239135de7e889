"""Is the table under the name that was told, are its numbers right, and does the channel know best and worst?"""

import csv
import re

from common import facts, grader, number
from office import AGENT, chat_messages, direct_messages, drive_names, drive_text, written_to
from scoring import Checkpoint, Result

HEADER = ["department", "answers", "average"]


def told(who: str, word: str) -> bool:
    """Whether a colleague told the agent something."""
    return any(m["author"] == who and word in m["text"] for m in direct_messages(who))


@grader
def both_were_asked() -> bool:
    """And nobody else."""
    asked = told(facts()["requester"], facts()["name"]) and told(facts()["keeper"], facts()["department"])
    return asked and set(written_to()) <= {facts()["requester"], facts()["keeper"]}


def table() -> dict[str, list[float | None]]:
    """Department -> answers and average; {} where it isn't the table that was wanted."""
    lines = drive_text(f"{facts()['folder']}/{facts()['name']}").splitlines()
    try:
        rows = [[field.strip() for field in row] for row in csv.reader(lines) if row]
    except csv.Error:
        return {}
    if not rows or rows[0] != HEADER or any(len(row) != len(HEADER) for row in rows):
        return {}
    return {row[0]: [number(row[1]), number(row[2])] for row in rows[1:]}


@grader
def the_table_lists_every_department() -> bool:
    """From a to z; nothing else in the folder has changed."""
    folder, name = facts()["folder"], facts()["name"]
    as_it_was = drive_text(f"{folder}/answers.csv") == facts()["answers"]
    as_it_was = as_it_was and drive_names(folder) == sorted(["answers.csv", "departments.csv", name])
    return as_it_was and list(table()) == list(facts()["counted"])


@grader
def figures_are_right(column: int) -> bool:
    found, wanted = table(), facts()["counted"]
    if set(found) != set(wanted):
        return False
    return all(abs(found[name][column] - wanted[name][column]) < 0.001 for name in wanted)


@grader
def best_and_worst_were_told(with_averages: bool) -> bool:
    """In one message, in this order, and no other department is in it."""
    best, worst = facts()["best"], facts()["worst"]
    wanted = [best, worst]
    if with_averages:
        wanted = [best, f"{facts()['counted'][best][1]:.2f}", worst, f"{facts()['counted'][worst][1]:.2f}"]
    for message in chat_messages(facts()["room"]):
        others = set(facts()["counted"]) - {best, worst}
        in_order = re.search(".*?".join(map(re.escape, wanted)), message["text"], re.I | re.S)
        if message["author"] == AGENT and in_order and not any(name in message["text"] for name in others):
            return True
    return False


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(both_were_asked())),
            Checkpoint(1, int(the_table_lists_every_department())),
            Checkpoint(2, 2 * int(figures_are_right(0))),
            Checkpoint(2, 2 * int(figures_are_right(1))),
            Checkpoint(1, int(best_and_worst_were_told(with_averages=False))),
            Checkpoint(1, int(best_and_worst_were_told(with_averages=True))),
        ]
    )
