"""The GPU benchmark can't run without a card; its code can, with a tiny shape on the CPU."""

import importlib.util
import json
import subprocess
import sys

import pytest


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_the_gpu_benchmark_runs_its_whole_course_on_a_tiny_shape() -> None:
    shown = subprocess.run(
        [sys.executable, "bench/gpu_7b.py", "--smoke"], capture_output=True, text=True, timeout=170, check=False
    )
    assert shown.returncode == 0, shown.stderr[-2000:]
    lines = [json.loads(line) for line in shown.stdout.splitlines() if line.startswith("{")]
    against = next(line for line in lines if line["what"].startswith("against"))
    assert against["loss"] == pytest.approx(against["loss_cpu"], abs=0.05)
    assert against["gradient_cosine"] > 0.99
    steps = [(line["base"], line["tokens"]) for line in lines if line["what"] == "step"]
    assert steps == [(base, tokens) for base in ("bfloat16", "nf4") for tokens in (64, 256, 512)]
    assert all(line["tokens_per_s"] > 0 for line in lines if line["what"] == "step")
