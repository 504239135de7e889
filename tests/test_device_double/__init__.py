"""A device for tests, on a machine without an accelerator: memory of its own, which is counted; it computes on the CPU.

`device.cpp` fills torch's slot for foreign backends. Loaded into a process, it stays: use it in a process of its own.
"""

import hashlib
import shutil
import subprocess
import types
from pathlib import Path

import torch

NAME = "device_double"
SOURCE = Path(__file__).with_name("device.cpp")
BUILD = Path(__file__).resolve().parents[2] / "build" / "test_device"
COMPILER = shutil.which("g++")
COMPILE_SECONDS = 300


def library() -> Path:
    """Compiled for this torch; half a minute the first time."""
    assert COMPILER is not None
    root = Path(torch.__file__).parent
    mark = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    target = BUILD / f"{mark}.so"
    if not target.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        partial = BUILD / f"{mark}.partial"
        command = [COMPILER, "-std=c++20", "-O1", "-shared", "-fPIC", "-o", str(partial), str(SOURCE)]
        command += [f"-I{root / 'include'}", f"-I{root / 'include/torch/csrc/api/include'}"]
        command += [f"-L{root / 'lib'}", "-lc10", "-ltorch_cpu"]
        subprocess.run(command, check=True, timeout=COMPILE_SECONDS)
        partial.rename(target)
    return target


def load() -> torch.device:
    """Make the device known to this process's torch."""
    torch.ops.load_library(str(library()))
    torch.utils.rename_privateuse1_backend(NAME)
    module = types.ModuleType(f"torch.{NAME}")
    module.__dict__.update(
        is_available=lambda: True,
        device_count=lambda: 1,
        current_device=lambda: 0,
        _is_in_bad_fork=lambda: False,
        manual_seed_all=lambda seed: None,
        get_amp_supported_dtype=lambda: [torch.bfloat16],
    )
    torch._register_device_module(NAME, module)
    return torch.device(NAME)  # without a number, as a config names it


def live_bytes() -> int:
    """That tensors hold on the device now."""
    return int(torch.ops.test_device.live_bytes())


def peak_bytes() -> int:
    """The most that they held at once since `reset_peak`."""
    return int(torch.ops.test_device.peak_bytes())


def reset_peak() -> None:
    torch.ops.test_device.reset_peak()
