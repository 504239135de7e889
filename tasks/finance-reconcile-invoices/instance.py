"""A month's invoices and payments. Two invoices are paid in part: for one there is a credit note that its account's
owner knows of; one of the two owners has handed the account over to somebody. Amounts are in cents here."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES

ROOT = "Documents/Finance/Receivables"
OWNERS = {
    "mark_johnson": "Mark Johnson",
    "jessica_lee": "Jessica Lee",
    "huang_jie": "Huang Jie",
    "sophia_rodriguez": "Sophia Rodriguez",
    "li_ming": "Li Ming",
    "mike_chen": "Mike Chen",
    "chen_xinyi": "Chen Xinyi",
}
BRANCHES = ("Bakery", "Bank", "Clinics", "Ferries", "Freight", "Media", "Museum", "Press", "Schools", "Tools")
MONTHS = {
    "September": "2025-09",
    "October": "2025-10",
    "November": "2025-11",
    "December": "2025-12",
    "January": "2026-01",
}
KINDS = ("whole", "whole", "whole", "whole", "halves", "double", "open", "open", "credited", "partly")
"""How the invoices of a month were paid; some instances have more that were paid as a whole."""
RULES = """# Reconciling a month

Make one file reconciled.csv in the month's folder, with the header

    number,customer,amount,credit,received,status

and one line for each invoice, also those that came late, in the order of their numbers.

- amount: what was invoiced, VAT included. Plain numbers with two decimals, such as 1250.40, here and below.
- credit: the sum of its credit notes, 0.00 where there are none.
- received: what was paid, after the ledger. The ledger names the invoice somewhere in the text of each payment. Every
  transaction of the bank has a number of its own; one that stands in the ledger twice counts once.
- status: paid where credit and received make up the amount, open where nothing was received, else partly.

