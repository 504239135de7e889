"""Reading configs: what is wrong is named, with the fix."""

from pathlib import Path

import pytest

from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_default_run(tmp_path: Path) -> None:
    assert load_config(RunConfig, write(tmp_path, "")) == RunConfig()


def test_the_shipped_configs_are_valid() -> None:
    paths = sorted(Path("configs").glob("*.yaml"))
    assert paths
    for path in paths:
        if "warmstart" not in path.name:
            load_config(RunConfig, path)


def test_malformed_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml: not valid YAML at line 3"):
        load_config(RunConfig, write(tmp_path, "seed: 1\nrollouts: [1, 2\n"))


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a mapping of sections, not a list"):
        load_config(RunConfig, write(tmp_path, "- a\n- b\n"))


def test_an_unknown_key_is_refused_with_the_nearest_valid_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rollouts\.group_sise: unknown key; did you mean group_size\?"):
        load_config(RunConfig, write(tmp_path, "rollouts:\n  group_sise: 4\n"))
    with pytest.raises(ConfigError, match=r"curiculum: unknown key; did you mean curriculum\?"):
        load_config(RunConfig, write(tmp_path, "curiculum: {}\n"))


def test_a_wrong_value_is_named_with_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"iterations: .*greater than or equal to 1 \(found 0\)"):
        load_config(RunConfig, write(tmp_path, "iterations: 0\n"))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(RunConfig, write(tmp_path, "iterations: many\nsead: 1\n"))
    assert "iterations:" in str(caught.value) and "sead:" in str(caught.value)


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"other\.yaml: no such config file \(there: run\.yaml\)"):
        load_config(RunConfig, tmp_path / "other.yaml")


def test_overrides_reach_into_sections_and_are_parsed_as_yaml(tmp_path: Path) -> None:
    config = load_config(
        RunConfig,
        write(tmp_path, "rollouts:\n  groups: 2\n"),
        ["rollouts.group_size=3", "curriculum.enabled=false", "name=trial"],
    )
    assert (config.rollouts.groups, config.rollouts.group_size) == (2, 3)
    assert config.curriculum.enabled is False
    assert config.name == "trial"


@pytest.mark.parametrize("override", ["rollouts", "=3", "rollouts..groups=1", "seed.deeper=1"])
def test_a_malformed_override_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_config(RunConfig, write(tmp_path, "seed: 1\n"), [override])
