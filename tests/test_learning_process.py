"""The learner's process: real updates in it, and every way it can die."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from learning_fixtures import random_groups, save_tiny_qwen2, step_learner

from tac_rl.config.learner import LearnerSection
from tac_rl.errors import AdapterError, LearnerError
from tac_rl.learning.process import ProcessLearner


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("model"))


def process_learner(model: Path, folder: Path, **settings: object) -> ProcessLearner:
    given = {"precision": "float32", "lora": {"rank": 4, "alpha": 8}, **settings}
    return ProcessLearner(
        LearnerSection.model_validate(given),
        model_path=model,
        scratch=folder / "scratch",
        log=folder / "learner.log",
        iterations=10,
        seed=0,
    )


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_steps_in_a_process_and_after_a_resume_equal_steps_in_one_go(model: Path, tmp_path: Path) -> None:
    async def run() -> None:
        learner = process_learner(model, tmp_path)
        await learner.start(None)
        first = await learner.step(random_groups(1), 1, tmp_path / "1")
        second = await learner.step(random_groups(2), 2, tmp_path / "2")
        assert first.adapter == tmp_path / "1" and not first.skipped and not second.skipped
        await learner.stop()
        await learner.stop()

        resumed = process_learner(model, tmp_path)
        await resumed.start(tmp_path / "1")
        again = await resumed.step(random_groups(2), 2, tmp_path / "again")
        await resumed.stop()
        assert again.metrics["loss"] == second.metrics["loss"]
        for name in ("adapter_model.safetensors", "optimizer.safetensors", "probe.json", "learner.json"):
            assert (tmp_path / "2" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
        assert list((tmp_path / "scratch").iterdir()) == []

    asyncio.run(run())


def test_a_killed_process_is_an_error_with_its_log_and_can_be_started_again(
    model: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        learner = process_learner(model, tmp_path)
        await learner.start(None)
        assert learner.process is not None
        learner.process.kill()
        with pytest.raises(LearnerError, match=r"died during 'step' \(exit status -9.*learner\.log"):
            await learner.step(random_groups(1), 1, tmp_path / "1")
        with pytest.raises(LearnerError, match="not running"):
            await learner.step(random_groups(1), 1, tmp_path / "1")
        await learner.start(None)
        result = await learner.step(random_groups(1), 1, tmp_path / "1")
        assert not result.skipped
        await learner.stop()

    asyncio.run(run())


def test_a_hanging_process_is_killed_at_its_limit(model: Path, tmp_path: Path) -> None:
    async def run() -> None:
        learner = process_learner(model, tmp_path, step_timeout_s=0.2)
        await learner.start(None)
        assert learner.process is not None
        pid = learner.process.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(LearnerError, match=r"within 0\.2 s.*learner\.step_timeout_s"):
            await learner.step(random_groups(1), 1, tmp_path / "1")
        assert gone(pid)

    asyncio.run(run())


def test_bad_input_is_an_error_and_the_process_goes_on(model: Path, tmp_path: Path) -> None:
    async def run() -> None:
        learner = process_learner(model, tmp_path)
        step_learner(model).step(random_groups(), 1, tmp_path / "bad")
        (tmp_path / "bad" / "adapter_model.safetensors").write_bytes(b"junk")
        with pytest.raises(AdapterError, match="corrupt"):
            await learner.start(tmp_path / "bad")
        await learner.start(None)
        (tmp_path / "1").mkdir()
        with pytest.raises(AdapterError, match="exists already"):
            await learner.step(random_groups(1), 1, tmp_path / "1")
        assert not (await learner.step(random_groups(1), 2, tmp_path / "2")).skipped
        await learner.stop()

    asyncio.run(run())


def test_a_model_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="can't be loaded"):
        asyncio.run(process_learner(tmp_path / "nowhere", tmp_path).start(None))


def test_the_process_dies_with_its_parent_also_when_that_is_killed(model: Path, tmp_path: Path) -> None:
    script = f"""
import asyncio
from pathlib import Path
from test_learning_process import process_learner
async def main():
    learner = process_learner(Path({str(model)!r}), Path({str(tmp_path)!r}))
    await learner.start(None)
    print(learner.process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    watch = os.pidfd_open(pid)
    parent.kill()
    parent.wait(30)
    try:
        import select

        assert select.select([watch], [], [], 30)[0], "the learner outlived its parent"
    finally:
        os.close(watch)
