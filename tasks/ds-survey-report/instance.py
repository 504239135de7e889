"""A survey's answers, with the rules for those that count in a channel, and a department that the list lacks."""

import random
from datetime import date, timedelta

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, DEPARTMENTS, TOPICS

ROOT = "Documents/Surveys"
REQUESTERS = {
    "chen_xinyi": "Chen Xinyi",
    "sophia_rodriguez": "Sophia Rodriguez",
    "huang_jie": "Huang Jie",
    "jessica_lee": "Jessica Lee",
}
KEEPERS = {"david_wong": "David Wong", "sarah_johnson": "Sarah Johnson", "mark_johnson": "Mark Johnson"}
HEADER = "answer,person,department,day,minutes,score\n"


def make(rng: random.Random) -> Made:
    while True:
        survey = _survey(rng)
        if _worth_it(survey):
            break
    topic, other = rng.sample([topic for topic in TOPICS if topic != "survey"], 2)
    counted = _averages(survey, "valid")
    worst, best = _extremes(counted)
    department = rng.choice((worst, best))
    code = survey["codes"][department]
    requester, keeper = rng.choice(list(REQUESTERS)), rng.choice(list(KEEPERS))
    room = f"{topic}-survey"
    name = f"{rng.choice(CODENAMES)}-{rng.choice(('numbers', 'results', 'summary', 'outcome'))}.csv"
    known = sorted((c, d) for d, c in survey["codes"].items() if c != code)
    files = {
        f"{ROOT}/{topic}/answers.csv": HEADER + "".join(f"{line}\n" for line in survey["lines"]),
        f"{ROOT}/{topic}/departments.csv": "code,department\n" + "".join(f"{c},{d}\n" for c, d in known),
        f"{ROOT}/{other}/answers.csv": HEADER + "".join(f"{line}\n" for line in _survey(rng)["lines"][:20]),
    }
    which = {"needs": [topic], "ask": "For which survey? There are two at the moment."}
    return Made(
        values={
            "topic": topic,
            "other": other,
            "room": room,
            "requester": REQUESTERS[requester],
            "username": requester,
        },
        office={
            "chat": {
                "channels": [
                    {
                        "name": room,
                        "topic": f"What we think of the {topic}",
                        "owner": requester,
                        "members": [keeper],
                        "messages": _talk(rng, survey, requester, keeper),
                    }
                ]
            },
            "drive": {"files": files},
            "colleagues": {
                requester: {
                    "facts": [
                        {
                            "about": ["name", "file name", "filename", "called", "call it", "file"],
                            "answer": f"Call the file {name} and put it beside the answers.",
                            **which,
                        },
                        {
                            "about": [code, "code", "codes"],
                            "answer": "That must be the new one, I don't know its name.",
                            "refer_to": keeper,
                        },
                    ]
                },
                keeper: {
                    "facts": [
                        {
                            "about": ["code", "codes", "department", code],
                            "answer": f"{code} is {department}, since last month.",
                            "needs": [code],
                            "ask": "Which code?",
                        }
                    ]
                },
            },
        },
        facts={
            "room": room,
            "folder": f"{ROOT}/{topic}",
            "name": name,
            "answers": files[f"{ROOT}/{topic}/answers.csv"],
            "requester": requester,
            "keeper": keeper,
            "department": department,
            "counted": {d: [count, round(average, 2)] for d, (count, average) in counted.items()},
            "worst": worst,
            "best": best,
        },
    )


def _survey(rng: random.Random) -> dict:
    """Answers of five or six departments with the rules that they are judged by."""
    names = [name.title() for name in rng.sample(DEPARTMENTS, rng.randint(5, 6))]
    codes = dict(zip(names, (f"D{n}" for n in rng.sample(range(11, 99), len(names))), strict=True))
    first = date(2026, 2, rng.randint(3, 9))
    rules = {"first": first, "last": first + timedelta(rng.randint(8, 12)), "best": rng.choice((5, 7, 10))}
    rules["minutes"] = rng.randint(2, 4)
    people = iter(rng.sample(range(100, 1000), 200))
    rows = []
    for department in names:
        level = rng.uniform(0.3, 0.8)
        for _ in range(rng.randint(6, 10)):
            person = f"p{next(people)}"
            row = _row(rng, rules, codes[department], person, level)
            rows.append(row)
            if rng.random() < 0.15:
                rows.append(_row(rng, rules, codes[department], person, rng.random()))
        for wrong in rng.sample(("early", "late", "hasty", "score"), rng.randint(1, 3)):
            rows.append(
                _spoiled(
                    rng, rules, _row(rng, rules, codes[department], f"p{next(people)}", rng.random()), wrong
                )
            )
    used: set[tuple[str, str]] = set()
    for row in rows:  # Who answers twice does so on two days.
        while (row["person"], row["day"]) in used:
            row["day"] = _day(rng, rules)
        used.add((row["person"], row["day"]))
    rng.shuffle(rows)
    for number, row in enumerate(rows, rng.randint(100, 500)):
        row["answer"] = number
    right = [row for row in rows if _counts(row, rules)]
    days = {row["person"]: [r["day"] for r in right if r["person"] == row["person"]] for row in right}
    valid = [row for row in right if row["day"] == max(days[row["person"]])]
    return {
        "codes": codes,
        "rules": rules,
        "lines": [",".join(str(row[field]) for field in HEADER.strip().split(",")) for row in rows],
        "valid": valid,
        "firsts": [row for row in right if row["day"] == min(days[row["person"]])],
        "unruly": valid + [row for row in rows if not _counts(row, rules)],
    }


