"""Reading configs: what is wrong is named, with the fix."""

from pathlib import Path

import pytest
import yaml

from tac_rl.config.loading import load_config, parse_config
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


def staged(tmp_path: Path, *stages: str, more: str = "") -> RunConfig:
    lines = "\n".join(f"  - {{{stage}}}" for stage in stages)
    return load_config(RunConfig, write(tmp_path, f"stages:\n{lines}\n{more}"))


def test_a_run_without_stages_is_one_of_its_learner_s_kind(tmp_path: Path) -> None:
    (only,) = RunConfig().all_stages()
    assert (only.kind, only.iterations) == ("grpo", RunConfig().iterations)
    (only,) = load_config(RunConfig, write(tmp_path, "learner: {loss: dpo}\niterations: 3\n")).all_stages()
    assert (only.kind, only.iterations) == ("dpo", 3)


def test_a_stage_overrides_only_what_it_names_and_the_iterations_are_the_sum(tmp_path: Path) -> None:
    config = staged(
        tmp_path,
        "kind: sft, iterations: 2, learner: {learning_rate: 1.0e-4}",
        "kind: grpo, iterations: 5",
        "kind: dpo, iterations: 3, learner: {dpo: {beta: 0.3}}",
        more="learner: {loss: gspo, learning_rate: 2.0e-3, dpo: {min_margin: 0.4}}\n",
    )
    assert config.iterations == 10
    sft, grpo, dpo = (stage.resolved(config.learner) for stage in config.stages)
    assert (sft.loss, sft.learning_rate, sft.dpo.min_margin) == ("sft", 1e-4, 0.4)
    assert (grpo.loss, grpo.learning_rate) == ("gspo", 2e-3)
    assert (dpo.loss, dpo.dpo.beta, dpo.dpo.min_margin) == ("dpo", 0.3, 0.4)


def test_a_dumped_config_with_stages_is_read_as_the_same(tmp_path: Path) -> None:
    config = staged(tmp_path, "kind: sft, iterations: 2, learner: {sft: {per_group: 2}}", "kind: grpo, iterations: 1")
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    again = load_config(RunConfig, tmp_path / "again.yaml", ["learner.learning_rate=0.5"])
    assert again.stages == config.stages
    assert again.stages[0].resolved(again.learner).learning_rate == 0.5  # still the run's, not a frozen default


@pytest.mark.parametrize(
    ("stage", "more", "message"),
    [
        ("kind: ppo, iterations: 1", "", r"stages\.0\.kind: .*'sft', 'grpo' or 'dpo'"),
        ("kind: sft", "", r"stages\.0\.iterations: Field required"),
        ("kind: sft, iterations: 1, from_rum: x", "", r"stages\.0\.from_rum: unknown key; did you mean from_run\?"),
        ("kind: sft, iterations: 1, learner: {learning_rat: 1}", "", "did you mean learning_rate"),
        ("kind: sft, iterations: 1, learner: {lora: {rank: 8}}", "", r"learner: .*lora: all stages share it"),
        ("kind: sft, iterations: 1, learner: {loss: grpo}", "", "a stage of kind sft has the loss sft"),
        ("kind: grpo, iterations: 1, from_run: x", "", "grpo needs rollouts of the current policy"),
        ("kind: grpo, iterations: 1", "learner: {loss: sft}", "stage 1 is grpo, but learner.loss is sft"),
        ("kind: sft, iterations: 2", "iterations: 5", "the stages have 2 in all, but iterations is 5"),
    ],
)  # fmt: skip
def test_a_stage_that_can_not_be_is_refused(tmp_path: Path, stage: str, more: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        staged(tmp_path, stage, more=more)


def test_what_a_whole_section_gets_wrong_is_told_by_field_and_without_the_section() -> None:
    with pytest.raises(ConfigError) as told:
        parse_config(RunConfig, {"learner": {"kind": "art"}, "engine": {"time_sharing": "auto"}}, "a.yaml")
    line = str(told.value).splitlines()[-1].strip()
    assert line.startswith("engine.time_sharing: ART's trainer") and "found" not in line
