"""What is said beside the work: customers, sales, money, leave, cake, and the weather."""

from datetime import date, timedelta

from tac_rl.office.seeds.calendar import TODAY, at, short, workday_near, workdays, working_time
from tac_rl.office.seeds.money import Money
from tac_rl.office.seeds.people import AGENT, BY_NAME, COLLEAGUES
from tac_rl.office.seeds.talk import Talk, about
from tac_rl.office.seeds.world import World

_EVERYBODY = tuple(e.username for e in COLLEAGUES)
_MONTHS = ("March", "April", "May", "June")
_DAYS = ("Tuesday", "Wednesday", "Thursday")
_TOPICS = ("first aid", "phishing", "giving feedback", "writing for customers")
_HR, _FINANCE, _SALES, _MARKETING = "chen_xinyi", "david_wong", "mark_johnson", "jessica_lee"


def talk_about_life(talk: Talk, money: Money) -> None:
    _customers(talk)
    _money(talk, money)
    _people(talk)
    _small_talk(talk)
    _leaves(talk)
    _conversations(talk)
    _welcome(talk)


def _others(*people: str) -> list[str]:
    return [person for person in _EVERYBODY if person not in people]


def _customers(talk: Talk) -> None:
    chance, world = talk.chance, talk.world
    for day in workdays():
        for _ in range(chance.choice((1, 1, 2))):
            customer = chance.choice(world.customers)
            product = world.product(chance.choice(customer.products))
            question, answer = talk.deal("support_questions")
            asks = chance.choice((_SALES, _MARKETING))
            slots = {
                "customer": customer.name,
                "contact": customer.contact,
                "product": product.name,
                "version": _version_on(world, product.name, day),
            }
            roles = {"sales": asks, "engineer": chance.choice(product.members)}
            words = slots | {"at_sales": "@mark_johnson"}
            slots |= {"question": question.format(**words), "answer": answer.format(**words)}
            talk.play("support", "support", working_time(chance, day, 9), roles, slots)
        if chance.random() < 0.8:
            customer = chance.choice(world.customers)
            slots = {
                "customer": customer.name,
                "contact": customer.contact,
                "plan": customer.plan,
                "product": chance.choice(customer.products),
                "yearly": f"{customer.yearly:,} EUR",
                "month": chance.choice(_MONTHS),
            }
            roles = {"sales": _SALES, "marketing": _MARKETING, "finance": _FINANCE}
            talk.play("sales", "sales", working_time(chance, day, 9), roles, slots)


def _version_on(world: World, product: str, day: date) -> str:
    out = [r.version for r in world.releases if r.product.name == product and r.at.date() < day]
    return out[-1]


def _money(talk: Talk, money: Money) -> None:
    chance = talk.chance
    approvers = {"Engineering": "sarah_johnson", "Sales and Marketing": _SALES, "Operations": _HR}
    for invoice in money.invoices:
        day = chance.choice(workdays(invoice.month + timedelta(34), invoice.month + timedelta(50)))
        if day >= TODAY:
            continue
        roles = {"finance": _FINANCE, "approver": approvers[invoice.vendor.team]}
        slots = {
            "vendor": invoice.vendor.name,
            "month": f"{invoice.month:%B}",
            "amount": f"{invoice.gross:,} EUR ({invoice.number})",
            "what": invoice.vendor.what,
        }
        talk.play("invoice", "finance", working_time(chance, day, 9), roles, slots)
    for day, month in ((date(2026, 1, 5), "December"), (date(2026, 2, 2), "January")):
        other, other2 = chance.sample(_others(_FINANCE), 2)
        roles = {"finance": _FINANCE, "other": other, "other2": other2}
        talk.play("receipts", "finance", at(day, 9, 5), roles, {"month": month})
    for day in workdays()[4::5]:
        roles = {"finance": _FINANCE, "other": chance.choice(_others(_FINANCE))}
        talk.play("finance", "finance", working_time(chance, day, 9), roles)
    for department, head in approvers.items():
        lines = money.of(department, "Q1")
        slots = {
            "team": department,
            "budget": f"{sum(line.planned for line in lines):,} EUR",
            "left": f"{sum(line.planned - line.spent for line in lines):,} EUR",
        }
        roles = {"finance": _FINANCE, "other": head}
        talk.play("budget", "finance", working_time(chance, date(2026, 2, 27), 9, 13), roles, slots)
    for expense in money.expenses:
        day = workday_near(expense.day + timedelta(2))
        if expense.person != _FINANCE and day < TODAY:
            slots = {
                "purpose": expense.purpose,
                "amount": f"{expense.amount:.2f} EUR",
                "day": short(expense.day),
            }
            room = talk.private(expense.person, _FINANCE)
            roles = {"one": expense.person, "finance": _FINANCE}
            talk.play("expense", room, working_time(chance, day, 10), roles, slots)