Open is amount less credit less received. Nothing else in the folder is changed.
"""


def make(rng: random.Random) -> Made:
    month = rng.choice(list(MONTHS))
    folder = f"{ROOT}/{MONTHS[month]}"
    kinds = [*KINDS, *["whole"] * rng.randint(1, 4)]
    rng.shuffle(kinds)
    cities = [city.title() for city in rng.sample(CITIES, 8)]
    customers = [f"{city} {branch}" for city, branch in zip(cities, rng.sample(BRANCHES, 8), strict=True)]
    owner_of = {customer: rng.choice(list(OWNERS)) for customer in customers}
    first = rng.randrange(2000, 9000)
    invoices = [_invoice(rng, first + n, kind, rng.choice(customers)) for n, kind in enumerate(kinds)]
    credited = next(i for i in invoices if i["kind"] == "credited")
    partly = next(i for i in invoices if i["kind"] == "partly")
    # Three people: one answers for one invoice; one sends to another, who answers for the other.
    credited["customer"], partly["customer"] = rng.sample(customers, 2)
    knows, handed_over, heir = rng.sample(list(OWNERS), 3)
    direct, by_way = rng.sample([credited, partly], 2)
    owner_of[direct["customer"]], owner_of[by_way["customer"]] = knows, handed_over
    payments = _payments(rng, invoices, MONTHS[month])
    late = set(rng.sample([i["number"] for i in invoices], rng.randint(2, 3)))
    in_time = [i for i in invoices if i["number"] not in late]
    files = {
        f"{ROOT}/Rules.md": RULES,
        f"{folder}/accounts.csv": "customer,owner\n"
        + "".join(f"{c},{OWNERS[owner_of[c]]}\n" for c in customers),
        f"{folder}/invoices.csv": "number,customer,amount\n" + "".join(_line(i) for i in in_time),
        f"{folder}/ledger.csv": "transaction,date,payer,text,amount\n"
        + "".join(f"{line}\n" for line in payments),
    }
    files |= {f"{folder}/late/{i['number']}.txt": _letter(rng, i) for i in invoices if i["number"] in late}
    rows = {i["number"]: _row(i) for i in invoices}
    twice = next(line for n, line in enumerate(payments) if line in payments[:n])
    return Made(
        values={"month": month, "root": ROOT, "folder": folder},
        office={
            "drive": {"files": files},
            "colleagues": {
                knows: {
                    "facts": [_knowledge(direct)],
                    "fallback": "Which invoice, or which customer, is it about?",
                },
                handed_over: {
                    "facts": [
                        {
                            "about": _about(by_way),
                            "answer": f"I gave {by_way['customer']} away in the autumn.",
                            "refer_to": heir,
                        }
                    ],
                    "fallback": "Which invoice, or which customer, is it about?",
                },
                heir: {
                    "facts": [_knowledge(by_way)],
                    "fallback": "Which invoice, or which customer, is it about?",
                },
            },
        },
        facts={
            "folder": folder,
            "files": {
                path.removeprefix(f"{folder}/"): text
                for path, text in files.items()
                if path.startswith(folder)
            },
            "rows": rows,
            "odd": {"credited": credited["number"], "partly": partly["number"]},
            "often": [i["number"] for i in invoices if i["kind"] in ("double", "halves")],
            "told": {knows: _answer(direct), heir: _answer(by_way)},
            "may_be_asked": [knows, handed_over, heir, "david_wong"],
            "total": sum(_cents(row) for row in rows.values()),
            "twice": twice.partition(",")[0],
            "transactions": sorted({line.partition(",")[0] for line in payments}),
        },
    )


def _invoice(rng: random.Random, number: int, kind: str, customer: str) -> dict:
    amount = 2 * rng.randrange(10_000, 300_000) + (kind != "halves") * rng.randint(0, 1)
    paid = {
        "open": 0,
        "credited": rng.randrange(amount // 2, amount - 900),
        "partly": rng.randrange(900, amount // 2),
    }
    received = paid.get(kind, amount)
    credit = amount - received if kind == "credited" else 0
    return {
        "number": f"I-{number}",
        "kind": kind,
        "customer": customer,
        "amount": amount,
        "received": received,
        "credit": credit,
    }


def _line(invoice: dict) -> str:
    return f"{invoice['number']},{invoice['customer']},{_money(invoice['amount'])}\n"


def _payments(rng: random.Random, invoices: list[dict], month: str) -> list[str]:
    """Lines of the ledger. An invoice paid in halves has two alike, but for the transaction's number."""
    numbers = iter(rng.sample(range(10_000, 100_000), 2 * len(invoices)))
    lines = []
    for invoice in invoices:
        day = rng.randint(10, 28)
        text = rng.choice(("{}", "Invoice {}", "{} with thanks", "your bill {}", "ref {} / {}"))
        text = text.format(invoice["number"], f"{rng.randint(100, 999)}")
        parts = [invoice["received"]] if invoice["received"] else []
        if invoice["kind"] == "halves":
            parts = [invoice["received"] // 2] * 2
        for part in parts:
            line = f"T{next(numbers)},{month}-{day},{invoice['customer']},{text},{_money(part)}"
            lines += [line] * (2 if invoice["kind"] == "double" else 1)
    rng.shuffle(lines)
    return sorted(lines, key=lambda line: line.split(",")[1])


def _letter(rng: random.Random, invoice: dict) -> str:
    amount = invoice["amount"]
    vat = amount - round(amount / 1.25)
    return (
        f"INVOICE {invoice['number']}\n\nTo: {invoice['customer']}\n\n"
        f"{rng.choice(('Licences', 'Support', 'Training', 'Setup'))}: {_money(amount - vat)} EUR\n"
        f"VAT: {_money(vat)} EUR\nTotal: {_money(amount)} EUR\n\nPlease pay within {rng.choice((14, 21, 30))} days.\n"
    )


def _about(invoice: dict) -> list[str]:
    return [invoice["number"], invoice["number"][2:], invoice["customer"]]


def _answer(invoice: dict) -> str:
    """The beginning of what is said of an invoice."""
    if invoice["credit"]:
        return f"{invoice['number']}: there is a credit note of {_money(invoice['credit'])} EUR"
    return f"{invoice['number']}: there is no credit note"


def _knowledge(invoice: dict) -> dict:
    more = ", for what came broken." if invoice["credit"] else ", they want to pay the rest in spring."
    return {"about": _about(invoice), "answer": _answer(invoice) + more}


def _row(invoice: dict) -> dict:
    paid = invoice["received"] + invoice["credit"] == invoice["amount"]
    return {
        "customer": invoice["customer"],
        "amount": invoice["amount"],
        "credit": invoice["credit"],
        "received": invoice["received"],
        "status": "paid" if paid else "partly" if invoice["received"] else "open",
    }


def _cents(row: dict) -> int:
    """What is still open."""
    return int(row["amount"]) - int(row["credit"]) - int(row["received"])


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"
