"""The verdicts of the validation, and the validation itself, as it runs on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nvidia_smi_answers as answers
import pytest
from serving_models import make_adapter, make_model

from tac_rl.serving import card as card_module
from tac_rl.serving.card import Card, ask_nvidia_smi, card_of, parse_nvidia_smi
from tac_rl.validation import cards, checks, cli, machine, models, versions
from tac_rl.validation.cards import Torch, gpu_lines, speed_line
from tac_rl.validation.lines import Line, Verdict

RIGHT_TORCH = Torch("2.11.0+cu128", "12.8", sees_gpu=True)


def verdicts(lines: list[Line]) -> dict[str, Verdict]:
    return {line.part: line.verdict for line in lines}


def test_answers_of_nvidia_smi_are_read() -> None:
    gpu = parse_nvidia_smi(answers.RTX_4090)[0]
    assert (gpu.name, gpu.total >> 20, gpu.capability) == ("NVIDIA GeForce RTX 4090", 24564, (8, 9))
    assert len(parse_nvidia_smi(answers.TWO_A100)) == 2
    assert parse_nvidia_smi(answers.OLD_DRIVER_WITHOUT_CAPABILITY)[0].capability == (0, 0)
    for text in (answers.FELL_OFF_THE_BUS, answers.DRIVER_MISMATCH, "", "No devices were found\n"):
        assert parse_nvidia_smi(text) == []


def test_a_driver_that_does_not_match_is_told_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    gpus, problem = ask_nvidia_smi()
    assert gpus == [] and "Driver/library version mismatch" in problem
    line = gpu_lines(gpus, problem, RIGHT_TORCH, wanted=False)[0]
    assert line.verdict is Verdict.FAIL and "install the driver again" in line.fix


def test_no_gpu_is_no_failure_unless_the_config_needs_one() -> None:
    line = gpu_lines([], "", Torch("2.13.0+cpu"), wanted=False)[0]
    assert line.verdict is Verdict.NOTE and "tiny_cpu.yaml trains on this machine" in line.found
    line = gpu_lines([], "", Torch("2.13.0+cpu"), wanted=True)[0]
    assert line.verdict is Verdict.FAIL and "tiny_cpu.yaml" in line.fix
    assert "mps" in gpu_lines([], "", Torch("2.11.0", mps=True), wanted=True)[0].found


@pytest.mark.parametrize(
    ("text", "verdict", "said"),
    [
        (answers.RTX_4090, Verdict.OK, "24.0 GiB"),
        (answers.H100, Verdict.OK, "compute capability 9.0"),
        (answers.T4_TOO_OLD, Verdict.FAIL, "too old, no bfloat16"),
        (answers.MX450_TOO_SMALL, Verdict.FAIL, "too small"),
        (answers.OLD_DRIVER_WITHOUT_CAPABILITY, Verdict.FAIL, "too old to tell"),
    ],
)
def test_a_card_is_judged_by_its_age_and_size(text: str, verdict: Verdict, said: str) -> None:
    line = gpu_lines(parse_nvidia_smi(text), "", RIGHT_TORCH, wanted=True)[0]
    assert line.verdict is verdict and said in line.found
    assert verdict is Verdict.OK or line.fix


def test_memory_that_others_use_is_told() -> None:
    lines = gpu_lines(parse_nvidia_smi(answers.RTX_3090_BUSY), "", RIGHT_TORCH, wanted=True)
    assert verdicts(lines)["GPU 0 memory"] is Verdict.WARN


@pytest.mark.parametrize(
    ("text", "torch", "said"),
    [
        (answers.H100, Torch("2.13.0+cpu", None), "built without CUDA"),
        (answers.TWO_A100, Torch("2.14.0+cu130", "13.0", sees_gpu=True), "wants driver 580.65"),
        (answers.OLD_DRIVER_WITHOUT_CAPABILITY, RIGHT_TORCH, "wants driver 570.26"),
        (answers.H100, Torch("2.11.0+cu128", "12.8", problem="CUDA unknown error"), "CUDA unknown error"),
    ],
)
def test_cuda_and_torch_that_do_not_match_are_told(text: str, torch: Torch, said: str) -> None:
    line = gpu_lines(parse_nvidia_smi(text), "", torch, wanted=True)[-1]
    assert line.part == "CUDA and torch" and line.verdict is Verdict.FAIL
    assert said in line.found and line.fix


def test_an_older_driver_of_the_same_cuda_will_do() -> None:
    assert versions.cuda_problem("535.183.01", "12.8") == ""
    assert versions.cuda_problem("570.86.15", "12.8") == ""
    assert versions.cuda_problem("470.57.02", "12.1") != ""


def test_versions_are_judged_with_their_reasons() -> None:
    right = {bound.name: ".".join(map(str, bound.lowest)) for bound in versions.BOUNDS}
    right["vllm"], right["torch"] = "0.32.0", "2.13.0+cpu"
    assert [line.verdict for line in versions.version_lines(right)] == [Verdict.OK]
    lines = versions.version_lines(right | {"peft": "0.14.0", "vllm": "0.20.0"}, needs=frozenset({"vllm"}))
    found = verdicts(lines)
    assert found["peft"] is Verdict.FAIL and found["vllm"] is Verdict.FAIL and found["vllm and torch"] is Verdict.WARN
    assert any("prefix cache" in line.fix for line in lines)
    without = {name: version for name, version in right.items() if name not in ("torch", "vllm", "bitsandbytes")}
    found = verdicts(versions.version_lines(without, needs=frozenset({"bitsandbytes"})))
    assert found["torch"] is Verdict.FAIL and found["vllm"] is Verdict.NOTE and found["bitsandbytes"] is Verdict.FAIL


def test_the_bounds_are_those_of_the_package() -> None:
    import tomllib

    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    text = " ".join([*project["dependencies"], *(r for e in project["optional-dependencies"].values() for r in e)])
    for bound in versions.BOUNDS:
        assert f"{bound.name}>={'.'.join(map(str, bound.lowest))}" in text


def test_speed_is_compared_with_the_datasheet_of_the_class() -> None:
    assert speed_line("NVIDIA GeForce RTX 4090", 150, 900).verdict is Verdict.OK
    slow = speed_line("NVIDIA GeForce RTX 4090", 40, 900)
    assert slow.verdict is Verdict.WARN and "24% and 89%" in slow.found
    assert speed_line("", 0.05, 8).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("text", "config"),
    [
        (answers.H100, "configs/qwen_2_5_7b_80gb.yaml"),
        (answers.RTX_4090, "configs/qwen_2_5_7b_local.yaml"),
        (answers.RTX_4060_TI_16, "configs/qwen_2_5_1_5b_16gb.yaml"),
        (answers.T4_TOO_OLD, "configs/qwen_2_5_0_5b.yaml"),
    ],
)
def test_the_largest_config_that_fits_is_chosen(
    text: str, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever this machine has: on one card engine and learner sleep in the machine's own memory.
    monkeypatch.setattr(checks, "this_cpu", lambda: Card("cpu", 64 << 30, "the CPU", bfloat16=True))
    report = checks.Report()
    gpus = parse_nvidia_smi(text)
    checks._choose(report, None, [card_of(gpu) for gpu in gpus])
    assert report.config == config
    assert "configs/tiny_cpu.yaml" in report.can_run


def test_a_machine_without_memory_for_what_sleeps_is_told_of_a_smaller_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "this_cpu", lambda: Card("cpu", 20 << 30, "the CPU", bfloat16=True))
    report = checks.Report()
    checks._choose(report, None, [card_of(gpu) for gpu in parse_nvidia_smi(answers.RTX_4090)])
    assert report.config == "configs/qwen_2_5_1_5b_16gb.yaml"


def test_a_machine_that_lacks_something_is_told_what(tmp_path: Path) -> None:
    assert machine.python_line((3, 10, 4)).verdict is Verdict.FAIL
    assert machine.python_line((3, 11, 7)).verdict is Verdict.OK
    assert machine.memory_line(4 << 30, 9 << 30).verdict is Verdict.FAIL
    assert machine.disk_line(tmp_path, 15 << 30, free=9 << 30).verdict is Verdict.FAIL
    assert machine.disk_line(tmp_path, 15 << 30, free=18 << 30).verdict is Verdict.WARN


def test_a_port_that_is_taken_is_named() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = machine.ports_line({"gateway.port": port, "engine.vllm.port": 0})
    assert line.verdict is Verdict.FAIL and f"gateway.port {port}" in line.found


def test_a_model_that_is_missing_or_half_there_has_its_download_as_the_fix(tmp_path: Path) -> None:
    line = models.model_line(tmp_path / "Qwen2.5-7B-Instruct")
    assert line.verdict is Verdict.FAIL and line.fix.startswith("hf download Qwen/Qwen2.5-7B-Instruct --local-dir")
    half = tmp_path / "Qwen2.5-0.5B-Instruct"
    half.mkdir()
    line = models.model_line(half)
    assert line.verdict is Verdict.FAIL and "config.json is missing" in line.found and "hf download" in line.fix


def test_an_adapter_of_another_base_model_is_told(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    other = make_model(tmp_path / "other", "llama")
    adapter = make_adapter(model, tmp_path / "adapter", 1)
    assert models.adapter_line(adapter, model).verdict is Verdict.OK
    line = models.adapter_line(adapter, other)
    assert line.verdict is Verdict.FAIL and "made for another model" in line.found
    (adapter / "learner.json").write_text(json.dumps({"base": "0" * 64}))
    line = models.adapter_line(adapter, model)
    assert line.verdict is Verdict.FAIL and "made for another base model" in line.found
    assert models.adapter_line(tmp_path / "nowhere", model).verdict is Verdict.FAIL


def run(*options: str, python: list[str] | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*(python or [sys.executable]), "validate_gpu.py", *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=170, check=False, env={**os.environ, **environment}
    )


def test_a_look_at_this_machine_is_json_with_a_verdict_for_each_line() -> None:
    shown = run("--quick", "--json")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    document = json.loads(shown.stdout)
    assert document["usable"] is True and document["config_chosen"] is True
    assert document["config"] in document["can_run"]
    assert document["memory"]["fits"] is True and "learner step" in document["memory"]["phases"]
    for line in document["lines"]:
        assert set(line) == {"part", "verdict", "found", "fix"}
        assert line["verdict"] in {"ok", "note", "warn", "fail"}
    parts = {line["part"] for line in document["lines"]}
    assert {"Python", "libraries", "disk", "isolation", "ports", "model"} <= parts


def test_this_machine_takes_a_step_and_measures_itself() -> None:
    speed, problem = checks.attempt("speed")
    assert speed is not None and speed["tflops"] > 0 and speed["gb_per_s"] > 0, problem
    trained, problem = checks.attempt("train")
    assert trained is not None and trained["grad_norm"] > 0, problem


@pytest.mark.vllm
@pytest.mark.timeout(700)
def test_this_machine_generates_with_vllm() -> None:
    pytest.importorskip("vllm")
    answer, problem = checks.attempt("vllm")
    assert answer is not None and answer["tokens"] == 16, problem


def test_it_runs_where_nothing_is_installed() -> None:
    """An interpreter without site-packages, as on a machine before set-up."""
    shown = run("--quick", "--json", python=[sys.executable, "-I", "-S"], COLUMNS="80")
    assert shown.returncode == 1, shown.stderr
    lines = {line["part"]: line for line in json.loads(shown.stdout)["lines"]}
    assert lines["torch"]["verdict"] == "fail" and "./setup.sh" in lines["torch"]["fix"]
    plain = run("--quick", python=[sys.executable, "-I", "-S"])
    assert plain.returncode == 1 and "not installed" in plain.stdout and "Traceback" not in plain.stderr


def test_a_config_that_is_not_there_is_a_mistake() -> None:
    shown = run("--quick", "--config", "configs/nowhere.yaml")
    assert shown.returncode == 2 and "no such config file" in shown.stderr


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    report = checks.Report(
        [Line("GPU", Verdict.FAIL, "x " * 90, "y " * 90), Line("model", Verdict.OK, "z")], config="configs/a.yaml"
    )
    cli.show(report)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "can't be used yet: mend the 1 line marked fail" in shown


def test_where_no_nvidia_smi_is_there_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module.shutil, "which", lambda name: None)
    assert ask_nvidia_smi() == ([], "")
    assert cards.datasheet_of("NVIDIA H100 80GB HBM3") is not None
