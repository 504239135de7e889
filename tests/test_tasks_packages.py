"""Loading packages and making instances."""

import pytest
from tasks_fakes import NAME, package_folder

from tac_rl.config.tasks import TasksSection
from tac_rl.errors import TaskError
from tac_rl.tasks.determinism import digests, digests_elsewhere
from tac_rl.tasks.packages import (
    OURS,
    choose_packages,
    find_folders,
    load_package,
    load_packages,
    split_seed,
)
from tac_rl.tasks.scaffold import new_package

YAML = f"name: {NAME}\nrole: admin\ndifficulty: 1\nservices: []\nsummary: s\n"
MADE = (
    "from tac_rl.tasks.authoring import Made\ndef make(rng):\n    return Made(values={{'matter': 'x'}}, {})\n"
)


def test_the_scaffold_loads_and_gives_an_instance(tmp_path):
    package = load_package(package_folder(tmp_path))
    instance = package.instantiate(7)
    assert (package.name, package.role, package.difficulty, package.services) == (NAME, "admin", 1, ())
    assert package.max_turns is None
    assert "{" not in instance.instruction
    assert instance.facts["owner"].encode() in instance.files["notes.txt"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"task_md": None, "evaluator_py": None}, "lacks task.md, evaluator.py"),
        ({"task_yaml": "name: ["}, "task.yaml: could not be read as YAML"),
        ({"task_yaml": "just text"}, "must be a mapping"),
        ({"task_yaml": YAML.replace("admin\n", "boss\n", 1)}, "role: must be one of sde"),
        ({"task_yaml": YAML.replace("1", "6")}, "difficulty: .*less than or equal to 5.*it is 6"),
        ({"task_yaml": YAML.replace("1", "'1'")}, "difficulty: .*valid integer"),
        ({"task_yaml": YAML + "color: red\n"}, "color: unknown field; the fields are name, role"),
        ({"task_yaml": YAML.replace("summary: s\n", "")}, "summary: is missing"),
        ({"task_yaml": YAML.replace("[]", "[fax]")}, "services: fax is unknown"),
        ({"task_yaml": YAML.replace(NAME, "admin-other")}, "they must be the same"),
        ({"task_yaml": YAML.replace(NAME, "Admin Thing")}, "name: must be lower-case words"),
        ({"task_md": "  \n"}, "task.md: is empty"),
        ({"task_md": "Look at {matter} and {}"}, "use a plain name"),
        ({"task_md": "Look at {matter"}, "task.md: .*braces"),
        ({"instance_py": "def make(rng:"}, "instance.py: importing it raised SyntaxError"),
        ({"instance_py": "import no_such_module"}, "instance.py: importing it raised ModuleNotFoundError"),
        ({"instance_py": "x = 1"}, "instance.py: must define make"),
        ({"evaluator_py": "def grade_checkpoints(:"}, "evaluator.py, line 1"),
        ({"evaluator_py": "x = 1"}, "evaluator.py: must define grade_checkpoints"),
        ({"demonstrator_py": "ENDINGS = ()"}, "demonstrator.py: must define work"),
        ({"demonstrator_py": "def work(i, s): yield ''"}, "ENDINGS must be a tuple"),
    ],
)
def test_a_malformed_package_names_file_field_and_fix(tmp_path, changes, complaint):
    folder = package_folder(tmp_path, **changes)
    with pytest.raises(TaskError, match=complaint) as caught:
        load_package(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("files={'/etc/x': ''}", "must be a plain path"),
        ("files={'../x': ''}", "must be a plain path"),
        ("files={'a//b': ''}", "must be a plain path"),
        ("executable=frozenset({'run.sh'})", "`executable` names run.sh"),
        ("facts={'when': {1, 2}}", "`facts` must hold JSON values only"),
        ("facts={'x': float('nan')}", "`facts` must hold JSON values only"),
    ],
)
def test_a_malformed_instance_names_the_seed_and_the_fix(tmp_path, arguments, complaint):
    package = load_package(package_folder(tmp_path, instance_py=MADE.format(arguments)))
    with pytest.raises(TaskError, match=f"seed 3: .*{complaint}"):
        package.instantiate(3)