def _people(talk: Talk) -> None:
    chance, world = talk.chance, talk.world
    policy = next(d for d in world.decisions if d.by == _HR)
    for n, day in enumerate(workdays()[::2]):
        other, other2 = chance.sample(_others(_HR), 2)
        roles = {"hr": _HR, "other": other, "other2": other2}
        start = working_time(chance, day, 9)
        if n % 5 == 4:
            slots = {"topic": _TOPICS[n // 5 % len(_TOPICS)], "weekday": _DAYS[n % 3]}
            talk.play("training", "hr", start, roles, slots)
        elif n % 5 == 2 and day > date(2026, 1, 27):
            slots = {"count": str(2 + (day - date(2026, 1, 26)).days * 3 // 4)}
            talk.play("hiring", "hr", start, roles, slots)
        else:
            week = [w for w in world.leaves if w.first <= day + timedelta(4) and day <= w.last]
            away = ", ".join(f"{BY_NAME[w.person].short} ({short(w.first)} to {short(w.last)})" for w in week)
            slots = {"away": f"Away these days: {away}." if away else "Everybody is here these days."}
            talk.play("away", "hr", start, roles, slots)
    for employee in COLLEAGUES:
        day = date(2026, employee.born.month, employee.born.day)
        if day in workdays() and employee.username != _HR and not world.away(employee.username, day):
            other = chance.choice(_others(_HR, employee.username))
            roles = {"hr": _HR, "person": employee.username, "other": other}
            talk.play("birthday", "general", at(day, 8, 5), roles)
    roles = {"hr": _HR, "other": "priya_sharma"}
    talk.play("policy", "hr", at(workday_near(policy.day + timedelta(2)), 10), roles, {"what": policy.what})


def _small_talk(talk: Talk) -> None:
    chance, world = talk.chance, talk.world
    for day in workdays():
        a, b, c = chance.sample(_EVERYBODY, 3)
        slots = {
            "weekday": chance.choice(_DAYS),
            "clock": f"{15 + (day.month + day.day // 16) // 2}:{chance.randrange(10, 50)}",
            "customer": chance.choice(world.customers).name,
        }
        for _ in range(chance.choice((1, 2, 2))):
            a, b, c = chance.sample(_EVERYBODY, 3)
            roles = {"a": a, "b": b, "c": c}
            talk.play("random", "random", working_time(chance, day, 9), roles, slots)
        if chance.random() < 0.6:
            other, other2 = chance.sample(_others(_HR), 2)
            roles = {"hr": _HR, "other": other, "other2": other2}
            talk.play("general", "general", working_time(chance, day, 8, 13), roles, slots)
        done = [w for w in world.works if w.closed and w.closed.date() == day and not w.declined]
        if done:
            work = chance.choice(done)
            admirer = chance.choice(_others(work.assignee))
            start = working_time(chance, day, 13)
            talk.play("kudos", "kudos", start, {"a": admirer, "b": work.assignee}, about(work))
        if chance.random() < 0.35:
            product = world.product(chance.choice(("Trellis", "Storefront")))
            engineer = chance.choice([p for p in product.members if p != "sophia_rodriguez"])
            roles = {"designer": "sophia_rodriguez", "engineer": engineer, "lead": product.lead}
            slots = {"product": product.name}
            talk.play("design", "design", working_time(chance, day, 9), roles, slots)


def _leaves(talk: Talk) -> None:
    for leave in talk.world.leaves:
        manager = BY_NAME[leave.person].manager or "sarah_johnson"
        asked = [d for d in workdays() if leave.first - timedelta(20) <= d < leave.first - timedelta(3)]
        if not asked or leave.person == manager:
            continue
        slots = {"first": short(leave.first), "last": short(leave.last)}
        roles = {"asker": leave.person, "manager": manager, "hr": _HR, "cover": leave.cover}
        start = working_time(talk.chance, talk.chance.choice(asked), 9, 14)
        talk.play("leave", talk.private(leave.person, manager), start, roles, slots)
        if manager != _HR:
            later = start + timedelta(minutes=30)
            talk.play("leave_hr", talk.private(manager, _HR), later, roles, slots)


def _conversations(talk: Talk) -> None:
    """Talks of managers with their people each week, and of peers on most days."""
    chance, world = talk.chance, talk.world
    for day in workdays():
        current = [
            w
            for w in world.works
            if w.sprint and w.opened.date() < day <= (w.closed.date() if w.closed else TODAY)
        ]
        if day.weekday() in (1, 3):
            for report in chance.sample([e for e in COLLEAGUES if e.manager], 5):
                mine = [w for w in current if w.assignee == report.username] or current
                slots = about(chance.choice(mine)) | {"clock": f"{chance.randint(12, 15)}:00"}
                roles = {"manager": report.manager, "report": report.username}
                room = talk.private(report.username, report.manager)
                talk.play("one_to_one", room, working_time(chance, day, 8, 11), roles, slots)
        for _ in range(4):
            work = chance.choice(current)
            one, two = work.assignee, work.reviewer
            slots = about(work) | {"weekday": chance.choice(_DAYS)}
            room = talk.private(one, two)
            talk.play("peer", room, working_time(chance, day, 9), {"one": one, "two": two}, slots)


def _welcome(talk: Talk) -> None:
    """What the assistant finds on the first morning."""
    talk.say(
        "general",
        "sarah_johnson",
        at(TODAY, 7, 55),
        "Good morning! Sprint 5 starts today, planning is at 10.",
    )
    text = f"@{AGENT} helps all of us from today on. Say clearly what you need, and by when."
    talk.say("general", "sarah_johnson", at(TODAY, 8, 0), text)
    hello = (
        "Welcome! Accounts work everywhere. When something is unclear, ask the person who knows; they answer."
    )
    talk.say(talk.private("chen_xinyi", AGENT), "chen_xinyi", at(TODAY, 8, 20), hello)
