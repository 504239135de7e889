"""Whether a model's folder is whole and of a kind that can be trained: read without torch, weights not at all.

Every problem is one line that names the path, what is missing, and the command that downloads it.
"""

import json
import struct
from pathlib import Path
from typing import Any

from tac_rl.errors import ConfigError
from tac_rl.memory_plan.shape import known_shape, shape_of

LFS_POINTER = b"version https://git-lfs"
HEADER_LIMIT = 100 << 20
"""Longest header that the safetensors format allows."""
SUFFIX = "ForCausalLM"


def check_model_folder(path: Path) -> None:
    """Raise `ConfigError` with everything that is wrong with the folder."""
    problems = model_problems(path)
    if problems:
        raise ConfigError("\n".join([f"model: {problems[0]}", *(f"  {line}" for line in problems[1:])]))


def model_problems(path: Path) -> list[str]:
    """What is wrong, the fix last; empty where the folder is whole."""
    download = f"download it with: {download_command(path)}"
    if not path.exists():
        return [f"{path} is missing (no such folder); {download}"]
    if not path.is_dir():
        return [f"{path} is a file; give the folder that holds config.json and *.safetensors"]
    config, problem = _config(path)
    if problem:
        return [f"{problem}; {download}"]
    problem = architecture_problem(path, config)
    if problem:
        return [problem]
    missing = _missing_weights(path)
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        missing.append("tokenizer.json is missing")
    if missing:
        shown = missing[:4] + ([f"and {len(missing) - 4} more"] if len(missing) > 4 else [])
        return [f"{path} is not whole: {'; '.join(shown)}; {download} (it goes on where it stopped)"]
    return []


def download_command(path: Path) -> str:
    """The command that fills the folder, as far as its name tells which model it should hold."""
    repository = f"Qwen/{path.name}" if known_shape(path.name) else "OWNER/NAME"
    return f"hf download {repository} --local-dir {path}"


def _config(path: Path) -> tuple[dict[str, Any], str]:
    file = path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = sorted(entry.name for entry in path.iterdir())[:4]
        return {}, f"{path} is not whole: config.json is missing (there: {', '.join(there) or 'nothing'})"
    except (OSError, ValueError) as error:
        return {}, f"{file} can't be read ({error})"
    if not isinstance(config, dict):
        return {}, f"{file} must hold a JSON object"
    return config, ""


def architecture_problem(path: Path, config: dict[str, Any]) -> str:
    """Why a model of this architecture can't be trained; empty where it can."""
    named = config.get("architectures") or []
    # A folder may leave its class out where model_type says enough.
    if named and not (isinstance(named, list) and str(named[0]).endswith(SUFFIX)):
        return (
            f"{path}/config.json: architectures is {named!r}, which is no causal language model (a name that ends in "
            f"{SUFFIX}); choose a model such as Qwen/Qwen2.5-7B-Instruct"
        )
    if config.get("quantization_config"):
        return (
            f"{path}/config.json: the weights are quantised already, which the learner can't train beside; download "
            "the original and quantise as it is loaded (learner.base_weights: nf4)"
        )
    try:
        shape_of(config, f"{path}/config.json")
    except ConfigError as error:
        return str(error)
    return ""


def _missing_weights(path: Path) -> list[str]:
    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            return [f"{index.name} can't be read ({error!r})"]
    else:
        names = [file.name for file in sorted(path.glob("*.safetensors"))] or ["model.safetensors"]
    return [problem for name in names if (problem := _file_problem(path / name))]


def _file_problem(file: Path) -> str:
    """Whether a safetensors file is there and as long as its header says."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            if start + stream.read(len(LFS_POINTER) - 8) == LFS_POINTER:
                return f"{file.name} is a Git LFS pointer, not the weights"
            stream.seek(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER_LIMIT + 1
            if length > HEADER_LIMIT:
                return f"{file.name} is no safetensors file, or was cut off at its start"
            header = json.loads(stream.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    except FileNotFoundError:
        return f"{file.name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{file.name} can't be read ({type(error).__name__}: {error})"
    wanted = 8 + length + max(ends, default=0)
    if size < wanted:
        return f"{file.name} has {size} of {wanted} bytes"
    return ""
