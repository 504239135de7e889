"""Read the rules, the channel and the issues; then one report after the other."""

import re
from collections.abc import Generator

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

SEVERE = r"gone|higher than|overwritten|twice|wrong by"
BLOCKED = r"can't|stuck|Nobody"
WISH = r"\?|would be (nice|great)"


def work(instruction: str, slip: Slip) -> Work:
    room, project = re.findall(r"channel (\S+) people report what goes wrong with (\S+)\. ", instruction)[0]
    rules = yield f"forge wiki {project} Triage"
    known = {
        code: (number, state)
        for number, state, code in re.findall(
            r"^(\d+) (\w+) (\w+-\d+):", (yield f"forge issues {project} all"), re.MULTILINE
        )
    }
    messages = re.findall(r"^(\w+): (.+)$", (yield f"chat read {room} 50"), re.MULTILINE)
    line = max(n for n, (_, text) in enumerate(messages) if text.startswith("Everything above"))
    todo = messages if slip("from_the_top") else messages[line + 1 :]
    for person, text in todo:
        if text.startswith("Everything above"):
            continue
        code = re.findall(r"\b[A-Z]{2}-\d{3}\b", text)
        if not code and re.search(WISH, text, re.IGNORECASE):
            answer = yield from _wish(project, person, text, rules, slip)
        else:
            if not code:
                if slip("skip_the_unclear"):
                    continue
                code = re.findall(
                    r"[A-Z]{2}-\d{3}", (yield f"chat ask {person} Which error code did you get?")
                )
            number, state = known.get(code[0], ("", ""))
            if number and not slip("never_look"):
                reopen = state == "closed" and not slip("leave_closed")
                also = f" && forge reopen {project} {number}" if reopen else ""
                yield f"forge comment {project} {number} also reported by {person}{also}"
            else:
                number = yield from _new(project, code[0], text, rules, slip)
            answer = f"Thank you, it is issue #{number}."
        if not slip("no_answers"):
            yield f"chat dm {person} '{answer}'"


def _wish(project: str, person: str, text: str, rules: str, slip: Slip) -> Generator[str, str, str]:
    """What to answer; a slip makes it an issue."""
    if slip("file_the_wish"):
        quoted = text.replace("'", "")
        number = re.findall(r"\d+", (yield f"forge create {project} '{quoted}'"))[0]
        return f"It is issue #{number} now."
    owner = re.findall(r"(\w+ \w+) \(@\w+\)", rules)[0]
    return f"That is no bug, please turn to {owner}."


def _new(project: str, code: str, text: str, rules: str, slip: Slip) -> Generator[str, str, str]:
    """Open an issue as the rules have it; its number."""
    words = re.sub(
        rf"\W*\b(At the foot it says |The code is |I got )?{code}( just now)?\W*", " ", text
    ).strip(" .")
    quoted = words.replace("'", "'\\''")
    number = re.findall(r"\d+", (yield f"forge create {project} '{code}: {quoted}'"))[0]
    if slip("no_labels"):
        return number
    digit = code[3]
    component = next(name for found, name in re.findall(r"\* ([\d and]+): `(.+)`", rules) if digit in found)
    severity = {meaning: name for name, meaning in re.findall(r"\* `(.+)`: (.+)", rules)}
    if slip("any_severity"):
        chosen = slip.choose(sorted(severity.values()))
    else:
        lost, stuck, other = (
            next(name for meaning, name in severity.items() if meaning.startswith(start))
            for start in ("data is", "nothing is", "everything")
        )
        chosen = lost if re.search(SEVERE, text) else stuck if re.search(BLOCKED, text) else other
    yield f"for l in bug {component} {chosen}; do forge label {project} {number} $l; done"
    return number


ENDINGS = (
    WrongEnding("no labels", results=(2, 0, 2, 1, 4, 1), slips=("no_labels",)),
    WrongEnding("known bugs get second issues", results=(2, 2, 0, 0, 2, 1), slips=("never_look",)),
    WrongEnding("the closed issue stays closed", results=(2, 2, 1, 1, 4, 1), slips=("leave_closed",)),
    WrongEnding("the wish becomes an issue", results=(2, 2, 2, 0, 4, 0), slips=("file_the_wish",)),
    WrongEnding("reports that were done are done again", results=(2, 2, 2, 0, 4, 1), slips=("from_the_top",)),
    WrongEnding("nobody hears of it", results=(2, 2, 2, 1, 0, 0), slips=("no_answers",)),
)
