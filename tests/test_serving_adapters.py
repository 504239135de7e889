"""Adapter directories that can't be served are refused with the file, the field and the fix."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from serving_models import make_adapter, make_model

from tac_rl.errors import AdapterError
from tac_rl.serving.adapters import check_adapter, read_deltas
from tac_rl.serving.model_folder import linear_shapes

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@pytest.fixture
def shapes(tmp_path: Path) -> dict[str, tuple[int, int]]:
    return linear_shapes(make_model(tmp_path / "model"))


@pytest.fixture
def adapter(tmp_path: Path, shapes: dict[str, tuple[int, int]]) -> Path:
    return make_adapter(tmp_path / "model", tmp_path / "adapter", 1)


def set_option(**options: Any) -> Callable[[Path], None]:
    def change(adapter: Path) -> None:
        file = adapter / CONFIG
        file.write_text(json.dumps(json.loads(file.read_text()) | options))

    return change


def change_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def apply(adapter: Path) -> None:
        tensors = {name: value.clone() for name, value in load_file(adapter / WEIGHTS).items()}
        change(tensors)
        save_file(tensors, adapter / WEIGHTS)

    return apply


def truncate(adapter: Path) -> None:
    file = adapter / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])


FIRST_A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
DEFECTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated weights": (truncate, rf"{WEIGHTS}: corrupt"),
    "garbage weights": (lambda a: (a / WEIGHTS).write_bytes(b"x" * 500), rf"{WEIGHTS}: corrupt"),
    "empty weights": (lambda a: (a / WEIGHTS).write_bytes(b""), rf"{WEIGHTS}: corrupt"),
    "no weights": (lambda a: (a / WEIGHTS).unlink(), rf"{WEIGHTS}: missing"),
    "no config": (lambda a: (a / CONFIG).unlink(), rf"{CONFIG}: missing"),
    "broken config": (lambda a: (a / CONFIG).write_text("{"), rf"{CONFIG}: not readable JSON"),
    "config is a list": (lambda a: (a / CONFIG).write_text("[]"), "JSON object"),
    "not LoRA": (set_option(peft_type="IA3"), "peft_type is 'IA3'"),
    "DoRA": (set_option(use_dora=True), "use_dora=True is not supported"),
    "biases": (set_option(bias="all"), "bias='all' is not supported"),
    "rank pattern": (set_option(rank_pattern={"q_proj": 8}), "rank_pattern"),
    "changed base": (set_option(init_lora_weights="pissa"), "init_lora_weights='pissa'"),
    "no rank": (set_option(r=None), "r is None"),
    "other rank": (set_option(r=16), "rank 16 on this base model needs"),
    "target without weights": (set_option(target_modules=["q_proj", "mixer"]), "target module 'mixer'"),
    "half a pair": (change_weights(lambda t: t.pop(FIRST_A)), "has only lora_B"),
    "other shape": (change_weights(lambda t: t.update({FIRST_A: torch.zeros(4, 999)})), "another model"),
    "unknown tensor": (change_weights(lambda t: t.update({"surprise": torch.zeros(1)})), "'surprise'"),
    "unknown module": (
        change_weights(lambda t: t.update({FIRST_A.replace("layers.0", "layers.77"): torch.zeros(4, 48)})),
        "layers.77",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defective_adapter_is_refused_and_named(
    defect: str, adapter: Path, shapes: dict[str, tuple[int, int]]
) -> None:
    damage, message = DEFECTS[defect]
    damage(adapter)
    with pytest.raises(AdapterError, match=message) as caught:
        check_adapter(adapter, shapes)
    assert str(adapter) in str(caught.value)


def test_weights_that_are_not_finite_are_refused(adapter: Path, shapes: dict[str, tuple[int, int]]) -> None:
    change_weights(lambda t: t[FIRST_A].fill_(float("nan")))(adapter)
    with pytest.raises(AdapterError, match="NaN or infinity"):
        read_deltas(check_adapter(adapter, shapes))


def test_a_good_adapter_gives_scale_times_b_times_a(
    adapter: Path, shapes: dict[str, tuple[int, int]]
) -> None:
    spec = check_adapter(adapter, shapes)
    assert (spec.rank, spec.scale, len(spec.modules)) == (4, 2.0, 21)
    tensors = load_file(adapter / WEIGHTS)
    expected = 2.0 * tensors[FIRST_A.replace("lora_A", "lora_B")] @ tensors[FIRST_A]
    delta = read_deltas(spec)["model.layers.0.self_attn.q_proj"]
    assert torch.allclose(delta, expected)
