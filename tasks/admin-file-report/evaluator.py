"""The file is in the department's folder, as it was; and the colleague was told."""

from common import facts, grader
from office import direct_messages, drive_read
from scoring import Checkpoint, Result


@grader
def the_file_is_there() -> bool:
    return drive_read(f"{facts()['folder']}/{facts()['file']}") == facts()["text"].encode()


@grader
def the_colleague_was_told() -> bool:
    messages = direct_messages("theagentcompany", facts()["name"])
    return any(
        m["author"] == "theagentcompany" and m["text"].strip() == facts()["message"] for m in messages
    )


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result([Checkpoint(2, 2 * int(the_file_is_there())), Checkpoint(1, int(the_colleague_was_told()))])
