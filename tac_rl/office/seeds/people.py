"""The eighteen people of the company: accounts and names as TAC knows them, everything else ours."""

from dataclasses import dataclass
from datetime import date

from tac_rl.office.overlay import PersonOverlay

AGENT = "theagentcompany"
DOMAIN = "agentcompany.com"


@dataclass(frozen=True)
class Employee:
    """One person. `salary` is in EUR a year (0 for the assistant's account)."""

    username: str
    name: str
    short: str
    """How colleagues call them."""
    title: str
    team: str
    department: str
    manager: str
    """A username; empty for those who answer to the board."""
    city: str
    hired: date
    born: date
    salary: int
    bio: str

    @property
    def email(self) -> str:
        return "agent@company.com" if self.username == AGENT else f"{self.username.replace('_', '.')}@{DOMAIN}"


def _employee(
    username: str, name: str, short: str, title: str, place: str, manager: str, city: str, days: str, salary: int, bio: str
) -> Employee:
    team, department = place.split(" / ")
    hired, born = (date.fromisoformat(day) for day in days.split())
    return Employee(username, name, short, title, team, department, manager, city, hired, born, salary, bio)


PEOPLE = (
    _employee(
        "sarah_johnson", "Sarah Johnson", "Sarah", "Chief Technology Officer", "Leadership / Engineering", "", "Oslo",
        "2019-03-01 1983-05-11", 132000,
        "Decides where our technology goes and keeps an eye on hiring in engineering. Built the first version of Gatehouse.",
    ),
    _employee(
        "li_ming", "Li Ming", "Ming", "Project Lead, Data Platform", "Data Platform / Engineering", "sarah_johnson", "Oslo",
        "2020-08-17 1990-11-23", 94000,
        "Leads Tidewater and Lattice. Plans backwards from the date a customer needs something.",
    ),
    _employee(
        "zhang_wei", "Zhang Wei", "Wei", "Engineer, Stream Processing", "Data Platform / Engineering", "li_ming", "Bergen",
        "2021-02-01 1994-02-08", 83000,
        "Works on windows, watermarks and whatever arrives late. On call more often than the roster says.",
    ),
    _employee(
        "wang_fang", "Wang Fang", "Fang", "Research Engineer, Language Models", "AI Services / Engineering", "mike_chen", "Oslo",
        "2022-09-05 1997-07-30", 81000,
        "Measures models before she believes them. Runs the nightly evaluation of Ember.",
    ),
    _employee(
        "mike_chen", "Mike Chen", "Mike", "Principal Engineer, Inference", "AI Services / Engineering", "sarah_johnson", "Oslo",
        "2020-01-13 1992-03-14", 98000,
        "Leads Ember. Likes profilers, dislikes surprises in latency graphs.",
    ),
    _employee(
        "emily_zhou", "Emily Zhou", "Emily", "Engineer, Crawling", "Search / Engineering", "huang_jie", "Trondheim",
        "2022-04-04 1996-01-19", 77000,
        "Teaches Heron manners and Quill new words. Reads robots.txt files for fun.",
    ),
    _employee(
        "liu_qiang", "Liu Qiang", "Qiang", "Quality Lead", "Quality and Docs / Engineering", "sarah_johnson", "Oslo",
        "2019-10-07 1989-09-02", 86000,
        "Owns Checkup, test plans and the question whether it can be released.",
    ),
    _employee(
        "priya_sharma", "Priya Sharma", "Priya", "Technical Writer", "Quality and Docs / Engineering", "liu_qiang", "Oslo",
        "2023-03-13 1998-12-05", 68000,
        "Keeps the handbook true. Deletes more sentences than she writes.",
    ),
    _employee(
        "mark_johnson", "Mark Johnson", "Mark", "Head of Sales", "Sales and Marketing / Sales and Marketing", "", "London",
        "2020-05-04 1985-08-21", 104000,
        "Knows every customer by first name and most of their dogs. In London, often on trains.",
    ),
    _employee(
        "jessica_lee", "Jessica Lee", "Jessica L", "Head of Marketing", "Sales and Marketing / Sales and Marketing",
        "mark_johnson", "Oslo", "2021-06-14 1993-04-27", 79000,
        "Newsletter, web page, events. Writes the sentence that customers remember.",
    ),
    _employee(
        "chen_xinyi", "Chen Xinyi", "Xinyi", "People Operations Lead", "People and Finance / Operations", "", "Oslo",
        "2021-01-11 1995-10-16", 78000,
        "Hiring, leave, training, policies, and the list for Thursday's lunch.",
    ),
    _employee(
        "david_wong", "David Wong", "David", "Finance Lead", "People and Finance / Operations", "", "Oslo",
        "2019-05-20 1980-06-09", 102000,
        "Budgets, invoices, payroll. Answers every question about receipts, kindly, for the hundredth time.",
    ),
    _employee(
        "huang_jie", "Huang Jie", "Jie", "Product Lead, Search", "Search / Engineering", "sarah_johnson", "Oslo",
        "2021-09-01 1991-12-12", 92000,
        "Leads Quill and Heron, and the product meeting on Wednesdays. Asks what problem it solves.",
    ),
    _employee(
        "sophia_rodriguez", "Sophia Rodriguez", "Sophia", "Product Designer", "Product and Web / Engineering", "sarah_johnson",
        "Oslo", "2021-11-15 1988-03-03", 84000,
        "Designs Storefront and Trellis, tests both with real people, and counts clicks.",
    ),
    _employee(
        "alex_turner", "Alex Turner", "Alex", "Engineer, Trellis", "Product and Web / Engineering", "sarah_johnson", "Bergen",
        "2022-01-10 1995-05-25", 80000,
        "Builds the flow editor and the engine beneath it. Draws boxes and arrows on every free surface.",
    ),
    _employee(
        "emma_lewis", "Emma Lewis", "Emma", "Engineer, Platform APIs", "Product and Web / Engineering", "sarah_johnson", "London",
        "2021-04-19 1992-09-18", 85000,
        "Owns Gatehouse: routes, limits, tokens. Never breaks a client on purpose.",
    ),
    _employee(
        "jessica_chen", "Jessica Chen", "Jessica C", "Engineer, Web Frontend", "Product and Web / Engineering", "sarah_johnson",
        "Oslo", "2023-08-21 1997-02-14", 76000,
        "Builds Storefront, makes it fast on old phones, and speaks up for keyboards and screen readers.",
    ),
    _employee(
        AGENT, "theagentcompany", "Agent", "Assistant", "Assistance / Operations", "sarah_johnson", "Oslo",
        "2026-01-05 2026-01-05", 0,
        "The company's assistant. Give it work that can be checked.",
    ),
)  # fmt: skip

BY_NAME = {employee.username: employee for employee in PEOPLE}
COLLEAGUES = tuple(employee for employee in PEOPLE if employee.username != AGENT)


def reports_of(manager: str) -> tuple[Employee, ...]:
    """The colleagues who answer to somebody, in the order of `PEOPLE`."""
    return tuple(e for e in COLLEAGUES if e.manager == manager)


def person_overlays() -> tuple[PersonOverlay, ...]:
    """Accounts for everybody."""
    return tuple(
        PersonOverlay(
            username=e.username,
            name=e.name,
            email=e.email,
            title=e.title,
            team=e.team,
            bio=e.bio,
            admin=e.username == AGENT,
        )
        for e in PEOPLE
    )
