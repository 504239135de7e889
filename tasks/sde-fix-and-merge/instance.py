"""A small repository whose module has one bug of six kinds; its maintenance branch is the one that counts."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES, DEPARTMENTS, FIRST_NAMES, SYSTEMS

PEOPLE = (
    "alex_turner", "emily_zhou", "emma_lewis", "huang_jie", "jessica_chen", "li_ming", "liu_qiang", "mike_chen",
    "priya_sharma", "sophia_rodriguez", "wang_fang", "zhang_wei",
)  # fmt: skip
CUSTOMERS = ("chen_xinyi", "david_wong", "jessica_lee", "mark_johnson", "sarah_johnson")
WISHES = (
    "Add an example to the README", "Say in the README who maintains this", "Type annotations, please",
    "A command line would be nice", "Translate the error messages", "Publish it as a package",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One bug: a module as it should be, the line that is wrong in it, and arguments that show it."""

    module: str
    function: str
    rule: str
    """What the README promises."""
    source: str
    right: str
    wrong: str
    """Stands in the module instead of `right`."""
    shown: list[Any]
    """Arguments for which the wrong module's answer is wrong."""
    cases: list[list[Any]]
    """More arguments, of which the wrong module gets some right."""
    check: str
    """A test that the wrong module passes: an expression and its value."""


def make(rng: random.Random) -> Made:
    kind = rng.choice(KINDS)(rng)
    broken = kind.source.replace(kind.right, kind.wrong)
    assert broken != kind.source
    project = f"{rng.choice(DEPARTMENTS)}-{rng.choice(SYSTEMS)}"
    maintainer, developer, developer_too, wisher = rng.sample(PEOPLE, 4)
    reporter, reporter_too = rng.sample(CUSTOMERS, 2)
    number, *others = rng.sample(range(2, 70), 4)
    major, minor = rng.randint(1, 5), rng.randint(1, 9)
    target = rng.choice(
        (f"stable-{major}", f"release-{major}.{minor}", f"maintenance-{major}", f"customers-{minor}")
    )
    test = f"tests/test_{kind.module}.py"
    files = {
        ".gitignore": "__pycache__/\n",
        "README.md": _readme(project, kind),
        f"{kind.module}.py": broken,
        test: _test(kind),
    }
    call = f"{kind.function}({', '.join(map(repr, kind.shown))})"
    right, wrong = _answer(kind.source, kind, kind.shown), _answer(broken, kind, kind.shown)
    assert right != wrong
    commits = [
        {"message": "First version", "from": maintainer, "files": files},
        {
            "message": f"Version {major}.{minor}",
            "from": maintainer,
            "branch": target,
            "files": {"VERSION": f"{major}.{minor}\n"},
        },
        {
            "message": "Notes",
            "from": developer,
            "branch": f"notes-{minor}",
            "files": {"NOTES.md": "Ideas, unsorted.\n"},
        },
        {
            "message": "Plan the next version",
            "from": developer_too,
            "files": {"PLANS.md": f"Version {major + 1}: faster.\n"},
        },
    ]
    bug = {
        "iid": number,
        "title": f"{kind.function} can't be right",
        "description": f"I get `{call} == {wrong!r}`, and by the README it is `{right!r}`. Please have a look.",
        "from": reporter,
        "labels": ["bug"],
    }
    wishes = [
        {"iid": n, "title": title, "from": who, "labels": ["wish"]}
        for n, title, who in zip(
            others, rng.sample(WISHES, 3), (reporter_too, wisher, developer), strict=True
        )
    ]
    where = (
        f"#{number} has to go into {target}, that is what runs at our customers. Start your branch there: nothing else "
        f"of what is on main may come along. I take it over to main myself."
    )
    return Made(
        values={"module": kind.module, "project": project},
        office={
            "forge": {
                "projects": [
                    {
                        "path": f"root/{project}",
                        "description": f"Small helpers of {project.split('-')[0]}",
                        "members": {
                            maintainer: "maintainer",
                            developer: "developer",
                            developer_too: "developer",
                        },
                        "commits": commits,
                        "labels": [{"name": "bug"}, {"name": "wish"}],
                        "issues": sorted([bug, *wishes], key=lambda issue: int(str(issue["iid"]))),
                    }
                ]
            },
            "colleagues": {
                maintainer: {
                    "facts": [
                        {
                            "about": ["branch", "into", "target", "merge", "where"],
                            "answer": where,
                            "needs": [f"#{number}", str(number), kind.function],
                            "ask": "It depends. Which issue is it about? Tell me the number.",
                        },
                        {
                            "about": [
                                "else",
                                "heed",
                                "test",
                                "tests",
                                "anything",
                                "careful",
                                "rules",
                                "consider",
                            ],
                            "answer": f"No fix without a test, please: add one to {test} that fails without the fix.",
                        },
                    ],
                    "fallback": f"Is it about {project}? Then ask away, branches, rules, whatever you need.",
                }
            },
        },
        facts={
            "project": project,
            "module": kind.module,
            "function": kind.function,
            "broken": broken,
            "cases": [[case, _answer(kind.source, kind, case)] for case in [kind.shown, *kind.cases]],
            "target": target,
            "files": {**files, "VERSION": f"{major}.{minor}\n"},
            "test": test,
            "commits": {
                "main": ["Plan the next version", "First version"],
                f"notes-{minor}": ["Notes", "First version"],
            },
            "number": number,
            "others": others,
            "maintainer": maintainer,
            "reporter": reporter,
        },
    )


