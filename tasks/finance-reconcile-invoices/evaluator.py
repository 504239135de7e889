"""Is each invoice's line right, were the owners asked, and was the channel told the total and the transaction?"""

import csv
import re

from common import facts, grader, number
from office import AGENT, chat_messages, direct_messages, drive_names, drive_read, drive_text, written_to
from scoring import Checkpoint, Result

HEADER = ["number", "customer", "amount", "credit", "received", "status"]


def told(who: str, beginning: str) -> bool:
    """Whether a colleague told the agent something."""
    return any(m["author"] == who and beginning in m["text"] for m in direct_messages(who))


def the_owners_were_asked() -> bool:
    return all(told(who, beginning) for who, beginning in facts()["told"].items())


@grader
def nobody_else_was_asked() -> bool:
    return the_owners_were_asked() and set(written_to()) <= set(facts()["may_be_asked"])


def cents(text: str) -> int | None:
    found = number(text)
    return None if found is None else round(100 * found)


def table() -> dict[str, dict[str, object]]:
    """The reconciled invoices by their numbers, amounts in cents; {} where it isn't the table that was wanted."""
    lines = drive_text(f"{facts()['folder']}/reconciled.csv").splitlines()
    try:
        rows = [[field.strip() for field in row] for row in csv.reader(lines) if row]
    except csv.Error:
        return {}
    numbers = [row[0] for row in rows[1:]]
    if (
        not rows
        or rows[0] != HEADER
        or any(len(row) != len(HEADER) for row in rows)
        or numbers != sorted(facts()["rows"])
    ):
        return {}
    return {
        name: {
            "customer": customer,
            "amount": cents(amount),
            "credit": cents(credit),
            "received": cents(received),
            "status": status.lower(),
        }
        for name, customer, amount, credit, received, status in rows[1:]
    }


def right(names: object, fields: tuple[str, ...]) -> bool:
    """Whether these invoices' lines are right in these fields."""
    found, wanted = table(), facts()["rows"]
    return bool(found) and all(
        found[name][field] == wanted[name][field] for name in names for field in fields
    )


@grader
def every_invoice_is_listed() -> bool:
    """And the other files of the folder are as they were."""
    files, folder = facts()["files"], facts()["folder"]
    as_it_was = all(drive_read(f"{folder}/{name}") == text.encode() for name, text in files.items())
    names = {name.partition("/")[0] + "/" * ("/" in name) for name in files} | {"reconciled.csv"}
    return as_it_was and set(drive_names(folder)) == names and right(facts()["rows"], ("customer", "amount"))


@grader
def plain_ones_are_right() -> bool:
    names = set(facts()["rows"]) - set(facts()["often"]) - set(facts()["odd"].values())
    return right(names, ("credit", "received", "status"))


@grader
def those_paid_in_two_lines_are_right() -> bool:
    return right(facts()["often"], ("credit", "received", "status"))


@grader
def odd_one_is_right(kind: str) -> bool:
    return the_owners_were_asked() and right([facts()["odd"][kind]], ("credit", "received", "status"))


def announced() -> str:
    """All that the agent wrote to the channel."""
    return "\n".join(m["text"] for m in chat_messages("finance") if m["author"] == AGENT)


@grader
def the_total_was_told() -> bool:
    text = re.sub(r"(?<=\d),(?=\d{3})", "", announced())
    return {cents(amount) for amount in re.findall(r"(?<![\w.])\d+\.\d\d(?!\d)", text)} == {facts()["total"]}


@grader
def the_transaction_was_told() -> bool:
    return {name for name in facts()["transactions"] if name in announced()} == {facts()["twice"]}


def grade_checkpoints(trajectory: str = "") -> Result:
    odd = int(odd_one_is_right("credited")) + int(odd_one_is_right("partly"))
    return Result(
        [
            Checkpoint(1, int(nobody_else_was_asked())),
            Checkpoint(1, int(every_invoice_is_listed())),
            Checkpoint(2, 2 * int(plain_ones_are_right())),
            Checkpoint(1, int(those_paid_in_two_lines_are_right())),
            Checkpoint(2, odd),
            Checkpoint(1, int(the_total_was_told())),
            Checkpoint(1, int(the_transaction_was_told())),
        ]
    )
