"""People's documents: employees, salaries, leave, policies, hiring, the survey, training."""

from collections.abc import Iterator
from datetime import date, timedelta

from tac_rl.office.seeds import formats
from tac_rl.office.seeds.calendar import HOLIDAYS, TODAY
from tac_rl.office.seeds.formats import Block
from tac_rl.office.seeds.people import BY_NAME, COLLEAGUES, reports_of
from tac_rl.office.seeds.world import Leave, World

LEAVE_DAYS = 28
_QUESTIONS = (
    "I know what is expected of me",
    "I have what I need to do my work",
    "My manager listens",
    "Meetings are worth their time",
    "I learn something new",
    "I would recommend us as a place to work",
)


def people_files(world: World) -> Iterator[tuple[str, bytes]]:
    yield "People/Employees.xlsx", formats.to_xlsx({"Employees": employee_rows()})
    yield "People/Employees.csv", formats.to_csv(employee_rows())
    yield "People/Salaries 2026.xlsx", _salaries()
    yield "People/Organisation.pdf", _organisation()
    yield "People/Leave/Leave 2026.csv", formats.to_csv(_leave_rows(world))
    yield "People/Leave/Balance 2026.xlsx", formats.to_xlsx({"Balance": _balance(world)})
    yield from _policies(world)
    yield "People/Hiring/Backend engineer.docx", _advert()
    yield "People/Hiring/Applications.csv", formats.to_csv(_applications(world))
    yield from _survey(world)
    yield "People/Training/Plan 2026.xlsx", formats.to_xlsx({"Training": _training(world)})


def employee_rows() -> list[list[formats.Cell]]:
    head: list[formats.Cell] = [
        "Name",
        "Username",
        "E-mail",
        "Title",
        "Team",
        "Department",
        "Manager",
        "City",
        "Hired",
    ]
    return [head] + [
        [
            e.name, e.username, e.email, e.title, e.team, e.department,
            BY_NAME[e.manager].name if e.manager else "The board", e.city, e.hired.isoformat(),
        ]
        for e in COLLEAGUES
    ]  # fmt: skip


