"""Three steps: each wrong label mended, and a pass that is recorded and true. The source is read, never run."""

from common import facts, grader, read_lines, read_text
from scoring import Checkpoint, Result, bonus_for_completing_final


def labels() -> dict[str, str]:
    """What labels.sh assigns; the last assignment counts, as in the shell."""
    assignments = (line.removeprefix("export ").partition("=") for line in read_lines("labels.sh"))
    return {name.strip(): word.strip("\"';") for name, equals, word in assignments if equals}


@grader
def mended(which: str) -> bool:
    label = facts()[which]
    return labels().get(label) == facts()["right"][label]


@grader
def true_pass_recorded() -> bool:
    return (
        read_text("status.txt").split() == ["PASS"]
        and labels() == facts()["right"]
        and read_text("test.sh") == facts()["test"]
    )


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(mended("first"))),
            Checkpoint(1, int(mended("second"))),
            Checkpoint(2, 2 * int(true_pass_recorded())),
        ],
        scoring_strategy=bonus_for_completing_final,
    )
