"""Money's documents: budgets, invoices, expenses, customers, prices."""

from collections.abc import Iterator
from datetime import date

from tac_rl.office.seeds import formats
from tac_rl.office.seeds.formats import Block, Cell
from tac_rl.office.seeds.money import DEPARTMENTS, QUARTERS, Invoice, Money
from tac_rl.office.seeds.people import BY_NAME
from tac_rl.office.seeds.world import World

_EXPENSE_HEAD: tuple[Cell, ...] = ("Name", "Day", "Purpose", "Kind", "Amount (EUR)")


def finance_files(world: World, money: Money) -> Iterator[tuple[str, bytes]]:
    yield "Finance/Budgets/Budget 2026.xlsx", _budget(money)
    yield "Finance/Invoices/Overview.csv", formats.to_csv(_overview(money))
    for invoice in money.invoices:
        yield f"Finance/Invoices/{invoice.month:%Y-%m}/{invoice.number}.pdf", _invoice(invoice)
    for month in (1, 2):
        yield f"Finance/Expenses/Expenses 2026-{month:02}.xlsx", _expenses(money, month)
    form: list[list[Cell]] = [list(_EXPENSE_HEAD)]
    yield "Finance/Forms/Expenses.xlsx", formats.to_xlsx({"Form": form})
    yield "Finance/Revenue 2026.xlsx", _revenue(world)
    yield "Sales/Customers.xlsx", formats.to_xlsx({"Customers": _customers(world)})
    yield "Sales/Customers.csv", formats.to_csv(_customers(world))
    yield "Sales/Price list 2026.pdf", _prices()
    yield "Sales/Security/Answers.docx", _answers()
    yield "Sales/Material/Numbers.odt", _numbers(world)
    for title, story in (("January", "Nordlys Energi"), ("February", "Larkfield Freight")):
        yield f"Sales/Material/Newsletter {title} 2026.odt", _newsletter(world, title, story)


def _budget(money: Money) -> bytes:
    """A sheet per department, and one whose totals are the sums of theirs."""
    sheets: dict[str, list[list[Cell]]] = {"Total": [["Department", *QUARTERS, "Year", "Spent in Q1"]]}
    for department in DEPARTMENTS:
        items = [line.item for line in money.of(department, "Q1")]
        rows: list[list[Cell]] = [["Item", *QUARTERS, "Year", "Spent in Q1"]]
        for item in items:
            lines = [next(x for x in money.of(department, q) if x.item == item) for q in QUARTERS]
            planned = [line.planned for line in lines]
            rows.append([item, *planned, sum(planned), lines[0].spent])
        columns = list(zip(*(row[1:] for row in rows[1:]), strict=True))
        totals: list[Cell] = [sum(value for value in column if isinstance(value, int)) for column in columns]
        rows.append(["Total", *totals])
        sheets[department] = rows
        sheets["Total"].append([department, *totals])
    columns = list(zip(*(row[1:] for row in sheets["Total"][1:]), strict=True))
    sums: list[Cell] = [sum(value for value in column if isinstance(value, int)) for column in columns]
    sheets["Total"].append(["Company", *sums])
    return formats.to_xlsx(sheets)


def _overview(money: Money) -> list[list[Cell]]:
    rows: list[list[Cell]] = [["Number", "Vendor", "Month", "Net", "VAT", "Gross", "Paid"]]
    for i in money.invoices:
        paid = i.paid.isoformat() if i.paid else ""
        rows.append([i.number, i.vendor.name, f"{i.month:%Y-%m}", i.net, i.vat, i.gross, paid])
    return rows


def _invoice(invoice: Invoice) -> bytes:
    month = f"{invoice.month:%B %Y}"
    blocks: list[Block] = [
        ("text", f"From: {invoice.vendor.name}"),
        ("text", "To: The Agent Company, Oslo"),
        ("text", f"For: {invoice.vendor.what}, {month}"),
        ("table", [["Item", "EUR"], [f"{invoice.vendor.what.capitalize()}, {month}", invoice.net],
                   ["VAT 25 %", invoice.vat], ["To pay", invoice.gross]]),
        ("text", "Payable within 30 days."),
    ]  # fmt: skip
    return formats.to_pdf(f"Invoice {invoice.number}", blocks, on=invoice.month.replace(day=28))


