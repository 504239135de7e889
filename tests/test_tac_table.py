"""The commands: the evaluators' environment, and the table of what runs here."""

import json
import sys

import pytest
from tac_helpers import environment, package_folder

from tac_rl.errors import ConfigError, TaskError
from tac_rl.tac import table
from tac_rl.tac.cli import main
from tac_rl.tac.environment import (
    LIBRARIES,
    find_environment,
    find_python,
    make_environment,
    normalised,
    requirements_for,
)
from tac_rl.tac.folder import read_folder
from tac_rl.tac.references import Reference, other_needs, references
from tac_rl.tac.survey import Row

MARKED = "# TAC\n\n<!-- table: begin -->\nold\n<!-- table: end -->\nafter\n"


def test_the_table_tells_what_was_measured(tmp_path, capsys):
    fails = "raise SystemExit('TAC says so')"
    package_folder(tmp_path, "sde-fine")
    package_folder(
        tmp_path,
        "sde-generous",
        evaluator__py="from scoring import *\ngrade_checkpoints = lambda t: Result([Checkpoint(1, 1)])",
    )
    package_folder(tmp_path, "hr-broken", evaluator__py="import nothing_such\n")
    package_folder(tmp_path, "hr-odd", dependencies__yml="- jira\n")
    package_folder(tmp_path, "pm-docker", Dockerfile="FROM x\nRUN apt-get install -y zip\n")
    package_folder(tmp_path, "pm-raises", evaluator__py="raise ValueError('TAC says so')\n")
    package_folder(
        tmp_path,
        "pm-scripts",
        pre_init__py=fails,
        dependencies__yml="- gitlab\n",
        task__md="See http://the-agent-company.com:8929/root/no-such-project and https://example.com\n",
    )
    actor = {"strategy_hint": "Say no at first."}
    package_folder(
        tmp_path,
        "hr-actor",
        Dockerfile="FROM x\nCOPY scenarios.json /npc\n",
        scenarios__json=json.dumps({"Mike Chen": actor}),
    )
    asks = "from common import *\nfrom scoring import *\n@grader\ndef friendly():\n    return judged('?')\n"
    asks += "grade_checkpoints = lambda t: Result([Checkpoint(1, friendly())])\n"
    package_folder(tmp_path, "hr-judged", evaluator__py=asks)
    document = tmp_path / "tac.md"
    document.write_text(MARKED)
    settings = [f"tasks.tac.environment={environment().folder}", "tasks.tac.snapshot=bare"]
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    assert main(["table", str(tmp_path), "--out", str(document), *arguments]) == 0
    text = document.read_text()
    assert text.startswith("# TAC\n")
    assert text.endswith("<!-- table: end -->\nafter\n")
    rows = {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]]
        for line in text.splitlines()
        if "|" in line
    }
    assert rows["sde-fine"] == ["", "yes", "yes", "0/2", ""]
    assert rows["sde-generous"] == ["", "yes", "yes", "1/1", ""]
    assert rows["hr-actor"] == ["", "yes", "yes", "0/2", "LLM colleagues"]
    assert rows["hr-judged"] == ["", "yes", "yes", "no: it asks the LLM judge at once", ""]
    assert rows["hr-broken"] == ["", "yes", "-", "-", "Python's nothing_such"]
    assert rows["hr-odd"][1].startswith("no: ")
    assert rows["pm-docker"] == ["", "yes", "-", "-", "Docker, for apt's zip"]
    assert rows["pm-raises"] == ["", "yes", "yes", "no: the evaluator failed (ValueError)", ""]
    assert rows["pm-scripts"][2] == "no: pre_init.py exited with 1"
    assert rows["pm-scripts"][4] == "TAC's gitlab data (no-such-project); internet (example.com)"
    assert "TAC says so" not in text
    assert rows["give points for doing nothing"] == ["1"]
    assert rows["load"] == ["8"]
    assert "sde-fine: yes / yes / 0/2" in capsys.readouterr().out
    assert main(["names", str(tmp_path), *arguments]) == 0
    names = capsys.readouterr().out.split()
    assert names == ["hr-actor", "hr-judged", "pm-raises", "pm-scripts", "sde-fine", "sde-generous"]


