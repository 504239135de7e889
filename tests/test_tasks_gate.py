"""The gate: what it lets through, and that it finds what is wrong."""

import asyncio
import json
import re
from contextlib import aclosing
from pathlib import Path

import pytest
from tasks_fakes import NAME, package_folder

from tac_rl.errors import TaskError
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks.cli import main
from tac_rl.tasks.gate import check_packages
from tac_rl.tasks.scaffold import new_package


def verdict_on(folder, seeds=2):
    async def run():
        provider = BubblewrapProvider()
        try:
            async with aclosing(check_packages([folder], provider, seeds=seeds)) as verdicts:
                return await anext(verdicts)
        finally:
            await provider.close()

    return asyncio.run(run())


def changed(folder, file, old, new):
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


def test_the_scaffold_passes_the_gate(tmp_path):
    verdict = verdict_on(new_package(tmp_path, NAME))
    assert verdict.problems == ()
    assert verdict.to_dict() == {
        "name": NAME,
        "role": "admin",
        "difficulty": 1,
        "services": [],
        "passed": True,
        "problems": [],
    }


RIGHT = 'return read_text("owner.txt").strip() == facts()["owner"]'


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("evaluator.py", RIGHT, "return True", "doing nothing earns 2 of 3 points"),
        ("evaluator.py", RIGHT, "return False", "the oracle earns only 1 of 3 points"),
        ("evaluator.py", RIGHT, f"import os\n    {RIGHT} and os.urandom(1) < b'8'", "two grades|earns only"),
        (
            "demonstrator.py",
            "results=(0, 0), slips",
            "results=(1, 0), slips",
            "and its author says \\(1, 0\\)",
        ),
        (
            "demonstrator.py",
            'slip("guess_owner")',
            'slip("guess_owner") and False',
            "'guess_owner' never loses",
        ),
        (
            "demonstrator.py",
            'yield f"grep {matter} notes.txt"',
            "yield f'grep \"{matter}\" notes.txt'",
            "uses double quotes",
        ),
        ("demonstrator.py", 'yield f"grep', 'yield f"cat notes.txt; cat notes.txt; grep', "prints 11 lines"),
        ("demonstrator.py", "output.split()[-1]", "output.split()[99]", "raised IndexError"),
        (
            "instance.py",
            "matters = rng.sample(TOPICS, 5)",
            "rng.seed(1)\n    matters = rng.sample(TOPICS, 5)",
            "distinct",
        ),
        (
            "instance.py",
            "matters = rng.sample(TOPICS, 5)",
            "import os\n    rng.seed(os.urandom(4))\n    matters = rng.sample(TOPICS, 5)",
            "the same seed gave two",
        ),
        (
            "instance.py",
            '"notes.txt": ',
            '"secret": "grade_checkpoints",\n               "notes.txt": ',
            "only the evaluator may know: /workspace/secret",
        ),
        ("task.yaml", "difficulty: 1", "difficulty: 3", "difficulty 3 means 4 to 6"),
        ("task.yaml", "difficulty: 1", "difficulty: 9", "difficulty: Input should be less"),
    ],
)
def test_the_gate_finds_what_is_wrong(tmp_path, file, old, new, problem):
    folder = new_package(tmp_path, NAME)
    verdict = verdict_on(changed(folder, file, old, new))
    assert not verdict.passed
    assert re.search(problem, " ".join(verdict.problems)), verdict.problems


NAIVE = """\
import os
from common import facts
from scoring import Checkpoint, Result


def grade_checkpoints(trajectory=""):
    name = open("owner.txt").read().strip() if os.path.exists("owner.txt") else ""
    return Result([Checkpoint(1, name in facts()["owners"]), Checkpoint(2, 2 * (name == facts()["owner"]))])
"""


def test_an_evaluator_that_trusts_the_workspace_fails_on_hostile_endings(tmp_path):
    problems = verdict_on(package_folder(tmp_path, evaluator_py=NAIVE)).problems
    assert any("gives no grade where every file made or changed is 'a folder'" in p for p in problems)
    assert any("gives no grade where every file made or changed is 'binary'" in p for p in problems)
    assert all("gives no grade" in problem for problem in problems)


def test_the_worked_example_of_the_documentation_passes_the_gate(tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text(encoding="utf-8")
    example = text[text.index("## A worked example") : text.index("## What the gate demands")]
    blocks = re.findall(r"```\w*\n(.*?)```", example, re.DOTALL)
    folder = new_package(tmp_path, "finance-petty-cash")
    authoring = "from tac_rl.tasks.authoring import *\nfrom tac_rl.tasks.words import *\nimport random, re\n"
    for name, block in zip(
        ("task.yaml", "task.md", "instance.py", "evaluator.py", "demonstrator.py"), blocks, strict=True
    ):
        host_side = name in ("instance.py", "demonstrator.py")
        (folder / name).write_text(authoring + block if host_side else block)
    assert verdict_on(folder).problems == ()


def test_check_prints_one_json_list(tmp_path, capsys):
    new_package(tmp_path, "hr-one")
    package_folder(tmp_path, task_md=None)
    code = main(["--path", str(tmp_path), "check", "--json", "--seeds", "1"])
    verdicts = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [(v["name"], v["passed"]) for v in verdicts] == [(NAME, False), ("hr-one", True)]
    assert set(verdicts[0]) == {"name", "role", "difficulty", "services", "passed", "problems"}
    assert "lacks task.md" in verdicts[0]["problems"][0]


def test_new_and_list(tmp_path, capsys):
    assert main(["--path", str(tmp_path), "new", "qa-one"]) == 0
    assert main(["--path", str(tmp_path), "list"]) == 0
    out = capsys.readouterr().out
    assert "check qa-one" in out
    assert "Find out who owns a matter" in out
    with pytest.raises(TaskError, match="no task package fits 'hr-one'; there are: qa-one"):
        main(["--path", str(tmp_path), "check", "hr-one"])
