"""Three new colleagues have forms on the drive, and one of them is to be onboarded. Two have the same manager, who
knows channels and buddies, but not the equipment."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES, CODENAMES, FAMILY_NAMES, FIRST_NAMES

ROOT = "Documents/People/Onboarding"
NAMES = {
    "li_ming": "Li Ming",
    "mike_chen": "Mike Chen",
    "huang_jie": "Huang Jie",
    "sophia_rodriguez": "Sophia Rodriguez",
    "liu_qiang": "Liu Qiang",
    "zhang_wei": "Zhang Wei",
    "wang_fang": "Wang Fang",
    "emily_zhou": "Emily Zhou",
    "priya_sharma": "Priya Sharma",
    "alex_turner": "Alex Turner",
    "emma_lewis": "Emma Lewis",
    "jessica_chen": "Jessica Chen",
}
TEAMS = {
    "li_ming": ("Data Platform", "project-data"),
    "mike_chen": ("AI Services", "project-ai"),
    "huang_jie": ("Search", "project-search"),
    "sophia_rodriguez": ("Product and Web", "project-web"),
    "liu_qiang": ("Quality and Docs", "engineering"),
}
"""Who leads which team, and the team's channel."""
OTHERS = [username for username in NAMES if username not in TEAMS]
OFTEN_WANTED = ("design", "incidents", "product", "releases", "support")
TAKEN = ("chen", "emma", "priya", "wong")
"""Names that people of the company have; which of two Emmas would have to be guessed."""
ASK_WHO = ("For whom? Two people start with me.", "Which of the two who start with me?")
GUIDE = """# Onboarding

1. Every new colleague has a form in the folder Forms. Its file is named by the day on which it came in.
2. Ask the manager which channels the new colleague should be in, who the buddy is, and about the equipment.
3. Make a private channel. Its name is {prefix}- and the account's name with a hyphen for the underscore. In it are
   the new colleague, the manager and the buddy, and nobody else beside you.
4. Invite the new colleague to the channels that the manager wants, and to no others. (In general is everybody who has
   an account.)
5. Copy the folder Template to a folder beside it that is called by the colleague's full name. Fill in the checklist
   there, each answer behind its colon: people with their full names, the day as the form has it, the equipment by its
   number, channels by their names with commas between them. The other files stay as they are.
6. Write to the new colleague directly: say hello with the first name, and tell the full name of the buddy.
"""


