"""Reading TAC packages: Dockerfiles, where files lie, what a package needs, and the loader for both kinds."""

import json
from pathlib import Path, PurePosixPath

import pytest
from tac_helpers import BASE, EVALUATOR, environment, package_folder
from tasks_fakes import NAME
from tasks_fakes import package_folder as our_package_folder

from tac_rl.config.run import RunConfig
from tac_rl.config.tasks import TacSection, TasksSection
from tac_rl.errors import ConfigError, TaskError
from tac_rl.office.overlay import ChatOverlay
from tac_rl.tac.channels import channels_of
from tac_rl.tac.dockerfile import Copy, parse_dockerfile
from tac_rl.tac.environment import Environment
from tac_rl.tac.folder import is_tac_folder, read_folder
from tac_rl.tac.imports import imported
from tac_rl.tac.packages import TacPackage, load_tac_package, obstacles, package_loader
from tac_rl.tac.rooms import Tools
from tac_rl.tasks.packages import choose_packages


def test_a_dockerfile_is_parsed_into_copies_installs_and_the_rest():
    text = """# a comment
FROM some/base:1
COPY a.csv b.csv /utils/
COPY app/ /workspace/app/
RUN pip install pandas==2.2.3 'numpy<3' && pip install --no-cache-dir lxml
RUN apt-get update && \\
    # why
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends zip \\
      curl && rm -rf /var/lib/apt/lists/*
RUN chmod +x /utils/post_init.sh
RUN curl http://x | sh
RUN pip install a; rm -rf /
ENV A=b
COPY --from=other x /y
"""
    found = parse_dockerfile(text, "Dockerfile")
    assert found.base == "some/base:1"
    assert found.copies == (Copy(("a.csv", "b.csv"), "/utils/"), Copy(("app/",), "/workspace/app/"))
    assert found.pip == ("pandas==2.2.3", "numpy<3", "lxml")
    assert found.apt == ("zip", "curl")
    assert [other.split()[0] for other in found.others] == ["RUN", "RUN", "ENV", "COPY"]


@pytest.mark.parametrize("text", ["COPY a b\n", "FROM a\nFROM b\n", "FROM a\n<html>\n", ""])
def test_what_is_no_dockerfile_is_told(text):
    with pytest.raises(TaskError, match="place/Dockerfile"):
        parse_dockerfile(text, "place/Dockerfile")


