"""Which GPUs engine and learner get: on one, on two, on more; and what the started processes are told."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nvidia_smi_answers as answers
import pytest

from tac_rl.assembly import _placed
from tac_rl.config.loading import load_config, parse_config
from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError, LearnerError
from tac_rl.learning import loading
from tac_rl.learning.process import ProcessLearner, worker_environment
from tac_rl.memory_plan.placement import Placement, place
from tac_rl.serving import hardware
from tac_rl.serving.card import find_cards
from tac_rl.serving.hardware import count_gpus, gpu_environment
from tac_rl.serving.vllm_server import server_arguments, server_environment

TWO_GPUS = Path("configs/qwen_2_5_7b_two_gpus.yaml")


def config(**sections: Any) -> RunConfig:
    return parse_config(RunConfig, sections, "test")


def placed(gpus: int, kind: str = "vllm", **sections: Any) -> Placement:
    return place(config(**sections), kind, gpus)


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of two cards, as nvidia-smi tells it, and nothing said about them."""
    program = tmp_path / "nvidia-smi"
    listing = "GPU 0: A\\nGPU 1: B\\n"
    program.write_text(
        f"#!/bin/sh\nif [ \"$1\" = -L ]; then printf '{listing}'; else cat <<'END'\n{UNEQUAL}END\nfi\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


UNEQUAL = answers.RTX_4090 + answers.H100.replace("0,", "1,", 1)


@pytest.mark.parametrize(
    ("gpus", "sections", "expected"),
    [
        (0, {}, Placement((), None, turns=False)),
        (1, {}, Placement((0,), 0, turns=True)),
        (2, {}, Placement((0,), 1, turns=False)),
        (4, {"engine": {"vllm": {"gpus": [0, 1]}}}, Placement((0, 1), 2, turns=False)),
        (2, {"engine": {"vllm": {"gpus": [0, 1]}}}, Placement((0, 1), 0, turns=True)),
        (
            2,
            {"engine": {"vllm": {"gpus": [1]}}, "learner": {"device": "cuda"}},
            Placement((1,), 0, turns=False),
        ),
        (2, {"learner": {"device": "cuda:0"}}, Placement((0,), 0, turns=True)),
        (1, {"engine": {"time_sharing": "off"}}, Placement((0,), 0, turns=False)),
        (1, {"learner": {"device": "cpu"}}, Placement((0,), None, turns=False)),
    ],
)
def test_the_learner_takes_a_card_that_the_engine_leaves_free_and_turns_where_there_is_none(
    gpus: int, sections: dict[str, Any], expected: Placement
) -> None:
    assert placed(gpus, **sections) == expected


def test_the_transformers_engine_takes_no_turns() -> None:
    assert placed(1, "transformers") == Placement((0,), 0, turns=False)
    assert placed(2, "transformers").learner == 1
    assert placed(1, "transformers", engine={"device": "cpu"}) == Placement((), 0, turns=False)


def test_where_nobody_learns_nobody_sleeps_and_the_learner_s_card_need_not_be_there() -> None:
    wanted = config(learner={"device": "cuda:7"}, rollouts={"max_staleness": 1})
    assert place(wanted, "vllm", 1, learns=False) == Placement((0,), None, turns=False)


@pytest.mark.parametrize(
    ("gpus", "sections", "message"),
    [
        (1, {"learner": {"device": "cuda:1"}}, r"learner\.device: cuda:1 is not there.* one GPU, number 0"),
        (0, {"learner": {"device": "cuda"}}, r"learner\.device: cuda is not there.* shows no GPU"),
        (
            2,
            {"engine": {"vllm": {"gpus": [0, 2]}}},
            r"engine\.vllm\.gpus: GPU 2 is not there.* 2 GPUs, 0 to 1",
        ),
        (1, {"rollouts": {"max_staleness": 1}}, r"rollouts\.max_staleness: .*take turns on one GPU"),
    ],
)
def test_a_card_that_is_not_there_and_turns_without_a_wait_are_refused(
    gpus: int, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        placed(gpus, **sections)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:one", "cuda:-1", "cpu:0"])
def test_a_device_that_is_none_is_refused_by_name(device: str) -> None:
    with pytest.raises(ConfigError, match=r"learner\.device"):
        config(learner={"device": device})


@pytest.mark.usefixtures("gpus")
def test_each_process_sees_only_its_own_card_in_nvidia_smi_s_order(tmp_path: Path) -> None:
    assert count_gpus() == 2
    two = load_config(RunConfig, TWO_GPUS)
    placement = place(two, "vllm", count_gpus())
    section = _placed(two.engine, placement)
    server = server_environment(section, "key", tmp_path)
    assert (server["CUDA_VISIBLE_DEVICES"], server["CUDA_DEVICE_ORDER"]) == ("0", "PCI_BUS_ID")
    assert "VLLM_SERVER_DEV_MODE" not in server
    arguments = server_arguments(two.model, "127.0.0.1", 1, section, 8192, gpu=True)
    assert "--enable-sleep-mode" not in arguments and "--tensor-parallel-size" not in arguments
    learner = worker_environment(1, gpus=[1])
    assert (learner["CUDA_VISIBLE_DEVICES"], learner["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment(1)


@pytest.mark.usefixtures("gpus")
def test_a_server_over_two_cards_splits_the_model() -> None:
    both = config(engine={"vllm": {"gpus": [0, 1]}})
    section = _placed(both.engine, place(both, "vllm", 2))
    arguments = server_arguments(both.model, "127.0.0.1", 1, section, 512, gpu=True)
    assert arguments[arguments.index("--tensor-parallel-size") + 1] == "2"
    assert "--enable-sleep-mode" in arguments  # it takes turns with the learner on the first


@pytest.mark.usefixtures("gpus")
def test_numbers_are_places_in_what_somebody_made_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert [card.name for card in find_cards()] == ["NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 4090"]
    assert gpu_environment([0]) == {"CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8f3c, GPU-11aa")
    assert gpu_environment([1]) == {"CUDA_VISIBLE_DEVICES": "GPU-11aa"}
    assert len(find_cards()) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert (count_gpus(), gpu_environment([0])) == (1, {})
    assert [card.name for card in find_cards()] == ["NVIDIA H100 80GB HBM3"]


def test_with_one_card_or_none_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (0, 1):
        monkeypatch.setattr(hardware, "count_gpus", lambda found=found: found)
        assert gpu_environment([0]) == {}


def test_a_process_that_sees_one_card_is_told_no_number(tmp_path: Path) -> None:
    def told(device: str, placement: Placement | None) -> Any:
        learner = ProcessLearner(
            config(learner={"device": device}).learner,
            model_path=tmp_path,
            scratch=tmp_path,
            log=tmp_path / "log",
            iterations=1,
            seed=0,
            placement=placement,
        )
        return learner.plan["settings"]["device"], learner.takes_turns

    assert told("cuda:1", Placement((0,), 1, turns=False)) == ("cuda", False)
    assert told("auto", Placement((0,), 0, turns=True)) == ("auto", True)
    assert told("cuda:1", None) == ("cuda:1", False)


def test_a_learner_alone_finds_a_card_by_its_number_or_says_how_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    current: list[str] = []
    monkeypatch.setattr(loading.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(loading.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(loading.torch.cuda, "set_device", lambda device: current.append(str(device)))
    assert str(loading.choose_device("cuda:1")) == "cuda:1" and current == ["cuda:1"]
    with pytest.raises(LearnerError, match=r"learner\.device is cuda:2, but torch finds 2 of them"):
        loading.choose_device("cuda:2")


def test_a_dry_run_plans_two_cards_and_names_the_one_that_is_not_there() -> None:
    command = [sys.executable, "tac_rl/train.py", "--config", str(TWO_GPUS), "--dry-run"]
    for sizes, said in (
        ("24 24", "and the learner on a card of 24 GB"),
        ("24", "learner.device: cuda:1 is not there"),
    ):
        shown = subprocess.run(
            [*command, "--vram", *sizes.split()], capture_output=True, text=True, timeout=100, check=False
        )
        assert shown.returncode == 2 and "Traceback" not in shown.stderr
        assert said in shown.stdout + shown.stderr