def _answer(source: str, kind: Kind, arguments: list[Any]) -> Any:
    """What the function of such a module gives."""
    names: dict[str, Any] = {}
    exec(source, names)
    return names[kind.function](*arguments)


def _readme(project: str, kind: Kind) -> str:
    return (
        f"# {project}\n\n`{kind.module}.py` has what several of our programs need.\n\n{kind.rule}\n\n"
        f"Tests: `python3 -m unittest tests/test_{kind.module}.py`\n"
    )


def _test(kind: Kind) -> str:
    expression, value = kind.check.split(" == ")
    return f"""import unittest

from {kind.module} import *


class {kind.module.capitalize()}Test(unittest.TestCase):
    def test_example(self):
        self.assertEqual({expression}, {value})
"""


# The kinds


def _shipping(rng: random.Random) -> Kind:
    limit, rebate = rng.randint(6, 30), rng.randint(2, 9)
    zones = {zone: rng.randint(3, 12) for zone in rng.sample(CITIES, 3)}
    zone = min(zones)
    return Kind(
        module="shipping",
        function="shipping_cost",
        rule=f"A parcel costs its weight in kg times the rate of its zone, and from {limit} kg on {rebate} euros less.",
        source=f'''"""What a parcel costs."""

RATES = {zones!r}
BULK_FROM = {limit}
REBATE = {rebate}


def zones():
    return sorted(RATES)


def shipping_cost(weight, zone):
    """In euros; the weight in kg."""
    price = weight * RATES[zone]
    if weight >= BULK_FROM:
        price -= REBATE
    return price


def total(parcels):
    return sum(shipping_cost(weight, zone) for weight, zone in parcels)
''',
        right="weight >= BULK_FROM",
        wrong="weight > BULK_FROM",
        shown=[limit, zone],
        cases=[[limit + n, zone] for n in (-3, -1, 0, 1, 9) for zone in sorted(zones)],
        check=f"zones() == {sorted(zones)!r}",
    )


def _paging(rng: random.Random) -> Kind:
    size = rng.randint(4, 25)
    full = rng.randint(3, 30)
    return Kind(
        module="paging",
        function="page_count",
        rule=f"`page_count(items)` says how many pages of {size} items it takes; the last one may be partly empty.",
        source=f'''"""Lists in pages."""

PAGE_SIZE = {size}


def page_count(items):
    """How many pages so many items take."""
    return -(-items // PAGE_SIZE)


def first_of(page):
    """The number of a page's first item, from 0."""
    return (page - 1) * PAGE_SIZE
''',
        right="-(-items // PAGE_SIZE)",
        wrong="items // PAGE_SIZE",
        shown=[full * size + rng.randint(1, size - 1)],
        cases=[[n] for n in (0, 1, size - 1, size, size + 1, 2 * size, 7 * size + 1, full * size)],
        check=f"first_of(3) == {2 * size}",
    )


