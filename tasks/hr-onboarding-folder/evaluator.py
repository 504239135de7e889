"""Two steps: the plan is made from the template, and the department's own buddy is filled in."""

from common import facts, grader, read_lines
from scoring import Checkpoint, Result


@grader
def plan_made_from_template() -> bool:
    kept = [line for line in facts()["template"] if "BUDDY" not in line]
    return set(kept) <= set(read_lines(facts()["plan"]))


@grader
def right_buddy_filled_in() -> bool:
    lines = read_lines(facts()["plan"])
    return facts()["filled"] in lines and not any("BUDDY" in line for line in lines)


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [Checkpoint(1, int(plan_made_from_template())), Checkpoint(2, 2 * int(right_buddy_filled_in()))]
    )
