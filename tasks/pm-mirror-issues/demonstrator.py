"""Read the page, compare both sides, ask for what is open, then one issue after the other."""

import re
from collections.abc import Generator

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

LEVELS = ("urgent", "high", "medium", "low")


def work(instruction: str, slip: Slip) -> Work:
    name, project = re.findall(r"tracker's project (.+?) with the people who pay for (\S+),", instruction)[0]
    label = re.findall(r"has the label (\S+) must", instruction)[0]
    page = yield f"forge wiki {project} Tracker"
    key = re.findall(rf"the project {name} \((\w+)\)", page)[0]
    priorities = dict(re.findall(r"^\| `(.+?)` \| (\w+) \|$", page, re.MULTILINE))
    raising = re.findall(r"With the label `(.+?)`", page)[0]
    lead = re.findall(r"@(\w+)", page)[0]
    state = "all" if slip("closed_ones_too") else "opened"
    listed = yield f"forge issues {project} {state} {label}"
    titles = dict(re.findall(r"^(\d+) (?:opened |closed )?(.+)$", listed, re.MULTILINE))
    shown = yield f'for n in {" ".join(titles)}; do echo "issue $n"; forge issue {project} $n; done'
    issues = dict(re.findall(r"^issue (\d+)\n(.*?)(?=^issue \d+$|\Z)", shown, re.MULTILINE | re.DOTALL))
    tracked = yield from _tracked(key, project, slip)
    asked = yield from _ask(lead, [n for n in issues if not _severity(issues[n], priorities)], slip)
    for number, about in issues.items():
        priority = asked.get(number) or _priority(
            about, priorities, "" if slip("as_if_not_raised") else raising
        )
        steps = []
        ticket, has = tracked.get(number, ("", ""))
        if not ticket:
            quoted = titles[number].replace("'", "'\\''")
            ticket = re.findall(r"created (\S+)", (yield f"tracker create {key} '{quoted}'"))[0]
            reference = "From the forge" if slip("no_reference") else f"{project}#{number}"
            steps.append(f"tracker describe {ticket} '{reference}'")
        if priority and priority != has:
            steps.append(f"tracker priority {ticket} {priority}")
        if "Tracked as" not in about and not slip("no_notes"):
            steps.append(f"forge comment {project} {number} Tracked as {ticket}.")
        if steps:
            yield " && ".join(steps)


def _tracked(key: str, project: str, slip: Slip) -> Generator[str, str, dict[str, tuple[str, str]]]:
    """What stands in the tracker: number in the forge -> (key, priority)."""
    if slip("never_look"):
        return {}
    keys = re.findall(rf"^({key}-\d+) ", (yield f"tracker issues {key}"), re.MULTILINE)
    shown = yield f'for k in {" ".join(keys)}; do echo "ticket $k"; tracker issue $k; done'
    found = {}
    for ticket, text in re.findall(
        r"^ticket (\S+)\n(.*?)(?=^ticket \S+$|\Z)", shown, re.MULTILINE | re.DOTALL
    ):
        number = re.findall(rf"^description: {project}#(\d+)$", text, re.MULTILINE)
        if number:
            found[number[0]] = (ticket, re.findall(r"^priority: (\w+)$", text, re.MULTILINE)[0])
    return found


def _ask(lead: str, numbers: list[str], slip: Slip) -> Generator[str, str, dict[str, str]]:
    """What people decide: number -> priority."""
    decided: dict[str, str] = {}
    if slip("leave_open"):
        return decided
    for number in numbers:
        answer = yield f"chat ask {lead} 'Which priority has issue #{number}?'"
        other = re.findall(r"@(\w+)", answer)
        if other and not slip("one_question_only"):
            answer = yield f"chat ask {other[0]} 'Which priority has issue #{number}?'"
        level = re.findall(rf"#{number}\b.* ({'|'.join(LEVELS)})\b", answer)
        if level:
            decided[number] = level[0]
    return decided


def _severity(about: str, priorities: dict[str, str]) -> str:
    labels = re.findall(r"^labels: (.+)$", about, re.MULTILINE)[0].split(", ")
    return next((label for label in labels if label in priorities), "")


def _priority(about: str, priorities: dict[str, str], raising: str) -> str:
    """By the page; '' where it doesn't tell."""
    severity = _severity(about, priorities)
    if not severity:
        return ""
    level = LEVELS.index(priorities[severity])
    raised = raising and raising in re.findall(r"^labels: (.+)$", about, re.MULTILINE)[0].split(", ")
    return LEVELS[max(0, level - 1) if raised else level]


ENDINGS = (
    WrongEnding("closed issues too", results=(4, 3, 2, 5, 0), slips=("closed_ones_too",)),
    WrongEnding("what is there is made again", results=(4, 2, 2, 4, 0), slips=("never_look",)),
    WrongEnding("nobody asked", results=(4, 3, 0, 5, 1), slips=("leave_open",)),
    WrongEnding("whom the lead names isn't asked", results=(4, 3, 1, 5, 1), slips=("one_question_only",)),
    WrongEnding("nothing is a step higher", results=(4, 1, 2, 5, 1), slips=("as_if_not_raised",)),
    WrongEnding("the forge says nothing of it", results=(4, 3, 2, 0, 1), slips=("no_notes",)),
    WrongEnding("nobody can see where they come from", results=(0, 1, 0, 1, 0), slips=("no_reference",)),
)