def make(rng: random.Random) -> Made:
    firsts = rng.sample([name for name in FIRST_NAMES if name not in TAKEN], 3)
    families = rng.sample([name for name in FAMILY_NAMES if name not in TAKEN], 3)
    starters = [f"{f}_{n}" for f, n in zip(firsts, families, strict=True)]
    manager, stranger = rng.sample(list(TEAMS), 2)
    team, team_room = TEAMS[manager]
    keeper, buddy, another_buddy = rng.sample(OTHERS, 3)
    crew = f"{rng.choice(CODENAMES)}-crew"
    wanted = [team_room, crew, rng.choice(OFTEN_WANTED)]
    rng.shuffle(wanted)
    numbers = [f"{rng.choice(('NB', 'LT', 'PC'))}-{n}" for n in rng.sample(range(1000, 10000), 3)]
    days = [f"2026-03-{day:02}" for day in rng.sample(range(9, 32), 3)]
    prefix = rng.choice(("start", "welcome", "hello", "arrival"))
    ask, name = rng.choice(ASK_WHO), _name(starters[0])
    template = _template(rng)
    filled = {
        "Name": name,
        "Account": starters[0],
        "First day": days[0],
        "Team": team,
        "Manager": NAMES[manager],
        "Buddy": NAMES[buddy],
        "Equipment": numbers[0],
        "Private channel": f"{prefix}-{starters[0].replace('_', '-')}",
        "Channels": ", ".join(wanted),
    }
    files = {f"{ROOT}/Template/{file}": text for file, text in template.items()}
    files[f"{ROOT}/Guide.md"] = GUIDE.format(prefix=prefix)
    received = [f"2026-02-{day:02}" for day in rng.sample(range(2, 28), 3)]
    for who, day, came, boss in zip(starters, days, received, (manager, manager, stranger), strict=True):
        files[f"{ROOT}/Forms/{came}.txt"] = _form(rng, who, day, boss)
    hello = ("Thank you, I'm looking forward to it!", "Thanks for the warm welcome!")
    whose = {"needs": _names(starters[0]), "ask": "Whose? There are several on my desk."}
    return Made(
        values={"name": name, "root": ROOT, "requester": "Xinyi"},
        office={
            "people": [{"username": who, "name": _name(who), "title": "New colleague"} for who in starters],
            "chat": {
                "channels": [
                    {
                        "name": crew,
                        "topic": f"{team}, this quarter",
                        "owner": manager,
                        "members": [buddy, keeper],
                    }
                ]
            },
            "drive": {"files": files},
            "colleagues": {
                manager: {
                    "facts": [
                        {
                            "about": ["channel", "channels", "room", "rooms"],
                            "answer": f"Please invite {firsts[0].title()} to {_listed(wanted)}.",
                            "needs": _names(starters[0]),
                            "ask": ask,
                        },
                        {
                            "about": ["buddy", "buddies", "mentor"],
                            "answer": f"The buddy is {NAMES[buddy]}; we have talked about it.",
                            "needs": _names(starters[0]),
                            "ask": ask,
                        },
                        {
                            "about": ["equipment", "notebook", "laptop", "computer", "hardware", "device"],
                            "answer": "I don't know what is there.",
                            "refer_to": keeper,
                        },
                    ]
                },
                keeper: {
                    "facts": [
                        {
                            "about": [
                                "equipment",
                                "notebook",
                                "laptop",
                                "computer",
                                "hardware",
                                "device",
                                "number",
                            ],
                            "answer": f"For {name} I have set up {numbers[0]}.",
                            **whose,
                        }
                    ]
                },
                buddy: {
                    "fallback": f"Yes, I'm the buddy of {firsts[0].title()}. The rest is known to {NAMES[manager]}."
                },
                another_buddy: {"fallback": f"I'll be the buddy of {firsts[1].title()}, as far as I know."},
                **{who: {"fallback": rng.choice(hello)} for who in starters},
            },
        },
        facts={
            "person": starters[0],
            "others": starters[1:],
            "manager": manager,
            "buddy": buddy,
            "buddy_name": NAMES[buddy],
            "first": firsts[0],
            "keeper": keeper,
            "requester": "chen_xinyi",
            "number": numbers[0],
            "room": filled["Private channel"],
            "wanted": wanted,
            "root": ROOT,
            "folder": f"{ROOT}/{name}",
            "template": template,
            "filled": filled,
        },
    )


def _name(username: str) -> str:
    return username.replace("_", " ").title()


def _names(username: str) -> list[str]:
    """What people may call somebody."""
    return [username, *username.split("_")]


def _listed(rooms: list[str]) -> str:
    first, *rest = [f"#{room}" for room in rooms]
    return ", ".join([first, *rest[:-1]]) + f" and {rest[-1]}"


def _form(rng: random.Random, username: str, day: str, manager: str) -> str:
    lines = [
        f"Name: {_name(username)}",
        f"Account: {username}",
        f"First day: {day}",
        f"Team: {TEAMS[manager][0]}",
        f"Manager: {NAMES[manager]}",
        f"Comes from: {rng.choice(CITIES).title()}",
    ]
    rng.shuffle(lines)
    return "New colleague\n\n" + "\n".join(lines) + "\n"


def _template(rng: random.Random) -> dict[str, str]:
    """The files of the folder Template."""
    known = ["Name", "Account", "First day", "Team", "Manager"]
    asked = ["Buddy", "Equipment", "Private channel", "Channels"]
    rng.shuffle(asked)
    day, room = rng.choice(("Monday", "Tuesday", "Wednesday")), rng.choice(("blue", "green", "small"))
    return {
        "Checklist.md": "# Checklist\n\n" + "".join(f"- {key}:\n" for key in known + asked),
        "First week.md": f"# First week\n\n{day}: tour of the office, lunch with the team\n"
        f"Friday: talk with the manager in the {room} room\n",
        "Accounts.txt": f"Passwords are given out at the desk, from {rng.randint(8, 11)}:{rng.choice((15, 30, 45))}.\n",
    }
