"""Were the right people asked and nobody else, is the page right, and does the asker know its title?"""

from common import facts, grader
from office import AGENT, direct_messages, wiki, written_to
from scoring import Checkpoint, Result


def told(who: str, words: str) -> bool:
    """Whether a colleague told the agent something."""
    return any(m["author"] == who and words in m["text"] for m in direct_messages(who))


@grader
def all_were_asked(which: str) -> bool:
    return all(told(who, words) for who, words in facts()[which].items())


@grader
def the_heir_agreed_and_nobody_else_was_bothered() -> bool:
    wanted = {*facts()["experts"], *facts()["heir"], facts()["asker"]}
    return all_were_asked("heir") and set(written_to()) <= wanted


@grader
def there_is_a_new_page() -> bool:
    """And the others are as they were."""
    pages, old = wiki(facts()["project"]), facts()["wiki"]
    as_it_was = all(pages.get(title, "").strip() == text.strip() for title, text in old.items())
    return as_it_was and set(pages) == {*old, facts()["title"]} and bool(pages[facts()["title"]].strip())


def page() -> str:
    return wiki(facts()["project"]).get(facts()["title"], "")


def lines(text: str) -> list[str]:
    """Without the space around lines and around the bars of tables."""
    return [
        " | ".join(part.strip() for part in line.split("|")).strip() for line in text.strip().splitlines()
    ]


def rows() -> dict[str, list[str]]:
    """Module -> its row in the page's table."""
    found = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in page().splitlines()]
    modules = {row[0] for row in facts()["rows"]}
    named = [row for row in found if len(row) == 4 and row[0] in modules]
    return {row[0]: row for row in named} if len(named) == len(modules) else {}


@grader
def people_are_right(declined: bool) -> bool:
    """In the rows of the modules whose experts agreed, or in the one where another is named."""
    wanted = [row for row in facts()["rows"] if (row[0] == facts()["declined"]) == declined]
    return bool(rows()) and all(rows()[row[0]][1:3] == row[1:3] for row in wanted)


@grader
def numbers_are_right() -> bool:
    return bool(rows()) and all(rows()[row[0]][3] == row[3] for row in facts()["rows"])


@grader
def the_page_is_right() -> bool:
    return bool(page()) and lines(page()) == lines(facts()["page"])


@grader
def the_asker_was_told() -> bool:
    texts = [m["text"] for m in direct_messages(facts()["asker"]) if m["author"] == AGENT]
    return bool(page()) and any(facts()["title"] in text for text in texts)


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(all_were_asked("experts"))),
            Checkpoint(1, int(the_heir_agreed_and_nobody_else_was_bothered())),
            Checkpoint(1, int(there_is_a_new_page())),
            Checkpoint(2, int(people_are_right(declined=False)) + int(people_are_right(declined=True))),
            Checkpoint(2, 2 * int(numbers_are_right())),
            Checkpoint(1, int(the_page_is_right())),
            Checkpoint(1, int(the_asker_was_told())),
        ]
    )