def _day(rng: random.Random, rules: dict) -> str:
    return str(rules["first"] + timedelta(rng.randint(0, (rules["last"] - rules["first"]).days)))


def _row(rng: random.Random, rules: dict, code: str, person: str, level: float) -> dict:
    """One that counts."""
    score = round(rng.triangular(1, rules["best"], 1 + level * (rules["best"] - 1)))
    minutes = rules["minutes"] + rng.randint(0, 9)
    return {"person": person, "department": code, "day": _day(rng, rules), "minutes": minutes, "score": score}


def _spoiled(rng: random.Random, rules: dict, row: dict, wrong: str) -> dict:
    days = rng.randint(1, 4)
    return (
        row
        | {
            "early": {"day": str(rules["first"] - timedelta(days))},
            "late": {"day": str(rules["last"] + timedelta(days))},
            "hasty": {"minutes": rng.randint(0, rules["minutes"] - 1)},
            "score": {"score": rng.choice((0, rules["best"] + days))},
        }[wrong]
    )


def _counts(row: dict, rules: dict) -> bool:
    in_time = str(rules["first"]) <= row["day"] <= str(rules["last"])
    return in_time and row["minutes"] >= rules["minutes"] and 1 <= row["score"] <= rules["best"]


def _averages(survey: dict, which: str) -> dict[str, tuple[int, float]]:
    """Department -> how many of these answers, and their average score."""
    counted = {}
    for department, code in sorted(survey["codes"].items()):
        scores = [row["score"] for row in survey[which] if row["department"] == code]
        counted[department] = (len(scores), sum(scores) / len(scores))
    return counted


def _extremes(counted: dict[str, tuple[int, float]]) -> tuple[str, str]:
    """Worst and best."""
    order = sorted(counted, key=lambda department: counted[department][1])
    return order[0], order[-1]


def _worth_it(survey: dict) -> bool:
    """No average is hard to round; best and worst are clear, and others for who ignores the rules; who overlooks the
    correction gets a wrong average for one of the two."""
    right, unruly, firsts = (_averages(survey, which) for which in ("valid", "unruly", "firsts"))
    order = sorted(average for _, average in right.values())
    clear = order[1] - order[0] > 0.05 and order[-1] - order[-2] > 0.05
    smooth = all(abs((100 * average) % 1 - 0.5) > 0.01 for _, average in right.values())
    misled = _extremes(unruly) != _extremes(right)
    shifted = any(abs(firsts[d][1] - right[d][1]) > 0.02 for d in _extremes(right))
    return clear and smooth and misled and shifted and _extremes(firsts) == _extremes(right)


def _talk(rng: random.Random, survey: dict, requester: str, keeper: str) -> list[dict]:
    """The rules, and a correction of one of them, in the order of time."""
    rules = survey["rules"]
    chat = (
        "Lunch first?",
        "Can we keep it short this time?",
        "Sounds fair.",
        "Nobody reads those mails anyway.",
    )
    small = rng.sample(chat, 3)
    texts = [
        (requester, "Let's agree what counts before we look at the numbers."),
        (keeper, small[0]),
        (
            requester,
            f"Answers count from {rules['first']} to {rules['last']}, both days included. "
            f"Scores go from 1 to {rules['best']}; anything else is a typing mistake and doesn't count.",
        ),
        (
            keeper,
            f"And who took less than {rules['minutes']} minutes has not read the questions. Those don't count.",
        ),
        (
            requester,
            "Agreed. Some have answered twice. Of a person's answers that count only the first is taken.",
        ),
        (keeper, small[1]),
        (
            requester,
            "Correction: of a person's answers that count we take the last, not the first: by then they had thought.",
        ),
        (keeper, small[2]),
    ]
    return [
        {
            "from": who,
            "text": text,
            "at": f"2026-02-02T{9 + n // 2:02}:{rng.randint(0, 29) + 30 * (n % 2):02}:00",
        }
        for n, (who, text) in enumerate(texts)
    ]
