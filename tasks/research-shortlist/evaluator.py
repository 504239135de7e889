"""Three steps: the note is on the shortlist, no other note is, and the author is written down."""

from common import facts, grader, names, read_text
from scoring import Checkpoint, Result


@grader
def note_is_listed() -> bool:
    return read_text(f"shortlist/{facts()['note']}").strip() == facts()["text"].strip()


@grader
def only_this_note_is_listed() -> bool:
    return note_is_listed() and not set(facts()["others"]) & set(names("shortlist"))


@grader
def author_is_written_down() -> bool:
    return read_text("authors.txt").split() in (["author", facts()["author"]], [facts()["author"]])


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(note_is_listed())),
            Checkpoint(1, int(only_this_note_is_listed())),
            Checkpoint(1, int(author_is_written_down())),
        ]
    )
