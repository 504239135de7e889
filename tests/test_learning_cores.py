"""The learner's own cores: who gets which, and that the processes really are bound to them."""

import asyncio
import os
from pathlib import Path

import pytest
from learning_fixtures import save_tiny_qwen2

from tac_rl.config.learner import LearnerSection
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError
from tac_rl.learning import cores as cores_module
from tac_rl.learning.cores import cores_for_learner, kept_off
from tac_rl.learning.process import ProcessLearner

SHIPPED = Path(__file__).parents[1] / "configs" / "tiny_cpu.yaml"


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores_module, "_usable", lambda: [0, 1, 2, 3])


def own_cores(*overrides: str, gpus: int = 0) -> list[int]:
    return sorted(cores_for_learner(load_config(RunConfig, SHIPPED, list(overrides)), gpus))


@pytest.mark.usefixtures("four_cores")
def test_a_learner_that_steps_on_the_cpu_beside_rollouts_has_as_many_cores_as_threads() -> None:
    assert own_cores() == []  # synchronous: nothing is beside it
    assert own_cores("rollouts.max_staleness=1") == [3]
    assert own_cores("rollouts.max_staleness=1", "learner.threads=2") == [2, 3]
    assert own_cores("rollouts.max_staleness=1", "learner.threads=4") == []  # one is for the others
    assert own_cores("rollouts.max_staleness=1", gpus=1) == []
    assert own_cores("rollouts.max_staleness=1", "learner.device=cpu", gpus=1) == [3]


@pytest.mark.usefixtures("four_cores")
def test_what_the_config_says_of_cores_is_done_or_refused() -> None:
    assert own_cores("learner.own_cores=2") == [2, 3]
    assert own_cores("rollouts.max_staleness=1", "learner.own_cores=0") == []
    with pytest.raises(ConfigError, match=r"learner.own_cores: 4, but 4 cores can be used here"):
        own_cores("learner.own_cores=4")


def test_where_processes_cannot_be_bound_only_a_wish_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert own_cores("rollouts.max_staleness=1") == []
    with pytest.raises(ConfigError, match="can't bind processes to cores"):
        own_cores("learner.own_cores=1")


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