def test_files_lie_where_a_build_would_put_them(tmp_path):
    dockerfile = """FROM x
COPY one.csv /utils
COPY one.csv /workspace/renamed.csv
COPY data/* /workspace/
COPY app /workspace/app
COPY two.csv .
"""
    folder = package_folder(tmp_path, Dockerfile=dockerfile, one__csv="1", two__csv="2")
    for name in ("data/x.txt", "data/y.txt", "app/main.py", "app/sub/z.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    content = read_folder(folder)
    assert sorted(content.workspace_files) == [
        "app/main.py",
        "app/sub/z.py",
        "renamed.csv",
        "two.csv",
        "x.txt",
        "y.txt",
    ]
    utils = {path.name for path in content.places(PurePosixPath("/utils"))}
    assert utils == {"common.py", "config.py", "scoring.py", "evaluator.py", "dependencies.yml", "one.csv"}
    assert [str(path) for path in content.places(PurePosixPath("/instruction"))] == ["/instruction/task.md"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [("COPY gone.csv /utils", "gone.csv"), ("COPY ../x /utils", "leads out"), ("COPY a ../b", r"\.\.")],
)
def test_copies_that_lead_nowhere_or_outside_are_refused(tmp_path, line, complaint):
    folder = package_folder(tmp_path, Dockerfile=f"FROM x\n{line}\n", a="a")
    (folder.parent / "x").write_text("secret")
    with pytest.raises(TaskError, match=complaint):
        read_folder(folder)


def test_a_link_out_of_the_folder_is_not_copied(tmp_path):
    folder = package_folder(tmp_path, Dockerfile="FROM x\nCOPY link /workspace\n")
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(TaskError, match="leads out"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("text", "services"),
    [
        ("- rocketchat\n- gitlab", ("chat", "forge")),
        ("- plane\n- owncloud\n", ("tracker", "drive")),
        ("# - gitlab\n", ()),
    ],
)
def test_dependencies_name_our_services(tmp_path, text, services):
    assert read_folder(package_folder(tmp_path, dependencies__yml=text)).services == services


@pytest.mark.parametrize("text", ["- jira\n", "a: b\n", "- [x]\n", "- 'x\n", "x\n"])
def test_dependencies_that_are_not_understood_are_told(tmp_path, text):
    with pytest.raises(TaskError, match=r"dependencies\.yml"):
        read_folder(package_folder(tmp_path, dependencies__yml=text))


@pytest.mark.parametrize(
    ("rubric", "difficulty"),
    [
        ("(1 pt) and (1 pt)", 1),
        ("(2pts)(1 pt)", 2),
        ("This task has 5 points in total.", 3),
        ("(4 pts) (4 pts)", 4),
        ("(12 points)", 5),
    ],
)
def test_difficulty_is_told_by_points(tmp_path, rubric, difficulty):
    assert read_folder(package_folder(tmp_path, checkpoints__md=rubric)).difficulty == difficulty


def test_points_are_counted_in_the_evaluator_where_the_rubric_has_none(tmp_path):
    source = EVALUATOR + "\n# c.append(Checkpoint( 3, 0)); Checkpoint(total=4, result=0)\n"
    assert read_folder(package_folder(tmp_path, checkpoints__md="none", evaluator__py=source)).points == 9


def test_modules_are_found_through_the_package_s_own_files(tmp_path):
    source = "from common import *\nimport helper, pandas as pd\nif 1:\n    from docx.shared import Pt\n# import yaml\n"
    folder = package_folder(
        tmp_path, evaluator__py=source, helper__py="import odf.opendocument", unused__py="import torch"
    )
    assert {"pandas", "docx", "odf", "litellm"} <= read_folder(folder).modules
    assert not {"torch", "yaml"} & read_folder(folder).modules


def test_imports_are_read_from_any_python():
    assert imported(["x = f'{d['a']}'\nimport a.b, c as d\n\tfrom e.f import (g)\nfrom . import h\n"]) == {
        "a",
        "c",
        "e",
    }


def test_what_only_docker_or_other_libraries_can_give_is_listed(tmp_path):
    dockerfile = "FROM x\nRUN apt-get install -y zip\nRUN mkdir /data\nCOPY a /data/\nRUN pip install pandas==2 Torch\n"
    content = read_folder(
        package_folder(tmp_path, Dockerfile=dockerfile, a="a", evaluator__py="import torch, json, fitz\n")
    )
    here = Environment(tmp_path, tmp_path, "3.12.0", frozenset({"pandas"}), frozenset({"json", "litellm"}))
    needs = obstacles(content, here)
    assert needs[:3] == (
        "Docker, for RUN mkdir",
        "Docker, for apt's zip",
        "Docker, for a file at /data/a",
    )
    assert needs[3:] == ("Python's Torch", "Python's fitz")


def test_a_package_that_can_t_run_here_is_refused_with_the_reason(tmp_path):
    tools = Tools(environment(), None, "bare", 20.0)
    with pytest.raises(TaskError, match="it needs Docker, for apt's zip"):
        load_tac_package(
            package_folder(tmp_path / "a", Dockerfile="FROM x\nRUN apt-get install zip\n"), tools
        )
    judged = package_folder(
        tmp_path / "b", evaluator__py="from common import *\nx = evaluate_with_llm('a', 'b')\n"
    )
    with pytest.raises(TaskError, match=r"needs an LLM judge: set office\.judge"):
        load_tac_package(judged, tools)


def test_packages_of_both_kinds_are_loaded_from_one_folder(tmp_path):
    tasks = package_folder(tmp_path, "sde-count").parent
    our_package_folder(tasks)
    config = RunConfig(tasks=TasksSection(path=tasks, tac=TacSection(environment=environment().folder)))
    training, _ = choose_packages(config.tasks, package_loader(config))
    assert [(p.name, p.role) for p in training] == [(NAME, "admin"), ("sde-count", "sde")]


def test_a_missing_environment_is_told_with_the_command(tmp_path):
    folder = package_folder(tmp_path)
    config = RunConfig(tasks=TasksSection(tac=TacSection(environment=tmp_path / "none")))
    with pytest.raises(ConfigError, match=r"python -m tac_rl\.tac environment"):
        package_loader(config).load(folder)


def test_a_folder_outside_a_checkout_is_told(tmp_path):
    folder = package_folder(tmp_path)
    lonely = folder.rename(tmp_path / "lonely")
    assert is_tac_folder(lonely)
    with pytest.raises(TaskError, match=r"common\.py was looked for in"):
        read_folder(lonely)


def test_executable_files_stay_executable(tmp_path):
    folder = package_folder(
        tmp_path, Dockerfile=f"{BASE}COPY run.sh data.txt /workspace\n", run__sh="#!/bin/sh", data__txt=""
    )
    (folder / "run.sh").chmod(0o755)
    package = load_tac_package(folder, Tools(environment(), None, "bare", 20.0))
    assert package.instantiate(0).executable == {"run.sh"}


def test_scenarios_count_where_the_image_holds_them(tmp_path):
    scenarios = json.dumps({"Mike Chen": {"extra_info": "You like tea."}})
    with_them = package_folder(
        tmp_path / "a", Dockerfile="FROM x\nCOPY scenarios.json /npc\n", scenarios__json=scenarios
    )
    without = package_folder(tmp_path / "b", scenarios__json=scenarios)
    assert read_folder(with_them).scenarios == with_them / "scenarios.json"
    assert read_folder(without).scenarios is None


TABLE = """# Channels
| Name | Users | Created |
|------|-------|---------|
| general | | May 1 |
| engineering | 2 | May 1 |
| project-sun | 9 | May 2 |
| kudos | 19 | May 3 |

| Name | User Name | Channels | More |
|------|-----------|----------|------|
| Mike Chen | mike_chen | #engineering | x |
"""
PEOPLE = [
    {"first_name": "theagentcompany", "last_name": "AI"},
    {"first_name": "Mike", "last_name": "Chen", "slack_channels": "#engineering, #general"},
    {"first_name": "Li", "last_name": "Ming", "slack_channels": "All project channels, #engineering-old"},
    {"first_name": "Sarah", "last_name": "Johnson", "slack_channels": "All technical channels"},
]


def described(tmp_path: Path, people: str) -> Path:
    folder = tmp_path / "servers" / "rocketchat" / "npc"
    folder.mkdir(parents=True)
    (folder / "NPC.md").write_text(TABLE)
    (folder / "npc_definition.json").write_text(people)
    return tmp_path


def test_the_channels_of_a_checkout_are_there_from_the_start(tmp_path):
    folder = package_folder(described(tmp_path, json.dumps(PEOPLE)), dependencies__yml="- rocketchat\n")
    content = read_folder(folder)
    quiet = TacPackage(content, Tools(environment(), None, "quiet", 20.0)).instantiate(0)
    channels = {c.name: c.members for c in quiet.company.overlays[0].chat.channels}
    assert channels == {
        "engineering": ("mike_chen", "sarah_johnson"),
        "project-sun": ("li_ming", "sarah_johnson"),
        "kudos": "everyone",
    }
    imported = TacPackage(content, Tools(environment(), None, "imported@1", 20.0)).instantiate(0)
    assert imported.company.overlays[0].chat == ChatOverlay()


def test_a_checkout_without_a_description_of_the_channels_has_general_alone(tmp_path):
    assert channels_of(tmp_path) == ChatOverlay()


@pytest.mark.parametrize("people", ["{", "[1]", '[{"slack_channels": "x"}]'])
def test_a_description_that_is_not_understood_is_told(tmp_path, people):
    with pytest.raises(TaskError, match="its channels are not understood"):
        channels_of(described(tmp_path, people))
