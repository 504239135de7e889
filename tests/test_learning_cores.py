"""The learner's own cores: who gets which, and that the processes really are bound to them."""

import asyncio
import os
from pathlib import Path

import pytest
from learning_fixtures import save_tiny_qwen2

from tac_rl.config.learner import LearnerSection
from tac_rl.errors import ConfigError
from tac_rl.learning.cores import cores_for_learner, kept_off
from tac_rl.learning.process import ProcessLearner


def test_the_learner_gets_the_last_cores_of_those_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5, 2, 7, 3})
    assert [sorted(cores_for_learner(count)) for count in range(4)] == [[], [7], [5, 7], [3, 5, 7]]
    with pytest.raises(ConfigError, match=r"learner.own_cores: 4, but 4 cores can be used here.*at most 3"):
        cores_for_learner(4)


def test_where_processes_cannot_be_bound_a_wish_for_cores_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores_for_learner(0) == frozenset()
    with pytest.raises(ConfigError, match="can't bind processes to cores"):
        cores_for_learner(1)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_learners_process_has_its_core_to_itself(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    last = max(before)

    async def run() -> tuple[set[int], set[int]]:
        learner = ProcessLearner(
            LearnerSection(),
            model_path=save_tiny_qwen2(tmp_path / "model"),
            scratch=tmp_path / "scratch",
            log=tmp_path / "learner.log",
            iterations=1,
            seed=0,
            cores={last},
        )
        await learner.start(None)
        try:
            assert learner.process is not None
            threads = Path(f"/proc/{learner.process.pid}/task").iterdir()
            bound = set.union(*(os.sched_getaffinity(int(thread.name)) for thread in threads))
            other = await asyncio.create_subprocess_exec("sleep", "60")
            try:
                return bound, os.sched_getaffinity(other.pid)
            finally:
                other.kill()
                await other.wait()
        finally:
            await learner.stop()

    with kept_off(frozenset({last})):
        assert asyncio.run(run()) == ({last}, before - {last})
    assert os.sched_getaffinity(0) == before
