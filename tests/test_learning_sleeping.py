"""The learner leaves its device between steps: all of it, and no bit of training is another for it.

There is no GPU here; the device is tests/test_device_double, whose memory is its own and counted.
"""

import asyncio
import gc
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import test_device_double as double
import torch
from learning_fixtures import random_groups, save_tiny_qwen2, step_learner
from test_learning_process import process_learner

from tac_rl.errors import LearnerError
from tac_rl.learning.sleeping import Sleeper, changing_tensors, frozen_tensors
from tac_rl.learning.step import StepLearner

HAS_BNB = importlib.util.find_spec("bitsandbytes") is not None
COURSE = Path(double.__file__).with_name("course.py")
COURSE_SECONDS = 300
TABLES = {"float32": 0, "nf4": 2048}
"""Bytes that may stay on the device: bitsandbytes keeps tables of a few hundred numbers for all its matrices."""
needs_compiler = pytest.mark.skipif(double.COMPILER is None, reason="no g++ to compile the device with")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("model"))


def course(model: Path, out: Path, base: str, how: str) -> dict[str, Any]:
    command = [sys.executable, str(COURSE), str(model), str(out), base, how]
    path = os.pathsep.join(map(str, (COURSE.parents[2], COURSE.parents[1])))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "TORCHDYNAMO_DISABLE": "1"}
    shown = subprocess.run(
        command, capture_output=True, text=True, timeout=COURSE_SECONDS, check=False, env=environment
    )
    assert shown.returncode == 0, shown.stderr[-3000:]
    return dict(json.loads(shown.stdout.splitlines()[-1]))


@needs_compiler
@pytest.mark.timeout(double.COMPILE_SECONDS + 2 * COURSE_SECONDS)
@pytest.mark.parametrize(
    "base",
    [
        "float32",
        pytest.param("nf4", marks=pytest.mark.skipif(not HAS_BNB, reason="bitsandbytes is not installed")),
    ],
)
def test_asleep_nothing_is_left_on_the_device_and_training_is_the_same_bit_for_bit(
    model: Path, tmp_path: Path, base: str
) -> None:
    double.library()
    slept = course(model, tmp_path / "sleeps", base, "sleeps")
    stayed = course(model, tmp_path / "stays", base, "stays")
    assert len(slept["asleep"]) == 5 and max(slept["asleep"]) <= TABLES[base], slept
    assert all(
        10_000 < a <= b for a, b in zip(slept["awake"], stayed["awake"], strict=True)
    )  # and no mask is kept
    files = sorted(path.relative_to(tmp_path / "stays") for path in (tmp_path / "stays").rglob("*.*"))
    assert sum(path.name == "reference.safetensors" for path in files) == 2  # of its stage of DPO
    for file in files:
        assert (tmp_path / "sleeps" / file).read_bytes() == (tmp_path / "stays" / file).read_bytes(), file


def storages_reached(root: object) -> set[int]:
    """Every storage that can be reached from an object, by whatever way."""
    seen, found, todo = {id(root)}, set(), [root]
    while todo:
        thing = todo.pop()
        if isinstance(thing, torch.Tensor):
            found.add(thing.untyped_storage()._cdata)
        for other in gc.get_referents(thing):
            inner = isinstance(other, dict | list | tuple | set) or hasattr(other, "__dict__")
            if inner and not isinstance(other, type) and not _is_code(other) and id(other) not in seen:
                seen.add(id(other))
                todo.append(other)
    return found


def _is_code(thing: object) -> bool:
    return type(thing).__name__ in ("module", "function", "builtin_function_or_method", "method")


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "dpo"},
        {"base_weights": "bfloat16", "precision": "bfloat16"},
        pytest.param(
            {"base_weights": "nf4", "precision": "bfloat16"},
            marks=pytest.mark.skipif(not HAS_BNB, reason="bitsandbytes is not installed"),
        ),
    ],
    ids=str,
)
def test_no_tensor_of_a_learner_is_forgotten(model: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    """An optimiser counts its steps on the CPU, wherever it trains: those are the only ones that stay."""
    learner = step_learner(model, **settings)
    learner.step(random_groups(1), 1, tmp_path / "1")
    moved = [
        *frozen_tensors(learner.model),
        *changing_tensors(learner.model, learner.optimizer, learner.reference),
    ]
    counts = {state["step"].untyped_storage()._cdata for state in learner.optimizer.state.values()}
    named = {tensor.untyped_storage()._cdata for tensor in moved}
    assert len(counts) == len(learner.parameters) and counts <= named
    assert storages_reached(learner) == named


def test_a_device_without_room_is_an_error_and_the_learner_sleeps_on(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = step_learner(model)
    before = [parameter.detach().clone() for parameter in learner.parameters]
    sleeper = Sleeper(torch.device("cpu"))  # Storages of the CPU's can be emptied just as well.
    sleeper.sleep(frozen_tensors(learner.model), changing_tensors(learner.model, learner.optimizer, None))
    assert sleeper.asleep and not learner.parameters[0].untyped_storage().nbytes()
    resize, sizes = torch.UntypedStorage.resize_, []

    def too_little(storage: torch.UntypedStorage, size: int) -> None:
        sizes.append(size)
        if len(sizes) == 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")
        resize(storage, size)

    monkeypatch.setattr(torch.UntypedStorage, "resize_", too_little)
    with pytest.raises(LearnerError, match=r"can't come back to cpu: CUDA out of memory.*memory plan"):
        sleeper.wake()
    monkeypatch.undo()
    assert sleeper.asleep
    assert not any(parameter.untyped_storage().nbytes() for parameter in learner.model.parameters())
    sleeper.wake()
    assert all(torch.equal(a, b) for a, b in zip(before, learner.parameters, strict=True))


def test_a_worker_that_takes_turns_sleeps_before_it_answers_also_after_an_error(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tac_rl.learning.rows import write_groups
    from tac_rl.learning.worker import Worker

    did: list[str] = []
    for name in ("sleep", "wake", "step"):
        original = getattr(StepLearner, name)

        def noted(learner: Any, *given: Any, name: str = name, original: Any = original) -> Any:
            did.append(name)
            return original(learner, *given)

        monkeypatch.setattr(StepLearner, name, noted)
    plan = process_learner(model, tmp_path).plan
    worker = Worker()
    write_groups(random_groups(1), tmp_path / "rows")
    step = {"do": "step", "rows": str(tmp_path / "rows"), "version": 1, "out": str(tmp_path / "1")}
    assert "result" in worker.answer({"id": 1, "do": "start", "plan": plan, "resume_from": None, "takes_turns": True})
    metrics = worker.answer({"id": 2, **step})["result"]["metrics"]
    assert metrics["wake_seconds"] >= 0 and metrics["sleep_seconds"] >= 0
    assert worker.answer({"id": 3, **step})["error"] == "LearnerError"  # the version is there already
    assert did == ["sleep", *(["wake", "step", "sleep"] * 2)]
    monkeypatch.setattr(StepLearner, "sleep", lambda learner: 1 / 0)
    assert "division" in worker.answer({"id": 4, **step})["message"]


def test_a_learner_with_a_device_of_its_own_never_sleeps(model: Path, tmp_path: Path) -> None:
    async def run() -> None:
        learner = process_learner(model, tmp_path)
        assert not learner.takes_turns
        await learner.start(None)
        result = await learner.step(random_groups(1), 1, tmp_path / "1")
        assert "sleep_seconds" not in result.metrics
        await learner.stop()

    asyncio.run(run())
