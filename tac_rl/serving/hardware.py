"""What this machine offers for serving, found out without importing torch or vLLM."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

_LOOK_SECONDS = 30


def has_gpu() -> bool:
    """Whether an NVIDIA or AMD GPU is visible to this machine's programs."""
    return any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/kfd")) or _nvidia_smi_lists_one()


def _nvidia_smi_lists_one() -> bool:
    """For containers and WSL, whose device files are elsewhere."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        answer = subprocess.run([program, "-L"], capture_output=True, timeout=_LOOK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and b"GPU" in answer.stdout


def has_vllm(python: Path | None) -> bool:
    """Whether vLLM is installed for `python` (None: the interpreter that runs this)."""
    if python is None:
        return importlib.util.find_spec("vllm") is not None
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        return subprocess.run([str(python), "-c", look], timeout=_LOOK_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