def _expenses(money: Money, month: int) -> bytes:
    own = [expense for expense in money.expenses if expense.day.month == month]
    rows: list[list[Cell]] = [list(_EXPENSE_HEAD)]
    rows += [[BY_NAME[e.person].name, e.day.isoformat(), e.purpose, e.kind, e.amount] for e in own]
    rows.append(["Total", None, None, None, round(sum(e.amount for e in own), 2)])
    return formats.to_xlsx({f"2026-{month:02}": rows})


def _revenue(world: World) -> bytes:
    rows: list[list[Cell]] = [["Customer", "Plan", "A year (EUR)", "A quarter (EUR)"]]
    rows += [[c.name, c.plan, c.yearly, c.yearly // 4] for c in world.customers]
    yearly, quarterly = sum(c.yearly for c in world.customers), sum(c.yearly // 4 for c in world.customers)
    rows.append(["Total", None, yearly, quarterly])
    plans: list[list[Cell]] = [["Plan", "Customers", "A year (EUR)"]]
    for plan in ("enterprise", "team", "starter"):
        own = [c.yearly for c in world.customers if c.plan == plan]
        plans.append([plan, len(own), sum(own)])
    return formats.to_xlsx({"By customer": rows, "By plan": plans})


def _customers(world: World) -> list[list[Cell]]:
    rows: list[list[Cell]] = [["Name", "City", "Contact", "Plan", "A year (EUR)", "Products", "Since"]]
    rows += [
        [c.name, c.city, c.contact, c.plan, c.yearly, ", ".join(c.products), c.since] for c in world.customers
    ]
    return rows


def _prices() -> bytes:
    blocks: list[Block] = [
        ("table", [["Plan", "Seats", "EUR a month"], ["Starter", "up to 10", 1000], ["Team", "up to 60", 3900],
                   ["Enterprise", "no limit", "from 10,000"]]),
        ("text", "Prices without VAT, valid from 19 January 2026. Usage of Ember is billed by the token."),
    ]  # fmt: skip
    return formats.to_pdf("Price list 2026", blocks, on=date(2026, 1, 19))


def _answers() -> bytes:
    blocks: list[Block] = []
    for question, answer in (
        ("Where is our data?", "In two data centres of Skarv Hosting, in Norway and Denmark."),
        ("Who can see it?", "Whoever is on call or works on your ticket. Every access is logged for a year."),
        ("How long are logs kept?", "30 days, on the enterprise plan 90."),
        ("How are incidents told?", "By mail within an hour, with a report within five working days."),
        ("Are there backups?", "Every night, kept for 35 days, restored once a quarter as a test."),
    ):
        blocks += [("heading", question), ("text", answer)]
    return formats.to_docx("Answers for security questionnaires", "Mark Johnson", blocks)


def _numbers(world: World) -> bytes:
    blocks: list[Block] = []
    for product in world.products:
        users = sum(product.name in c.products for c in world.customers)
        closed = sum(w.closed is not None and not w.declined for w in world.works_of(product))
        text = f"{product.tagline}. {users} customers; {closed} issues done in the last weeks."
        blocks += [("heading", product.name), ("text", text)]
    return formats.to_odt("Our products in numbers", blocks)


def _newsletter(world: World, month: str, customer: str) -> bytes:
    number = {"January": 1, "February": 2}[month]
    blocks: list[Block] = [("heading", f"A look at {customer}")]
    subject = next(c for c in world.customers if c.name == customer)
    products = " and ".join(subject.products)
    blocks.append(("text", f"{subject.contact} and colleagues in {subject.city} use {products} every day."))
    blocks.append(("heading", "New versions"))
    for release in world.releases:
        if (release.at.year, release.at.month) == (2026, number):
            changes = "; ".join(change.step.message for change in release.changes) or "housekeeping"
            blocks.append(("item", f"{release.product.name} {release.version}: {changes}"))
    return formats.to_odt(f"Newsletter, {month} 2026", blocks)
