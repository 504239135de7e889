"""See what is open, ask whoever has it, move, sum up."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    sprint, project = re.findall(r"The sprint (\w+) of ([\w ]+?) in the tracker", instruction)[0]
    room = project.lower().replace(" ", "-")
    key = re.findall(rf"^(\w+) {project}$", (yield f"tracker projects | grep '{project}'"), re.MULTILINE)[0]
    cycles = [line.split()[0] for line in (yield f"tracker cycles {key}").splitlines()]
    target = cycles[-1] if slip("the_last_sprint") else cycles[cycles.index(sprint) + 1]
    listed = re.findall(r"^(\S+) ([\w ]+): ", (yield f"tracker cycle-issues {key} {sprint}"), re.MULTILINE)
    done = [issue for issue, state in listed if state == "Done"]
    cancelled = [issue for issue, state in listed if state == "Cancelled"]
    waiting = [issue for issue, state in listed if state not in ("Done", "Cancelled")]
    who = yield f"for k in {' '.join(waiting)}; do echo $k; tracker issue $k | grep '^assignee'; done"
    theirs: dict[str, list[str]] = {}
    for issue, person in re.findall(r"^(\S+)\nassignee: (\w+)$", who, re.MULTILINE):
        theirs.setdefault(person, []).append(issue)
    said = ""
    if not slip("ask_nobody"):
        for person, issues in theirs.items():
            answer = yield f"chat ask {person} Is your open work of the sprint {sprint} finished?"
            other = re.findall(r"@(\w+)", answer)
            if other and not slip("no_second_question"):
                answer = yield f"chat ask {other[0]} Is {' and '.join(issues)} finished?"
            elif "its key" in answer and not slip("no_key"):
                answer = yield f"chat ask {person} It is about {' and '.join(issues)}."
            said += answer + "\n"
    finished = [issue for issue in waiting if re.search(rf"\b{issue} is (finished|done)", said)]
    if slip("all_done"):
        finished = waiting
    on = [issue for issue in waiting if issue not in finished]
    if finished:
        yield f"for k in {' '.join(finished)}; do tracker move $k done; done"
    if on:
        yield f"for k in {' '.join(on)}; do tracker cycle $k {target}; done"
    if slip("no_summary"):
        return
    yield f"chat read {room}"
    if slip("wrong_room"):
        room = "general"
    counted = len(done) if slip("count_too_early") else len(done) + len(finished)
    yield f"chat send {room} {sprint}: {counted} done, {len(on)} moved to {target}, {len(cancelled)} cancelled"


ENDINGS = (
    WrongEnding("the tracker is trusted", results=(0, 1, 1, 1, 0), slips=("ask_nobody",)),
    WrongEnding("whoever has it now isn't asked", results=(2, 3, 1, 1, 0), slips=("no_second_question",)),
    WrongEnding("a question back is ignored", results=(2, 3, 1, 1, 0), slips=("no_key",)),
    WrongEnding("into the sprint after the next", results=(3, 0, 1, 1, 1), slips=("the_last_sprint",)),
    WrongEnding("all set to Done", results=(0, 0, 0, 1, 1), slips=("all_done",)),
    WrongEnding("no summary", results=(3, 4, 1, 0, 1), slips=("no_summary",)),
    WrongEnding("the summary in another channel", results=(3, 4, 1, 0, 1), slips=("wrong_room",)),
    WrongEnding("finished issues not counted", results=(3, 4, 1, 1, 1), slips=("count_too_early",)),
)