def test_values_and_placeholders_must_agree(tmp_path):
    package = load_package(package_folder(tmp_path, task_md="About {matter} in {city}."))
    with pytest.raises(TaskError, match=r"city of task\.md has no value"):
        package.instantiate(0)


def test_make_that_raises_or_returns_something_else_is_the_authors_mistake(tmp_path):
    package = load_package(package_folder(tmp_path, instance_py="def make(rng):\n    return 1 / rng\n"))
    with pytest.raises(TaskError, match=r"make\(\) of instance.py raised TypeError"):
        package.instantiate(0)


def test_a_missing_folder_names_its_neighbours(tmp_path):
    package_folder(tmp_path)
    with pytest.raises(TaskError, match=f"no such task folder; there are: {NAME}"):
        load_package(tmp_path / "nothing")


def test_modules_of_two_packages_do_not_meet(tmp_path):
    source = (
        "from tac_rl.tasks.authoring import Made\nX = '{}'\n"
        "def make(rng):\n    return Made(values={{'matter': X}})\n"
    )
    one = load_package(package_folder(tmp_path / "one", instance_py=source.format("one")))
    two = load_package(package_folder(tmp_path / "two", instance_py=source.format("two")))
    assert "one" in one.instantiate(0).instruction
    assert "two" in two.instantiate(0).instruction


def test_splits_share_no_seed():
    last = (1 << 32) - 1
    assert (
        split_seed("train", last)
        < split_seed("heldout", 0)
        <= split_seed("heldout", last)
        < split_seed("check", 0)
    )
    assert split_seed("train", 5) == 5
    for split, index in (("test", 0), ("train", -1), ("train", 1 << 32)):
        with pytest.raises(ValueError):
            split_seed(split, index)


def test_one_seed_is_one_instance_in_every_process(tmp_path):
    folder = package_folder(tmp_path)
    assert digests_elsewhere([folder]) == {str(folder): digests(load_package(folder))}


def test_a_set_that_leaks_into_instances_shows_in_another_process(tmp_path):
    source = (
        "from tac_rl.tasks.authoring import Made\nfrom tac_rl.tasks.words import TOPICS\n"
        "def make(rng):\n    return Made(values={'matter': rng.choice(list(set(TOPICS)))})\n"
    )
    folder = package_folder(tmp_path, instance_py=source)
    assert digests_elsewhere([folder]) != {str(folder): digests(load_package(folder))}


def test_patterns_choose_packages(tmp_path):
    for name in ("hr-one", "hr-two", "qa-one"):
        new_package(tmp_path, name)
    assert [p.name for p in load_packages(tmp_path, ["hr-*"], ["*-two"])] == ["hr-one"]
    assert [f.name for f in find_folders(tmp_path)] == ["hr-one", "hr-two", "qa-one"]
    with pytest.raises(TaskError, match="no task package fits 'pm-\\*'; there are: hr-one, hr-two, qa-one"):
        load_packages(tmp_path, ["pm-*"])
    with pytest.raises(TaskError, match="no such folder of task packages"):
        load_packages(tmp_path / "nowhere")


def test_heldout_packages_are_not_trained_on(tmp_path):
    for name in ("hr-one", "hr-two", "qa-one"):
        new_package(tmp_path, name)
    training, heldout = choose_packages(TasksSection(path=tmp_path, heldout=("hr-*",)), OURS)
    assert [p.name for p in training] == ["qa-one"]
    assert [p.name for p in heldout] == ["hr-one", "hr-two"]
    with pytest.raises(TaskError, match="no package is left to train on"):
        choose_packages(TasksSection(path=tmp_path, heldout=("*",)), OURS)


@pytest.mark.parametrize("name", ["cook-soup", "hr", "HR-x", "hr_x", "../hr-x"])
def test_the_scaffold_refuses_a_bad_name(tmp_path, name):
    with pytest.raises(TaskError, match="is no name for a package"):
        new_package(tmp_path, name)


def test_the_scaffold_overwrites_nothing(tmp_path):
    new_package(tmp_path, "hr-one")
    with pytest.raises(TaskError, match="exists already"):
        new_package(tmp_path, "hr-one")
