"""The card of this machine: what nvidia-smi says, or the CPU and its memory. Imports only the standard library."""

import csv
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tac_rl.memory_plan.card import Card

LOOK_SECONDS = 30
QUERY = ("index", "name", "memory.total", "memory.used", "driver_version", "compute_cap")
BF16_SINCE = (8, 0)
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """One line of nvidia-smi."""

    index: int
    name: str
    total: int
    """Bytes."""
    used: int
    driver: str
    capability: tuple[int, int]
    """(0, 0) where the driver is too old to tell."""


def parse_nvidia_smi(text: str) -> list[Gpu]:
    """The answer to `--query-gpu=... --format=csv,noheader,nounits`; lines that are no such answer are left out."""
    found = []
    for line in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(line) != len(QUERY):
            continue
        index, name, total, used, driver, capability = (field.strip() for field in line)
        try:
            major, _, minor = capability.partition(".")
            pair = (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)
            found.append(Gpu(int(index), name, int(float(total)) << 20, int(float(used)) << 20, driver, pair))
        except ValueError:
            continue  # "[N/A]" where memory is shared with the CPU, "ERR!" where the card fell off the bus.
    return found


def ask_nvidia_smi() -> tuple[list[Gpu], str]:
    """The GPUs, and what went wrong in asking (empty where nvidia-smi isn't there, or answered)."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], ""
    command = [program, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi could not be asked: {error}"
    gpus = parse_nvidia_smi(answer.stdout)
    if answer.returncode or not gpus:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        return [], f"nvidia-smi failed: {said[0] if said else f'exit status {answer.returncode}'}"
    return gpus, ""


def visible_gpus() -> list[str] | None:
    """What CUDA_VISIBLE_DEVICES names: numbers or ids, in its order; None where it isn't set, and all are visible."""
    visible = os.environ.get(VISIBLE)
    return None if visible is None else [name.strip() for name in visible.split(",") if name.strip()]


def find_cards() -> list[Card]:
    """The GPUs that this process sees, in the order in which it counts them; else Apple's, else the CPU with the
    machine's memory."""
    gpus, _ = ask_nvidia_smi()
    gpus = _seen(gpus)
    if gpus:
        return [card_of(gpu) for gpu in gpus]
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return [Card("mps", int(total_memory() * 0.75), "Apple GPU (memory shared with the CPU)", bfloat16=False)]
    return [this_cpu()]


def this_cpu() -> Card:
    return Card("cpu", total_memory(), "the CPU", bfloat16=cpu_has_bfloat16())


def _seen(gpus: list[Gpu]) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES names by number, in its order; by ids, which nvidia-smi isn't asked for, as many
    as it names."""
    visible = visible_gpus()
    if visible is None:
        return gpus
    by_number = {str(gpu.index): gpu for gpu in gpus}
    if all(name in by_number for name in visible):
        return [by_number[name] for name in visible]
    return gpus[: len(visible)]


def card_of(gpu: Gpu) -> Card:
    return Card("cuda", gpu.total, gpu.name, bfloat16=gpu.capability >= BF16_SINCE or gpu.capability == (0, 0))


def pretended_card(gigabytes: float) -> Card:
    """A card of so many GB (as they are sold: 24 GB are 24 GiB), for planning."""
    return Card("cuda", int(gigabytes * 2**30), f"a card of {gigabytes:g} GB")


def total_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(file).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 (Linux, x86)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
