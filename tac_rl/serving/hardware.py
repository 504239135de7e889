"""What this machine offers for serving, found out without importing torch or vLLM."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tac_rl.config.engine import EngineSection
from tac_rl.serving.card import VISIBLE, visible_gpus

ORDER = "CUDA_DEVICE_ORDER"
_LOOK_SECONDS = 30


def has_gpu() -> bool:
    """Whether an NVIDIA or AMD GPU is visible to this machine's programs."""
    return any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/kfd")) or _nvidia_smi_lists_one()


def count_gpus() -> int:
    """GPUs that this process may use: those that CUDA_VISIBLE_DEVICES names, where it does."""
    visible = visible_gpus()
    if visible is not None and has_gpu():
        return len(visible)
    return max(_nvidia_smi_lists(), int(has_gpu()))


def gpu_environment(numbers: Sequence[int]) -> dict[str, str]:
    """The environment by which a process sees only these of the GPUs that we see, and counts them from 0.

    Nothing where there is nothing to choose. Numbers are those of nvidia-smi, unless CUDA_VISIBLE_DEVICES is set:
    then they are places in it.
    """
    if not numbers or count_gpus() < 2:
        return {}
    visible = visible_gpus()
    if visible is not None:
        return {VISIBLE: ",".join(visible[number] for number in numbers)}
    # CUDA's own order is by speed; nvidia-smi's is by place.
    return {VISIBLE: ",".join(map(str, numbers)), ORDER: os.environ.get(ORDER, "PCI_BUS_ID")}


def can_sleep(config: EngineSection) -> bool:
    """Whether a vLLM server is to be started so that it can sleep; by itself where there is one GPU for all."""
    if config.time_sharing == "auto":
        return count_gpus() == 1
    return config.time_sharing == "on"


def _nvidia_smi_lists_one() -> bool:
    """For containers and WSL, whose device files are elsewhere."""
    return _nvidia_smi_lists() > 0


def _nvidia_smi_lists() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        answer = subprocess.run([program, "-L"], capture_output=True, timeout=_LOOK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return answer.stdout.count(b"GPU ") if answer.returncode == 0 else 0


def has_vllm(python: Path | None) -> bool:
    """Whether vLLM is installed for `python` (None: the interpreter that runs this)."""
    if python is None:
        return importlib.util.find_spec("vllm") is not None
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        return subprocess.run([str(python), "-c", look], timeout=_LOOK_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