def test_a_table_goes_between_marks_only(tmp_path):
    document = tmp_path / "tac.md"
    document.write_text("no marks\n")
    with pytest.raises(ConfigError, match="between which the table goes"):
        table.write(document, table.render((Row("a|b"),)), "table")
    assert r"a\|b" in table.render((Row("a|b"),))


def test_a_folder_that_is_no_checkout_is_told(tmp_path):
    with pytest.raises(ConfigError, match="name a checkout of TheAgentCompany"):
        main(["table", str(tmp_path), "--set", f"tasks.tac.environment={environment().folder}"])
    with pytest.raises(TaskError):
        main(["pins", str(tmp_path)])


def test_references_are_read_from_a_package_s_texts(tmp_path):
    source = (
        "x = get_gitlab_project_id('api-server')\n"
        "y = get_plane_project_id('Our Product')\n"
        "z = 'http://the-agent-company.com:8092/remote.php/webdav/Documents/a%20b/c.csv'\n"
    )
    folder = package_folder(
        tmp_path,
        evaluator__py=source,
        dependencies__yml="- gitlab\n- owncloud\n",
        task__md="http://the-agent-company.com:8929/root/web.git and /apps/files/?dir=/Documents/In+Box&fileid=3\n",
    )
    found = {(str(r.service), r.name) for r in references(read_folder(folder))}
    assert found == {
        ("forge", "api-server"),
        ("forge", "web"),
        ("drive", "Documents/a b/c.csv"),
        ("drive", "Documents/In Box"),
    }
    assert Reference("forge", "web") in references(read_folder(folder))


def test_needs_beside_services_are_signs_in_the_texts(tmp_path):
    source = "subprocess.run(['poetry', 'install'])\nrequests.get('http://localhost:80')\n"
    found = other_needs(read_folder(package_folder(tmp_path, evaluator__py=source)))
    assert found == (
        "internet (poetry)",
        "the attempt's own machine at grading (running or installed programs)",
    )
    assert other_needs(read_folder(package_folder(tmp_path / "b"))) == ()


def test_an_environment_is_made_described_and_made_again(tmp_path):
    environment()  # Skips where there is no Python for it.
    made = make_environment(tmp_path / "e", [], lambda line: None)
    assert (made.folder / "bin" / "python_default").exists()
    assert "json" in made.modules
    assert "pandas" not in made.modules
    assert made == find_environment(tmp_path / "e")
    assert make_environment(tmp_path / "e", [], lambda line: None) == made


def test_an_environment_replaces_nothing_else(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="holds something else"):
        make_environment(tmp_path, [], lambda line: None)
    assert (tmp_path / "mine.txt").exists()


def test_an_old_or_missing_python_is_told(tmp_path, monkeypatch):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3 11 /somewhere\n")
    old.chmod(0o755)
    monkeypatch.setenv("PYTHON312", str(old))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no Python 3\.12"):
        find_python()
    old.write_text("#!/bin/sh\necho 3 13 /some where/python\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert find_python() == "/some where/python"


def test_requirements_follow_the_imports():
    assert requirements_for(["docx", "sys", "litellm"], ["torch"]) == [
        LIBRARIES["litellm"],
        LIBRARIES["docx"],
        "torch",
    ]
    assert len(requirements_for(None)) == len(LIBRARIES)
    assert [normalised(name) for name in ("Python_PPTX==1.0", "a[b] >= 2", "x;y")] == [
        "python-pptx",
        "a",
        "x",
    ]
    assert not set(LIBRARIES) & set(sys.stdlib_module_names)
