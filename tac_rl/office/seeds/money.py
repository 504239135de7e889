"""The company's money: budgets, what was spent, invoices, expenses. Every total is the sum of its parts."""

from dataclasses import dataclass
from datetime import date, timedelta

from tac_rl.office.seeds.people import COLLEAGUES
from tac_rl.office.seeds.products import Vendor
from tac_rl.office.seeds.world import World

DEPARTMENTS = ("Engineering", "Sales and Marketing", "Operations")
QUARTERS = ("Q1", "Q2", "Q3", "Q4")
_OTHER = {
    "Engineering": {"Training": 4200, "Equipment": 9600, "Travel": 3100},
    "Sales and Marketing": {"Training": 1800, "Equipment": 1500, "Travel": 8400},
    "Operations": {"Training": 1200, "Equipment": 1900, "Travel": 900},
}
"""Planned for a quarter, EUR, beside salaries and vendors."""
_PAYROLL_SHARE = 1.14
"""Salaries with the employer's contributions."""


@dataclass(frozen=True)
class Line:
    """One line of a department's budget for a quarter."""

    department: str
    quarter: str
    item: str
    planned: int
    spent: int
    """Until the end of February; 0 for quarters to come."""


@dataclass(frozen=True)
class Invoice:
    number: str
    vendor: Vendor
    month: date
    """Its first day."""
    net: int
    vat: int
    paid: date | None

    @property
    def gross(self) -> int:
        return self.net + self.vat


@dataclass(frozen=True)
class Expense:
    person: str
    day: date
    purpose: str
    kind: str
    amount: float
    """EUR."""


@dataclass(frozen=True)
class Money:
    lines: tuple[Line, ...]
    invoices: tuple[Invoice, ...]
    expenses: tuple[Expense, ...]

    def of(self, department: str, quarter: str) -> list[Line]:
        return [line for line in self.lines if (line.department, line.quarter) == (department, quarter)]


_PURPOSES = (
    ("Visit to {customer} in {city}", "Train", 48, 190),
    ("Visit to {customer} in {city}", "Hotel", 98, 155),
    ("Visit to {customer} in {city}", "Meals", 12, 42),
    ("Books for the team", "Training", 25, 90),
    ("Keyboard", "Equipment", 60, 180),
    ("Monitor cable and adapter", "Equipment", 15, 60),
    ("Taxi from the station", "Taxi", 12, 38),
    ("Online course", "Training", 80, 240),
)


def make_money(world: World) -> Money:
    invoices = tuple(_invoices(world))
    expenses = tuple(_expenses(world))
    lines: list[Line] = []
    for department in DEPARTMENTS:
        salaries = round(sum(e.salary for e in COLLEAGUES if e.department == department) * _PAYROLL_SHARE / 4)
        for number, quarter in enumerate(QUARTERS):
            begun = number == 0
            lines.append(
                Line(department, quarter, "Salaries", salaries, round(salaries * 2 / 3) if begun else 0)
            )
            for vendor in (v for v in world.vendors if v.team == department):
                spent = sum(i.net for i in invoices if i.vendor is vendor and i.month >= date(2026, 1, 1))
                lines.append(
                    Line(department, quarter, vendor.name, vendor.monthly * 3, spent if begun else 0)
                )
            for item, planned in _OTHER[department].items():
                spent = round(sum(e.amount for e in expenses if _item(world, e) == (department, item)))
                lines.append(Line(department, quarter, item, planned, spent if begun else 0))
    return Money(tuple(lines), invoices, expenses)


def _item(world: World, expense: Expense) -> tuple[str, str]:
    department = next(e.department for e in COLLEAGUES if e.username == expense.person)
    return department, expense.kind if expense.kind in ("Training", "Equipment") else "Travel"


def _invoices(world: World) -> list[Invoice]:
    chance = world.chance("invoices")
    invoices = []
    number = 4101
    for month in (date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)):
        for vendor in world.vendors:
            net = round(vendor.monthly * chance.choice((1, 1, 1, 0.96, 1.08)))
            due = (month + timedelta(42)).replace(day=chance.randint(6, 20))
            paid = due if due < date(2026, 3, 1) else None
            invoices.append(Invoice(f"I-{number}", vendor, month, net, round(net * 0.25), paid))
            number += chance.randint(1, 4)
    return invoices


def _expenses(world: World) -> list[Expense]:
    chance = world.chance("expenses")
    expenses = []
    for employee in COLLEAGUES:
        for _ in range(chance.choice((1, 2, 2, 3)) + 4 * (employee.department == "Sales and Marketing")):
            purpose, kind, low, high = chance.choice(_PURPOSES)
            customer = chance.choice(world.customers)
            day = date(2026, 1, 5) + timedelta(chance.randrange(54))
            amount = round(chance.uniform(low, high), 2)
            text = purpose.format(customer=customer.name, city=customer.city)
            expenses.append(Expense(employee.username, day, text, kind, amount))
    return sorted(expenses, key=lambda e: (e.day, e.person))
