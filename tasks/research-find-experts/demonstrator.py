"""Read how pages are made, let git count, ask, write the page, send its title."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    project, kind, season = re.findall(
        r"in (\S+), so I'd like to have the (\w+) page for (\w+ \d+)", instruction
    )[0]
    asker = re.findall(r"\(@(\w+)\)", instruction)[0]
    titles = (yield f"forge wiki {project}").splitlines()
    how = next(title for title in titles if title.startswith("How"))
    before = next(title for title in titles if re.fullmatch(rf"{kind.title()} \w+ \d+", title))
    yield f"forge wiki {project} {how}"
    example = yield f"forge wiki {project} {before}"
    title = f"{kind.title()} {season}"

    modules = (yield f"forge clone {project} repository && ls repository/src").split()[-3:]
    which = "--all" if slip("all_branches") else "HEAD"
    people: dict[str, tuple[str, str]] = {}
    for module in modules:
        where = "" if slip("whole_repository") else f" -- src/{module}"
        counted = yield f"git -C repository shortlog -sn {which}{where}"
        counts = {name: number for number, name in re.findall(r"(\d+)\s+(\w+ \w+)", counted)}
        person = next(iter(counts))
        if not slip("ask_nobody"):
            question = f"May I name you for the {module} on the wiki page {title} of {project}?"
            answer = yield f"chat ask {_account(person)} {question!r}"
            others = re.findall(r"\(@(\w+)\)", answer)
            if others and not slip("name_them_anyway"):
                person = others[0].replace("_", " ").title()
                if not slip("take_it_for_a_yes"):
                    yield f"chat ask {others[0]} {question!r}"
        people[module] = (person, counts.get(person, "0"))

    day = (yield "git -C repository log -1 --format=%cs HEAD").strip()
    top, table, _ = example.strip().split("\n\n")
    header = table.splitlines()[:2]
    rows = [f"| {m} | {name} | @{_account(name)} | {count} |" for m, (name, count) in sorted(people.items())]
    if slip("no_numbers"):
        rows = [row.rpartition("| ")[0] + "| |" for row in rows]
    last = "" if slip("no_day") else f"\n\nAs of {day}."
    text = "\n".join([top, "", *header, *rows]) + last
    if slip("overwrite_the_old_one"):
        title = before
    yield f"forge write-wiki {project} '{title}' '{text}'"
    if not slip("tell_nobody"):
        yield f"chat dm {asker} The page is called {title}"


def _account(name: str) -> str:
    return name.lower().replace(" ", "_")


ENDINGS = (
    WrongEnding("nobody asked", results=(0, 0, 1, 1, 0, 0, 1), slips=("ask_nobody",)),
    WrongEnding("somebody named who said no", results=(1, 0, 1, 1, 0, 0, 1), slips=("name_them_anyway",)),
    WrongEnding("the other one not asked", results=(1, 0, 1, 2, 2, 1, 1), slips=("take_it_for_a_yes",)),
    WrongEnding("no numbers", results=(1, 1, 1, 2, 0, 0, 1), slips=("no_numbers",)),
    WrongEnding("no day", results=(1, 1, 1, 2, 2, 0, 1), slips=("no_day",)),
    WrongEnding("the old page overwritten", results=(1, 1, 0, 0, 0, 0, 0), slips=("overwrite_the_old_one",)),
    WrongEnding("the title not sent", results=(1, 1, 1, 2, 2, 1, 0), slips=("tell_nobody",)),
    WrongEnding("the busiest person", results=(0, 0, 1, 0, 0, 0, 1), slips=("whole_repository",)),
    WrongEnding("other branches counted", results=(0, 0, 1, 1, 0, 0, 1), slips=("all_branches",)),
)
