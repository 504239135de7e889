"""Read the guide and the form, ask, make the rooms, fill in the folder, say hello."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

COMPANY = (
    "alex_turner",
    "emma_lewis",
    "emily_zhou",
    "jessica_chen",
    "priya_sharma",
    "wang_fang",
    "zhang_wei",
)


def work(instruction: str, slip: Slip) -> Work:
    name = re.findall(r"Hi! (\w+ \w+) joins", instruction)[0]
    root = re.findall(r"on the drive in (\S+)\.", instruction)[0]
    guide = yield f"drive cat {root}/Guide.md"
    prefix = re.findall(r"Its name is (\w+)-", guide)[0]
    forms = re.findall(r"\S+\.txt", (yield f"drive ls {root}/Forms"))
    texts = yield f"for form in {' '.join(forms)}; do echo == $form; drive cat {root}/Forms/$form; done"
    form = _form_of(texts, name)
    if slip("first_form"):
        form = texts.split("== ")[1]
    facts = dict(re.findall(r"^(\w[\w ]*): (.+)$", form, re.M))
    account, manager = facts["Account"], facts["Manager"]

    question = f"Which channels and which buddy for {name}, and who has the equipment?"
    answer = yield f"chat ask {manager.lower().replace(' ', '_')} {question!r}"
    rooms = re.findall(r"#([\w-]+)", answer)
    buddies, keepers = re.findall(r"buddy is (\w+ \w+)", answer), re.findall(r"\(@(\w+)\)", answer)
    buddy = (
        slip.choose(COMPANY).replace("_", " ").title() if slip("guess_buddy") or not buddies else buddies[0]
    )
    number = ""
    if not slip("skip_equipment") and keepers:
        answer = yield f"chat ask {keepers[0]} {f'Which equipment is for {name}?'!r}"
        number = "".join(re.findall(r"[A-Z]{2}-\d{4}", answer))
    friend = re.findall(r"username: (\w+)", (yield f"chat who {buddy}"))[0]
    boss = re.findall(r"username: (\w+)", (yield f"chat who {manager}"))[0]

    room = f"{prefix}-{account.replace('_', '-')}"
    people = [account, friend] if slip("forget_manager") else [account, boss, friend]
    yield f"chat {'create' if slip('public_room') else 'create-private'} {room} {' '.join(people)}"
    for wanted in rooms[:1] if slip("first_channel_only") else rooms:
        yield f"chat invite {wanted} {account}"
    if slip("invite_to_random"):
        yield f"chat invite random {account}"

    folder = f"{root}/{name}"
    if slip("move_template"):
        yield f"drive mv {root}/Template '{folder}'"
    else:
        yield f"drive cp {root}/Template '{folder}'"
    if not slip("empty_checklist"):
        checklist = yield f"drive cat '{folder}/Checklist.md'"
        known = {
            **facts,
            "Buddy": buddy,
            "Equipment": number,
            "Private channel": room,
            "Channels": ", ".join(rooms),
        }
        filled = re.sub(r"- ([\w ]+):", lambda line: f"{line[0]} {known.get(line[1], '')}", checklist)
        yield f"drive write '{folder}/Checklist.md' {filled!r}".replace(r"\n", "\n")
    if not slip("no_greeting"):
        first = account.partition("_")[0].title()
        hello = f"Hello {first}, welcome!" + (
            "" if slip("no_buddy_in_greeting") else f" Your buddy is {buddy}."
        )
        yield f"chat dm {account} {hello!r}"


def _form_of(texts: str, name: str) -> str:
    """The form that has the name, of several with a line == before each."""
    return next(text for text in texts.split("== ") if f"Name: {name}\n" in f"{text}\n")


ENDINGS = (
    WrongEnding("nobody asked for the equipment", results=(0, 2, 2, 1, 1, 0, 1), slips=("skip_equipment",)),
    WrongEnding("everybody can read the channel", results=(1, 0, 2, 1, 1, 1, 1), slips=("public_room",)),
    WrongEnding("the manager left out", results=(1, 0, 2, 1, 1, 1, 1), slips=("forget_manager",)),
    WrongEnding("a channel too many", results=(1, 2, 0, 1, 1, 1, 1), slips=("invite_to_random",)),
    WrongEnding("channels forgotten", results=(1, 2, 0, 1, 1, 1, 1), slips=("first_channel_only",)),
    WrongEnding("the template is gone", results=(1, 2, 2, 0, 1, 1, 1), slips=("move_template",)),
    WrongEnding("the checklist is empty", results=(1, 2, 2, 1, 0, 0, 1), slips=("empty_checklist",)),
    WrongEnding("no hello", results=(1, 2, 2, 1, 1, 1, 0), slips=("no_greeting",)),
    WrongEnding("the buddy isn't told", results=(1, 2, 2, 1, 1, 1, 0), slips=("no_buddy_in_greeting",)),
)
