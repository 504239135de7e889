"""Five reports below a line in a channel: two new bugs, two known ones (one of them closed), and a wish."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import DEPARTMENTS, SYSTEMS

PEOPLE = (
    "alex_turner", "chen_xinyi", "david_wong", "emily_zhou", "emma_lewis", "huang_jie", "jessica_lee", "li_ming",
    "mark_johnson", "mike_chen", "priya_sharma", "sarah_johnson", "sophia_rodriguez", "wang_fang", "zhang_wei",
)  # fmt: skip
LEAD = "liu_qiang"
COMPONENTS = ("editor", "importer", "login", "mailing", "printing", "reports", "search", "sync")
SEVERITIES = (("S1", "S2", "S3"), ("critical", "major", "minor"), ("sev-high", "sev-mid", "sev-low"))
MEANINGS = (
    "data is lost or wrong",
    "nothing is lost, but somebody can't go on with their work",
    "everything else",
)
TROUBLE = (
    (
        "Two of the rows that I typed yesterday are gone",
        "The sum under the table is higher than what stands in it",
        "It has overwritten this year's figures with last year's",
        "Every order is in there twice since this morning",
        "After saving, half of my notes were gone",
        "The amounts are wrong by a factor of ten in the copy that I got",
    ),
    (
        "I can't get past the second step",
        "The page stays white, I can't do anything",
        "Nobody in my team can log in",
        "It hangs for good as soon as I press save, and I am stuck",
        "I can't open any file with it",
        "The upload never ends, so we are stuck",
    ),
    (
        "The button sits on top of the text",
        "There is a typing error in the heading",
        "The column is too narrow for the date",
        "The icons are blurred on my screen",
        "Colours of the bars and of the legend differ a little",
        "The tooltip hides behind the menu",
    ),
)
"""What goes wrong, by severity."""
WISHES = (
    "Could the table have a dark background? That would be easier on the eyes",
    "It would be nice if one could sort by two columns",
    "How do I get the list as a spreadsheet?",
    "Is there a way to pin a row at the top?",
    "Would be great to have it in Norwegian too",
)
CODED = ("{} At the foot it says {}.", "{} ({})", "{} The code is {}.", "I got {1} just now. {0}")


def make(rng: random.Random) -> Made:
    project = f"{rng.choice(DEPARTMENTS)}-{rng.choice(SYSTEMS)}"
    room = f"{project}-reports"
    *reporters, owner, earlier, earlier_too = rng.sample(PEOPLE, 8)
    prefix = "".join(rng.sample("ABCDEFGHKLMNPRSTVXZ", 2))
    components, labels = rng.sample(COMPONENTS, 4), rng.choice(SEVERITIES)
    digits = rng.sample("123456789", 8)
    of_digit = {digit: components[n // 2] for n, digit in enumerate(digits)}
    codes = rng.sample([f"{prefix}-{d}{n:02}" for d in digits for n in range(10, 99)], 8)
    new, new_too, known, closed, old, old_too, silent, silent_too = codes
    severities = rng.sample([0, 0, 0, 1, 1, 1, 2, 2], 8)
    words = [iter(rng.sample(texts, len(texts))) for texts in TROUBLE]
    troubles = {code: next(words[severity]) for code, severity in zip(codes, severities, strict=True)}
    numbers = rng.sample(range(2, 60), 7)

    def entry(number: int, title: str, *tags: str, state: str = "opened") -> dict[str, object]:
        return {"iid": number, "title": title, "labels": tags, "state": state, "from": LEAD}

    def bug(number: int, code: str, state: str = "opened") -> dict[str, object]:
        # Whoever wrote it down saw it elsewhere, and had words of their own.
        severity = severities[codes.index(code)]
        other = rng.choice([text for text in TROUBLE[severity] if text != troubles[code]])
        return entry(number, f"{code}: {other}", "bug", of_digit[code[3]], labels[severity], state=state)

    issues = [
        bug(numbers[0], known),
        bug(numbers[1], closed, "closed"),
        bug(numbers[2], old),
        bug(numbers[3], old_too, rng.choice(("opened", "closed"))),
        bug(numbers[4], silent),
        bug(numbers[5], silent_too, "closed"),
        entry(numbers[6], "Say in the handbook what the codes mean", "docs"),
    ]
    below = list(zip(reporters, [new, new_too, known, closed], strict=False))
    unclear, hidden = rng.choice(below)
    reports = [
        (who, f"{troubles[code]}." if who == unclear else _with_code(rng, troubles[code], code))
        for who, code in below
    ]
    wisher = reporters[4]
    reports.append((wisher, rng.choice(WISHES)))
    rng.shuffle(reports)
    above = [
        (earlier, _with_code(rng, troubles[old], old)),
        (earlier_too, _with_code(rng, troubles[old_too], old_too)),
        (LEAD, "Everything above is in the forge."),
    ]
    talk = [{"from": who, "text": text} for who, text in above + reports]
    return Made(
        values={
            "room": room,
            "project": project,
            "lead": _name(LEAD),
            "short": _name(LEAD).split()[1],
        },
        office={
            "chat": {
                "channels": [
                    {
                        "name": room,
                        "topic": f"Something is wrong with {project}? Tell it here.",
                        "members": [LEAD, owner, earlier, earlier_too, *reporters],
                        "messages": talk,
                    }
                ]
            },
            "forge": {
                "projects": [
                    {
                        "path": f"root/{project}",
                        "description": f"What {project.split('-')[0]} works with every day",
                        "members": {owner: "maintainer", LEAD: "reporter"},
                        "labels": [
                            {"name": n} for n in sorted(["bug", "docs", "wish", *components, *labels])
                        ],
                        "issues": sorted(issues, key=lambda issue: str(issue["iid"])),
                        "wiki": {
                            "Home": f"How we work on {project}. See [[Triage]].",
                            "Triage": _rules(
                                rng, components, digits, labels, owner, f"{prefix}-{digits[0]}47"
                            ),
                        },
                    }
                ]
            },
            "colleagues": {
                **{who: _knows(f"It's {code}, as I wrote.") for who, code in below},
                unclear: _knows(f"Sorry, should have said so: {hidden}."),
                wisher: {"fallback": "I just thought it would be nice to have."},
            },
        },
        facts={
            "project": project,
            "room": room,
            "new": {
                code: sorted(["bug", of_digit[code[3]], labels[severities[codes.index(code)]]])
                for code in (new, new_too)
            },
            "known": dict(zip((known, closed), numbers, strict=False)),
            "reporters": {code: who for who, code in below},
            "wisher": wisher,
            "owner": [owner, _name(owner)],
            "issues": {
                str(i["iid"]): [i["title"], i["state"], sorted(i["labels"])]  # type: ignore[call-overload]
                for i in issues
            },
            "reports": dict(reports),
        },
    )


def _with_code(rng: random.Random, trouble: str, code: str) -> str:
    return rng.choice(CODED).format(f"{trouble}.", code)


def _rules(
    rng: random.Random,
    components: list[str],
    digits: list[str],
    labels: tuple[str, ...],
    owner: str,
    code: str,
) -> str:
    parts = [
        f"* {' and '.join(sorted(digits[2 * n : 2 * n + 2]))}: `{name}`" for n, name in enumerate(components)
    ]
    severities = [f"* `{label}`: {meaning}" for label, meaning in zip(labels, MEANINGS, strict=True)]
    rng.shuffle(severities)
    return f"""Every error has a code, such as {code}. Who reports without it has seen it and not written it down: ask.

## A new code

One issue. Its title is the code, a colon, and what happens, in the reporter's words. It gets three labels: `bug`, the
component, the severity.

The component follows from the first digit of the code:

{chr(10).join(sorted(parts))}

The severity follows from what has happened:

{chr(10).join(severities)}

## A code that has an issue

No second issue and no new labels: a comment in the one that is there, with the username of who reports it. If it is
closed, it is opened again.

## No bug at all

Wishes and questions become no issue. Send whoever has one to {_name(owner)} (@{owner}).

## The answer

Whoever reports a bug is told the number of its issue.
"""


def _knows(code: str) -> dict[str, object]:
    about = ["code", "codes", "error", "number", "foot", "exactly", "message", "which", "what"]
    return {"facts": [{"about": about, "answer": code}], "fallback": "Can I help? What do you need to know?"}


def _name(username: str) -> str:
    return username.replace("_", " ").title()
