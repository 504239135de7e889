"""The LoRA adapter: made, saved with all that a resume needs, loaded again.

An adapter directory of version N:
- `adapter_config.json`, `adapter_model.safetensors`: PEFT's format, what engines load;
- `probe.json`: `{"token_ids": [...], "logprobs": [...]}`, the learner's log-probabilities of
  `token_ids[1:]` under
  these weights (float32, temperature 1), by which serving proves a publish;
- `optimizer.safetensors`, `learner.json`: AdamW's state, the version, and the base model's fingerprint;
- `reference.safetensors`, only in a DPO stage against its start: the LoRA weights that the stage began with.

There is no random state to save: what randomness a step has comes from the run's seed and the version.
"""

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tac_rl.config.learner import LoraSection
from tac_rl.errors import AdapterError

FORMAT = 1
ADAM_STATE = ("exp_avg", "exp_avg_sq")
REFERENCE = "reference.safetensors"


@dataclass(frozen=True)
class AdapterState:
    """What an adapter directory holds besides the weights."""

    version: int
    probe_ids: tuple[int, ...]


def create_adapter(base: Any, lora: LoraSection, seed: int) -> PeftModel:
    """A fresh LoRA inside `base`: A is random by `seed`, B is zero, so the policy is still the base
    model's."""
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    try:
        model = get_peft_model(base, config)
    except ValueError as error:
        raise AdapterError(f"learner.lora.targets {lora.targets!r} don't fit the model: {error}") from error
    for module in model.modules():
        # Under autocast PEFT would copy every input to float32 only for autocast to copy it back.
        if hasattr(module, "lora_A"):
            module.cast_input_dtype_enabled = False
    return model


def trainable(model: PeftModel) -> dict[str, torch.nn.Parameter]:
    """The adapter's parameters by name, in a fixed order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def save_adapter(
    model: PeftModel,
    optimizer: torch.optim.Optimizer,
    out: Path,
    *,
    version: int,
    base: str,
    probe_ids: Sequence[int],
    probe_logprobs: Sequence[float],
    reference: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the new directory `out`: whole or, if the process dies, not at all."""
    if out.exists():
        raise AdapterError(f"{out} exists already; a version is written once, to a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    config = copy.copy(model.peft_config["default"])
    config.inference_mode = True
    config.save_pretrained(str(partial))
    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(weights, partial / "adapter_model.safetensors")
    # safetensors makes files for their owner alone; an engine that is a service may be another user of the group.
    (partial / "adapter_model.safetensors").chmod((partial / "adapter_config.json").stat().st_mode & 0o666)
    tensors: dict[str, Tensor] = {}
    steps = 0
    for name, parameter in trainable(model).items():
        state = optimizer.state.get(parameter)
        if state:
            steps = int(state["step"])
            tensors |= {f"{name}.{key}": state[key].contiguous() for key in ADAM_STATE}
    save_file(tensors, partial / "optimizer.safetensors")
    if reference is not None:
        save_file({name: value.contiguous() for name, value in reference.items()}, partial / REFERENCE)
    _write_json(partial / "probe.json", {"token_ids": list(probe_ids), "logprobs": list(probe_logprobs)})
    _write_json(
        partial / "learner.json",
        {"format": FORMAT, "version": version, "base": base, "optimizer_steps": steps},
    )
    partial.rename(out)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def load_adapter(
    model: PeftModel, optimizer: torch.optim.Optimizer, directory: Path, *, base: str
) -> AdapterState:
    """Put the directory's weights and optimiser state into `model` and `optimizer`, or raise
    `AdapterError`."""
    state = _read_json(directory, "learner.json")
    if state.get("format") != FORMAT:
        raise AdapterError(
            f"{directory}/learner.json: format {state.get('format')!r}, this program reads {FORMAT}"
        )
    if state.get("base") != base:
        raise AdapterError(
            f"{directory}: made for another base model; resume with the model that the run was started with"
        )
    _check_config(directory, model.peft_config["default"])
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = _read_tensors(directory, "adapter_model.safetensors", {name: own[name].shape for name in own})
    parameters = trainable(model)
    steps = int(state.get("optimizer_steps", 0))
    shapes = {f"{name}.{key}": parameters[name].shape for name in parameters for key in ADAM_STATE}
    moments = _read_tensors(directory, "optimizer.safetensors", shapes if steps else {})
    set_peft_model_state_dict(model, weights)
    for name, parameter in parameters.items():
        if steps:
            optimizer.state[parameter] = {
                "step": torch.tensor(float(steps)),
                **{key: moments[f"{name}.{key}"].to(parameter.device) for key in ADAM_STATE},
            }
    probe_ids = _read_json(directory, "probe.json").get("token_ids")
    if not isinstance(probe_ids, list) or len(probe_ids) < 2:
        raise AdapterError(f"{directory}/probe.json: token_ids must be a list of at least two token ids")
    return AdapterState(int(state["version"]), tuple(probe_ids))


def load_reference(model: PeftModel, directory: Path) -> dict[str, Tensor]:
    """The weights that the directory's stage began with, by parameter name, on the model's device."""
    parameters = trainable(model)
    tensors = _read_tensors(directory, REFERENCE, {name: parameters[name].shape for name in parameters})
    return {name: tensor.to(parameters[name].device) for name, tensor in tensors.items()}


def _read_json(directory: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads((directory / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise AdapterError(
            f"{directory}: not an adapter to resume from, {name} can't be read ({error})"
        ) from error
    except ValueError as error:
        raise AdapterError(f"{directory}/{name}: not JSON ({error}); resume from an older version") from error
    if not isinstance(value, dict):
        raise AdapterError(f"{directory}/{name}: not a JSON object; resume from an older version")
    return value


def _check_config(directory: Path, own: LoraConfig) -> None:
    """The directory's LoRA must be the one that the config asks for."""
    theirs = _read_json(directory, "adapter_config.json")
    expected: dict[str, Any] = {
        "r": own.r,
        "lora_alpha": own.lora_alpha,
        "target_modules": sorted(own.target_modules or ()),
    }
    for field, value in expected.items():
        found = theirs.get(field)
        if isinstance(found, list):
            found = sorted(found)
        if found != value:
            raise AdapterError(
                f"{directory}/adapter_config.json: {field} is {found}, the config gives {value}; "
                "resume with the config that the run was started with"
            )


def _read_tensors(directory: Path, name: str, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Tensors of a file, which must have exactly these names and shapes and only finite numbers."""
    try:
        tensors: dict[str, Tensor] = load_file(directory / name)
    except (OSError, SafetensorError) as error:
        raise AdapterError(
            f"{directory}/{name}: corrupt or missing ({error}); resume from an older version"
        ) from error
    if {key: tensor.shape for key, tensor in tensors.items()} != dict(shapes):
        odd = sorted(set(tensors) ^ set(shapes))
        odd = odd or [key for key in shapes if tensors[key].shape != shapes[key]]
        raise AdapterError(f"{directory}/{name}: tensors don't fit the model, first of them {odd[0]}")
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise AdapterError(
                f"{directory}/{name}: {key} has numbers that are not finite; resume from an older version"
            )
    return tensors