def _figures(rng: random.Random) -> Kind:
    def values(count: int) -> list[int]:
        drawn = rng.sample(range(10, 99), count)
        return [max(drawn), *sorted(drawn)[:-1]]  # The middle one is never in the middle.

    return Kind(
        module="figures",
        function="median",
        rule="`median(values)` is the middle one of the values by size, or the mean of the two in the middle.",
        source='''"""Figures for reports."""


def mean(values):
    return sum(values) / len(values)


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return mean(ordered[middle - 1 : middle + 1])


def spread(values):
    return max(values) - min(values)
''',
        right="ordered = sorted(values)",
        wrong="ordered = list(values)",
        shown=[values(5)],
        cases=[[values(n)] for n in (3, 4, 6, 7, 8)] + [[[1, 2, 3]], [[4]], [[1, 3]]],
        check="spread([4, 9, 2]) == 7",
    )


def _amounts(rng: random.Random) -> Kind:
    amounts = [f"{rng.randint(1, 99)},{rng.randint(0, 999):03}{cents}" for cents in ("", "", ".50", ".05")]
    return Kind(
        module="amounts",
        function="parse_amount",
        rule="`parse_amount(text)` reads amounts as our banks write them: commas between thousands, then a point.",
        source='''"""Amounts in statements."""


def format_amount(amount):
    return f"{amount:,.2f}"


def parse_amount(text):
    plain = text.strip().replace(",", "")
    return float(plain)
''',
        right='.replace(",", "")',
        wrong='.replace(",", ".", 1)',
        shown=[amounts[0]],
        cases=[
            [text]
            for text in (
                *amounts[1:2],
                f"{rng.randint(1, 999)}",
                f" {rng.randint(1, 99)}.25 ",
                "1,234,567.89",
                amounts[2],
            )
        ],
        check="format_amount(1234.5) == '1,234.50'",
    )


def _shares(rng: random.Random) -> Kind:
    people = rng.randint(3, 9)
    cents = people * rng.randint(100, 900) + rng.randint(1, people - 1)
    return Kind(
        module="shares",
        function="split_evenly",
        rule="`split_evenly(cents, people)` gives each a share; the cents left over go to the first ones, one each.",
        source='''"""Sums that are shared."""


def split_evenly(cents, people):
    base, rest = divmod(cents, people)
    return [base + 1 if n < rest else base for n in range(people)]


def as_euros(cents):
    return f"{cents // 100}.{cents % 100:02}"
''',
        right="base + 1 if n < rest else base for n",
        wrong="base for n",
        shown=[cents, people],
        cases=[[cents + n, people] for n in range(3)] + [[10, 4], [0, 3], [99, 100], [12, 3], [7, 1]],
        check="as_euros(1205) == '12.05'",
    )


def _ranking(rng: random.Random) -> Kind:
    def scores(count: int) -> dict[str, int]:
        names = sorted(rng.sample(FIRST_NAMES, count), reverse=True)
        points = rng.randint(5, 60)
        return {name: points + n % 2 for n, name in enumerate(names)}

    return Kind(
        module="ranking",
        function="ranked",
        rule="`ranked(points)` lists the names by their points, most first, and ties by the alphabet.",
        source='''"""Who is ahead."""


def ranked(points):
    return sorted(points, key=lambda name: (-points[name], name))


def best(points):
    return max(points.values())
''',
        right="(-points[name], name)",
        wrong="-points[name]",
        shown=[scores(4)],
        cases=[[scores(n)] for n in (1, 2, 3, 5, 6, 7)],
        check="best({'a': 3, 'b': 5}) == 5",
    )


KINDS: tuple[Callable[[random.Random], Kind], ...] = (
    _shipping,
    _paging,
    _figures,
    _amounts,
    _shares,
    _ranking,
)