def _salaries() -> bytes:
    rows: list[list[formats.Cell]] = [["Name", "Department", "Salary 2026 (EUR a year)", "Hired", "Years"]]
    for e in COLLEAGUES:
        rows.append([e.name, e.department, e.salary, e.hired.isoformat(), (TODAY - e.hired).days // 365])
    rows.append(["Total", None, sum(e.salary for e in COLLEAGUES), None, None])
    departments = sorted({e.department for e in COLLEAGUES})
    summary: list[list[formats.Cell]] = [["Department", "People", "Salaries", "Mean"]]
    for department in departments:
        own = [e.salary for e in COLLEAGUES if e.department == department]
        summary.append([department, len(own), sum(own), round(sum(own) / len(own))])
    return formats.to_xlsx({"Salaries": rows, "By department": summary})


def _organisation() -> bytes:
    blocks: list[Block] = []
    for manager in COLLEAGUES:
        reports = reports_of(manager.username)
        if reports:
            blocks.append(("heading", f"{manager.name}, {manager.title}"))
            blocks += [("item", f"{report.name}, {report.title} ({report.city})") for report in reports]
    alone = [e.name for e in COLLEAGUES if not e.manager and not reports_of(e.username)]
    blocks.append(("text", f"Without reports, answering to the board: {', '.join(alone)}."))
    return formats.to_pdf("Who works with whom", blocks, on=date(2026, 1, 12))


def days_of(leave: Leave) -> int:
    """Working days of a leave."""
    days = (leave.first + timedelta(n) for n in range((leave.last - leave.first).days + 1))
    return sum(day.weekday() < 5 and day not in HOLIDAYS for day in days)


def _leave_rows(world: World) -> list[list[formats.Cell]]:
    rows: list[list[formats.Cell]] = [["Name", "First day", "Last day", "Working days", "Covered by"]]
    for leave in world.leaves:
        name, cover = BY_NAME[leave.person].name, BY_NAME[leave.cover].name
        rows.append([name, leave.first.isoformat(), leave.last.isoformat(), days_of(leave), cover])
    return rows


def _balance(world: World) -> list[list[formats.Cell]]:
    chance = world.chance("leave of last year")
    rows: list[list[formats.Cell]] = [["Name", "Days a year", "Left of 2025", "Taken or planned", "Left"]]
    for e in COLLEAGUES:
        kept = chance.choice((0, 0, 1, 2, 4, 5))
        taken = sum(days_of(leave) for leave in world.leaves if leave.person == e.username)
        rows.append([e.name, LEAVE_DAYS, kept, taken, LEAVE_DAYS + kept - taken])
    return rows


def _policies(world: World) -> Iterator[tuple[str, bytes]]:
    office_days = next(d for d in world.decisions if d.by == "chen_xinyi")
    leave: list[Block] = [
        (
            "text",
            f"Everyone has {LEAVE_DAYS} working days of leave a year. Five days may be kept until March.",
        ),
        ("heading", "How to ask"),
        ("item", "Write to your manager, two weeks ahead for more than three days."),
        ("item", "Find a colleague who covers for you."),
        ("item", "Your manager tells People Operations, who enter it in the leave list."),
    ]
    yield "People/Policies/Leave.docx", formats.to_docx("Leave", "Chen Xinyi", leave)
    days: list[Block] = [
        ("text", f"{office_days.what}. Decided on {office_days.day.isoformat()}, valid from 2 March 2026."),
        ("heading", "Exceptions"),
        ("item", "Colleagues who live more than 90 minutes away come every other week."),
        ("item", "Your manager may agree on another day when a child or a parent needs you."),
    ]
    yield "People/Policies/Office days.docx", formats.to_docx("Office days", "Chen Xinyi", days)
    remote: list[Block] = [
        ("text", "Up to three days a week can be worked from anywhere in the country."),
        ("text", "Working from another country: up to ten days a year, after a word with People Operations."),
        ("heading", "Equipment"),
        ("text", "A screen and a chair for home are paid once, up to 400 EUR."),
    ]
    yield "People/Policies/Remote work.odt", formats.to_odt("Remote work", remote)
    travel: list[Block] = [
        ("heading", "Limits"),
        ("table", [["What", "Limit (EUR)"], ["Hotel, a night", 155], ["Meals, a day", 42],
                   ["Equipment without approval", 300]]),
        ("heading", "Deadline"),
        ("text", "Receipts go to finance by the 5th of the following month, with the form in Finance/Forms."),
    ]  # fmt: skip
    yield (
        "People/Policies/Travel and expenses.pdf",
        formats.to_pdf("Travel and expenses", travel, on=date(2026, 1, 7)),
    )
    security: list[Block] = [
        ("item", "Passwords live in the password manager, nowhere else."),
        ("item", "Report a lost laptop to Sarah Johnson at once, at any hour."),
        ("item", "Customer data is looked at for a ticket only, and the access is logged."),
    ]
    yield "People/Policies/Security.pdf", formats.to_pdf("Security", security, on=date(2025, 11, 3))


def _advert() -> bytes:
    blocks: list[Block] = [
        ("text", "We look for one backend engineer, to begin in the second quarter of 2026."),
        ("heading", "You will"),
        ("item", "work on Gatehouse and Tidewater with Emma Lewis and Li Ming"),
        ("item", "be on call one week in six"),
        ("heading", "You bring"),
        ("item", "three years with Python, and something you are proud of"),
        ("item", "patience with old data and new colleagues"),
        ("heading", "We offer"),
        ("text", f"70,000 to 85,000 EUR a year, {LEAVE_DAYS} days of leave, Oslo or Bergen, Thursday lunch."),
    ]
    return formats.to_docx("Backend engineer", "Chen Xinyi", blocks)


def _applications(world: World) -> list[list[formats.Cell]]:
    chance = world.chance("applications")
    first = (
        "Anna",
        "Bjarne",
        "Carla",
        "Dmitri",
        "Elif",
        "Fatou",
        "Goran",
        "Hanne",
        "Ivo",
        "Jun",
        "Karim",
        "Lotte",
    )
    last = (
        "Aalto",
        "Berg",
        "Costa",
        "Dahl",
        "Eriksen",
        "Fofana",
        "Gruber",
        "Hansen",
        "Ilves",
        "Jansen",
        "Kaya",
        "Lund",
    )
    rows: list[list[formats.Cell]] = [
        ["Received", "Name", "Years of experience", "Wished salary (EUR)", "Status"]
    ]
    names = list(zip(chance.sample(first, 12), chance.sample(last, 12), strict=True))
    names += list(zip(chance.sample(first, 12), chance.sample(last, 12), strict=True))
    for n, (given, family) in enumerate(names):
        years = chance.randint(1, 14)
        status = (
            "declined" if years < 3 else chance.choice(("new", "first talk", "first talk", "work sample"))
        )
        day = date(2026, 1, 27) + timedelta(n * 31 // len(names))
        rows.append(
            [
                day.isoformat(),
                f"{given} {family}",
                years,
                62000 + 1900 * years + 500 * chance.randrange(9),
                status,
            ]
        )
    return rows


def _survey(world: World) -> Iterator[tuple[str, bytes]]:
    """Answers from 1 to 5 by department, and a summary whose means are those of the answers."""
    chance = world.chance("survey")
    answers = {
        e.username: [
            min(5, max(1, round(chance.gauss(4.0 - 0.5 * (n == 3), 0.8)))) for n in range(len(_QUESTIONS))
        ]
        for e in COLLEAGUES
    }
    rows: list[list[formats.Cell]] = [["Answer", "Department", *_QUESTIONS]]
    order = chance.sample(COLLEAGUES, len(COLLEAGUES))
    rows += [[n, e.department, *answers[e.username]] for n, e in enumerate(order, 1)]
    means = [round(sum(a[n] for a in answers.values()) / len(answers), 2) for n in range(len(_QUESTIONS))]
    summary: list[list[formats.Cell]] = [["Question", "Mean (1 to 5)"]]
    summary += [[question, mean] for question, mean in zip(_QUESTIONS, means, strict=True)]
    yield "People/Survey/Results 2026.xlsx", formats.to_xlsx({"Answers": rows, "Means": summary})
    lowest = _QUESTIONS[means.index(min(means))]
    blocks: list[Block] = [
        ("text", f"{len(answers)} of {len(COLLEAGUES)} colleagues answered, from 2 to 13 February."),
        ("table", summary),
        ("text", f"The lowest mean is that of “{lowest}”. Each team names one thing to change in March."),
    ]
    yield "People/Survey/Summary 2026.docx", formats.to_docx("Survey among colleagues", "Chen Xinyi", blocks)


def _training(world: World) -> list[list[formats.Cell]]:
    chance = world.chance("training")
    rows: list[list[formats.Cell]] = [["Topic", "Month", "Hours", "Places", "Signed up"]]
    for topic, month, hours, places in (
        ("First aid", "January", 6, 8), ("Phishing", "January", 1, 17), ("Giving feedback", "February", 3, 10),
        ("Writing for customers", "February", 2, 10), ("Profiling", "March", 4, 8),
        ("Accessible web pages", "April", 4, 8),
    ):  # fmt: skip
        rows.append([topic, month, hours, places, chance.randint(places // 2, places)])
    return rows
