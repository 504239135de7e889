"""Get the files, let Python compare, ask about what doesn't fit, write the result, tell it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

READ = """
import csv, glob, re
from decimal import Decimal
invoices = {row["number"]: (row["customer"], Decimal(row["amount"])) for row in csv.DictReader(open("invoices.csv"))}
for path in glob.glob("late/*.txt"):
    text = open(path).read()
    number = re.search(r"INVOICE (\\S+)", text)[1]
    total = re.search(r"Total: (\\S+)", text)[1]
    invoices[number] = (re.search(r"To: (.+)", text)[1], Decimal(total))
received, seen, twice = {}, set(), ""
for row in csv.DictReader(open("ledger.csv")):
    number = re.search(r"I-\\d+", row["text"])[0]
    if row["transaction"] in seen:
        twice = row["transaction"]
        continue
    seen.add(row["transaction"])
    received[number] = received.get(number, 0) + Decimal(row["amount"])
"""
SHOW = """
from reading import invoices, received, twice
owners = dict(line.strip().split(",") for line in open("accounts.csv"))
print("twice", twice)
for number, (customer, amount) in sorted(invoices.items()):
    if 0 < received.get(number, 0) < amount:
        print(number, "of", customer, "is owned by", owners[customer])
"""
WRITE = """
import sys
from decimal import Decimal
from reading import invoices, received
credits = dict(word.split("=") for word in sys.argv[1:])
left = Decimal("0.00")
with open("reconciled.csv", "w") as file:
    print("number,customer,amount,credit,received,status", file=file)
    for number, (customer, amount) in sorted(invoices.items()):
        credit, paid = Decimal(credits.get(number, "0.00")), received.get(number, Decimal("0.00"))
        status = "paid" if paid + credit >= amount else "partly" if paid else "open"
        print(number, customer, amount, credit, paid, status, sep=",", file=file)
        left += amount - credit - paid
print("open", left)
"""


def work(instruction: str, slip: Slip) -> Work:
    folder = re.findall(r"on the drive in (\S+):", instruction)[0]
    yield f"drive cat {folder.rpartition('/')[0]}/Rules.md"
    yield f"for file in accounts.csv invoices.csv ledger.csv; do drive get {folder}/$file; done; head -3 *.csv"
    late = (
        "" if slip("no_late_ones") else " ".join(re.findall(r"\S+\.txt", (yield f"drive ls {folder}/late")))
    )
    yield "mkdir -p late" + (
        f" && for file in {late}; do drive get {folder}/late/$file late/; done; cat late/*" if late else ""
    )
    read = READ.replace("        continue\n", "") if slip("count_twice") else READ
    yield f"cat > reading.py <<'EOF'{read}EOF"
    shown = yield f"cat > show.py <<'EOF'{SHOW}EOF\npython3 show.py"
    twice = "".join(re.findall(r"twice (\S+)", shown))
    odd = [] if slip("ask_nobody") else re.findall(r"^(\S+) of (.+) is owned by (.+)$", shown, re.M)
    credits = {}
    for number, customer, owner in odd[:1] if slip("ask_once") else odd:
        question = f"Is there a credit note for {number} of {customer}?"
        answer = yield f"chat ask {owner.lower().replace(' ', '_')} {question!r}"
        heirs = re.findall(r"\(@(\w+)\)", answer)
        if heirs and not slip("not_whom_they_name"):
            answer = yield f"chat ask {heirs[0]} {question!r}"
        credits[number] = "".join(re.findall(r"note of (\d+\.\d\d)", answer)) or "0.00"
    if slip("ask_the_boss_too"):
        yield "chat dm sarah_johnson Do you know of any credit notes?"
    words = (
        "" if slip("forget_credits") else " ".join(f"{number}={credit}" for number, credit in credits.items())
    )
    left = (yield f"cat > write.py <<'EOF'{WRITE}EOF\npython3 write.py {words}".strip()).split()[-1]
    if not slip("keep_the_file"):
        where = folder.rpartition("/")[0] if slip("not_in_the_folder") else folder
        yield f"drive put reconciled.csv {where}/reconciled.csv"
    if slip("no_message"):
        return
    told = f"Still open: {left} EUR." + ("" if slip("no_transaction") else f" {twice} was entered twice.")
    yield f"chat send finance {told!r}"


ENDINGS = (
    WrongEnding("nobody asked", results=(0, 1, 2, 1, 0, 0, 1), slips=("ask_nobody",)),
    WrongEnding("more people asked than needed", results=(0, 1, 2, 1, 2, 1, 1), slips=("ask_the_boss_too",)),
    WrongEnding("the payment counted twice", results=(1, 1, 2, 0, 2, 0, 1), slips=("count_twice",)),
    WrongEnding("the credit note forgotten", results=(1, 1, 2, 1, 1, 0, 1), slips=("forget_credits",)),
    WrongEnding("the file in another folder", results=(1, 0, 0, 0, 0, 1, 1), slips=("not_in_the_folder",)),
    WrongEnding("the file kept", results=(1, 0, 0, 0, 0, 1, 1), slips=("keep_the_file",)),
    WrongEnding("the transaction isn't told", results=(1, 1, 2, 1, 2, 1, 0), slips=("no_transaction",)),
    WrongEnding("the channel is told nothing", results=(1, 1, 2, 1, 2, 0, 0), slips=("no_message",)),
)
