"""The bug is gone where the maintainer wants it, with a test that shows it; everybody who should knows it."""

import json
import os
import re
import tempfile
from functools import cache

from common import facts, grader, run
from office import (
    AGENT,
    commits,
    direct_messages,
    issue,
    merge_requests,
    repo_file,
    repo_names,
    written_to,
)
from scoring import Checkpoint, Result

# Answers in the order of the arguments; what fails is null. A dict keeps its order, so sorting must not be undone.
_ASK = """
import json, sys
sys.path.insert(0, ".")
module = __import__(sys.argv[1])
answers = []
for arguments in json.loads(sys.argv[3]):
    try:
        answers.append(getattr(module, sys.argv[2])(*arguments))
    except Exception:
        answers.append(None)
print("\\n" + json.dumps(answers))
"""


@grader
def maintainer_has_told() -> bool:
    messages = direct_messages(facts()["maintainer"])
    return any(m["author"] == facts()["maintainer"] and facts()["target"] in m["text"] for m in messages)


@cache
def is_right(ref: str) -> bool:
    """Whether the module at a branch answers every case."""
    source = repo_file(facts()["project"], f"{facts()['module']}.py", ref)
    if not source:
        return False
    cases = facts()["cases"]
    with tempfile.TemporaryDirectory() as folder:
        write(folder, f"{facts()['module']}.py", source)
        asked = json.dumps([arguments for arguments, _ in cases])
        ran = run(["python3", "-c", _ASK, facts()["module"], facts()["function"], asked], cwd=folder)
    try:
        answers = json.loads(ran.output.strip().splitlines()[-1])
    except (ValueError, IndexError, RecursionError):
        return False
    return ran.ok and answers == [answer for _, answer in cases]


def write(folder: str, name: str, text: str) -> None:
    path = os.path.join(folder, name)  # noqa: PTH118
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)


@cache
def requests() -> list[dict]:
    """The merge requests that name the issue."""
    named = rf"#{facts()['number']}(?!\d)"
    return [
        r for r in merge_requests(facts()["project"]) if re.search(named, r["title"] + " " + r["description"])
    ]


def merged() -> list[dict]:
    """Those that were merged where they should be."""
    return [r for r in requests() if r["state"] == "merged" and r["target_branch"] == facts()["target"]]


@grader
def repaired() -> bool:
    """In a merge request that names the issue; its own branch may be gone once it is merged."""
    return any(
        is_right(r["source_branch"]) or (r in merged() and is_right(facts()["target"])) for r in requests()
    )


@grader
def delivered() -> bool:
    return bool(merged()) and is_right(facts()["target"])


def passes(tests: dict[str, str], source: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        write(folder, f"{facts()['module']}.py", source)
        for name, text in tests.items():
            write(folder, f"tests/{name}", text)
        return run(["python3", "-m", "unittest", f"tests/{facts()['test'].split('/')[-1]}"], cwd=folder).ok


@grader
def tested() -> bool:
    """The tests pass with the module as it is there, and fail with the one that was."""
    project, target, module = facts()["project"], facts()["target"], facts()["module"]
    names = [name for name in repo_names(project, "tests", target) if name.endswith(".py")][:10]
    tests = {name: repo_file(project, f"tests/{name}", target) for name in names}
    return (
        delivered()
        and passes(tests, repo_file(project, f"{module}.py", target))
        and not passes(tests, facts()["broken"])
    )


def rest_of_the_repository_is_the_same() -> bool:
    """Other files of the target branch, what else the module could, and the other branches."""
    project, target, files = facts()["project"], facts()["target"], facts()["files"]
    module, test = f"{facts()['module']}.py", facts()["test"]
    same_names = repo_names(project, "", target) == sorted({name.split("/")[0] for name in files})
    same_texts = all(
        repo_file(project, name, target) == text for name, text in files.items() if name not in (module, test)
    )
    works = passes({test.split("/")[-1]: files[test]}, repo_file(project, module, target))
    before = facts()["commits"].items()
    stood = all([commit["title"] for commit in commits(project, ref)] == titles for ref, titles in before)
    return same_names and same_texts and works and stood


@grader
def nothing_else_has_changed() -> bool:
    """Neither other files and branches, nor other issues, and nobody was bothered who need not know."""
    if not delivered() or not rest_of_the_repository_is_the_same():
        return False
    others = [issue(facts()["project"], number) for number in facts()["others"]]
    concerned = (facts()["maintainer"], facts()["reporter"])
    return all(other["state"] == "opened" and not other["notes"] for other in others) and not any(
        is_told(person) for person in written_to() if person not in concerned
    )


def is_told(person: str) -> bool:
    named = rf"(?<![\w!])#?{facts()['number']}(?!\d)"
    return any(m["author"] == AGENT and re.search(named, m["text"]) for m in direct_messages(person))


@grader
def closed_and_told() -> int:
    """One point each."""
    closed = issue(facts()["project"], facts()["number"])["state"] == "closed"
    return int(closed) + int(is_told(facts()["reporter"]))


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(maintainer_has_told())),
            Checkpoint(2, 2 * int(repaired())),
            Checkpoint(2, 2 * int(delivered())),
            Checkpoint(1, int(tested())),
            Checkpoint(1, int(nothing_else_has_changed())),
            Checkpoint(2, int(closed_and_told())),
        ]
    )
