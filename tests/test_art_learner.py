"""`learner.kind: art` as a whole, on the CPU: ART's own backend, service, training loop, loss and checkpoints.

Doubles stand in for what needs a GPU: Unsloth and TRL's trainer (tests/unsloth_double: the model of transformers,
AdamW), and vLLM (tests/vllm_computing_double: its endpoints over our transformers engine).
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from safetensors.torch import load_file
from serving_models import VOCAB, make_model

from tac_rl.config.loading import parse_config
from tac_rl.config.run import RunConfig
from tac_rl.errors import AdapterError, ConfigError, LearnerError, PublishError
from tac_rl.learning.art_learner import ArtLearner, check_art
from tac_rl.learning.base import GradedRollout, Group, Row
from tac_rl.runs.reader import RunReader
from tac_rl.serving.base import Sampling
from tac_rl.serving.guard import processes_of
from tac_rl.serving.publishing import Publisher
from tac_rl.serving.vllm_engine import VllmEngine

TESTS = Path(__file__).parent


@pytest.fixture
def with_doubles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, and the doubles in the place of what would need them."""
    folders = [str(TESTS / "unsloth_double"), str(TESTS / "vllm_computing_double"), str(TESTS.parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    monkeypatch.syspath_prepend(folders[0])
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'GPU 0: a double'\necho 'GPU 1: a double'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def config_of(folder: Path, **art: Any) -> RunConfig:
    learner = {
        "kind": "art",
        "base_weights": "bfloat16",
        "learning_rate": 1e-3,
        "lora": {"rank": 4, "alpha": 8},
    }
    learner |= {"old_logprobs": "learner", "start_timeout_s": 300, "step_timeout_s": 120}
    engine = {"time_sharing": "off" if art else "on", "max_model_len": 256, "start_timeout_s": 240}
    document = {
        "model": str(make_model(folder / "model", "vllm")),
        "engine": {**engine, "vllm": {"python": sys.executable}},
        "learner": {**learner, "art": {"logprob_chunk": 32, **art}},
        "stages": [
            {"kind": "grpo", "iterations": 5},
            {"kind": "grpo", "iterations": 1, "learner": {"learning_rate": 1e30}},
            {"kind": "grpo", "iterations": 1},
        ],
    }
    return parse_config(RunConfig, document, "a.yaml")


class Run:
    """Learner, engine and publisher, wired as `assembly.py` does."""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.folder = folder
        self.learner = ArtLearner(
            config,
            folder=folder / "art",
            scratch=folder / "scratch",
            log=folder / "learner.log",
            longest_row=256,
        )
        self.engine = VllmEngine(config.model, config.engine, folder, server=self.learner.server)
        sleeper = self.engine if config.learner.art.shared else None
        self.publisher = Publisher(self.engine, config.engine.publish, sleeper=sleeper)

    async def start(self, adapter: Path | None = None, version: int = 0) -> None:
        await self.learner.start(adapter)
        await self.engine.start()
        await self.publisher.restore(adapter, version)

    async def groups(self, *, reward: float | None = None) -> list[Group]:
        """Sampled by the current version; even tokens are rewarded, or all the same."""
        version = self.publisher.current
        groups = []
        for number in range(2):
            prompt = tuple((number * 7 + place * 3) % VOCAB for place in range(12))
            rollouts = []
            for seed in range(3):
                said = await self.engine.generate(prompt, Sampling(max_tokens=10, seed=seed), version)
                name = f"g{number}r{seed}"
                row = Row(
                    name,
                    prompt + said.token_ids,
                    (False,) * 12 + (True,) * 10,
                    (0.0,) * 12 + said.logprobs,
                    0,
                )
                score = sum(token % 2 == 0 for token in said.token_ids) / 10 + seed / 100
                rollouts.append(GradedRollout(name, score if reward is None else reward, (row,)))
            groups.append(Group(f"g{number}", "even", tuple(rollouts)))
        return groups

    async def step(self, groups: Sequence[Group], version: int) -> tuple[Path, dict[str, float], str]:
        async with self.publisher.resting():
            result = await self.learner.step(groups, version, self.folder / f"v{version}")
        return result.adapter, dict(result.metrics), result.skipped

    async def told(self, path: str = "", method: str = "GET") -> dict[str, Any]:
        async with aiohttp.ClientSession() as client:
            async with client.request(method, f"{self.engine.base_url}/double{path}") as answer:
                return dict(await answer.json())


def unchanged(adapter: Path, other: Path) -> bool:
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, other))
    return all(bool((before[name] == after[name]).all()) for name in before)


def gone(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.timeout(600)
def test_art_trains_serves_and_is_restarted_behind_our_contract(with_doubles: None, tmp_path: Path) -> None:
    config = config_of(tmp_path)
    run = Run(config, tmp_path)

    async def asking(done: asyncio.Event) -> int:
        """Somebody who asks all the time, through the steps too."""
        answered = 0
        while not done.is_set():
            await run.engine.generate([1, 2, 3], Sampling(max_tokens=2), run.publisher.current)
            answered += 1
        return answered

    async def life() -> None:
        await run.start()
        done = asyncio.Event()
        asked = asyncio.create_task(asking(done))
        for version in (1, 2):
            adapter, metrics, skipped = await run.step(await run.groups(), version)
            assert (skipped, metrics["updates"], metrics["sampled_tokens"]) == ("", 6.0, 60.0)
            assert metrics["grad_norm"] > 0 and metrics["entropy"] > 0
            # The served log-probabilities are those of ART's trainer, and not those of the version before.
            report = await run.publisher.publish(adapter, version)
            assert report.probe_error is not None and report.probe_error < 1e-4 < report.probe_shift
        done.set()
        answered = await asked
        told = await run.told()
        # ART put its server to sleep and woke it, once a step; no request reached it asleep.
        assert (told["sleeps"], told["wakes"], told["asked_asleep"], told["asleep"]) == (2, 2, 0, False)
        assert answered > 10
        # Each load has a name and a path of its own, and none is in place.
        names = [load["lora_name"] for load in told["loads"]]
        assert names == ["policy-v0001-w1", "policy-v0001-w2", "policy-v0002-w2"]
        assert not any("load_inplace" in load for load in told["loads"])
        assert not any("policy@" in name for name in names)

        # A server that goes on serving the old weights is found out.
        adapter, _, _ = await run.step(await run.groups(), 3)
        await run.told("/stale", "POST")
        with pytest.raises(PublishError, match="version 3"):
            await run.publisher.publish(adapter, 3)
        assert run.publisher.current == 2
        await run.publisher.publish(adapter, 3)

        # Nothing to learn: the same weights under the next number.
        same, metrics, skipped = await run.step(await run.groups(reward=0.85), 4)
        assert "variance" in skipped and metrics["zero_variance_share"] == 1.0 and metrics["updates"] == 0
        await run.publisher.publish(same, 4, weights_unchanged=True)
        assert unchanged(adapter, same)

        # The server dies: trainer and server start anew, from the last adapter and with its optimiser.
        worker = run.learner.process
        temporary = run.learner.temporary
        assert worker is not None and temporary is not None
        for pid in processes_of(temporary):
            os.kill(pid, signal.SIGKILL)
        assert "failed" in await run.publisher.revive(same, 4)
        assert run.learner.process is not worker and worker.returncode is not None
        assert run.publisher.current == 4
        adapter, metrics, skipped = await run.step(await run.groups(), 5)
        assert not skipped
        await run.publisher.publish(adapter, 5)
        assert (adapter / "optimizer.pt").is_file()

        # A step that leaves no finite weights is taken back.
        same, metrics, skipped = await run.step(await run.groups(), 6)
        assert "not finite" in skipped and metrics["updates"] == 0
        await run.publisher.publish(same, 6, weights_unchanged=True)
        assert unchanged(adapter, same)

        # The process dies within a step: one clear error, and nothing is left.
        worker, temporary = run.learner.process, run.learner.temporary
        assert worker is not None and temporary is not None
        server = processes_of(temporary)
        assert server
        step = asyncio.create_task(run.learner.step(await run.groups(), 7, tmp_path / "v7"))
        while not (await run.told())["asleep"]:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)
        worker.kill()
        with pytest.raises(LearnerError, match="died during 'step'"):
            await step
        await run.engine.stop()
        await run.learner.stop()
        assert not processes_of(temporary) and not temporary.exists()
        async with asyncio.timeout(20):  # a killed process takes a moment to be reaped
            while not all(gone(pid) for pid in [*server, worker.pid]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def whole_life() -> None:
        try:
            await life()
        finally:
            await run.engine.stop()
            await run.learner.stop()

    asyncio.run(whole_life())

    # What can't be gone on from is told before ART is asked.
    state = json.loads((tmp_path / "v5" / "learner.json").read_text())
    assert (state["format"], state["version"]) == ("art", 5)
    (tmp_path / "v5" / "learner.json").write_text(json.dumps({**state, "base": "another"}))
    with pytest.raises(AdapterError, match="made for another base model"):
        asyncio.run(run.learner.start(tmp_path / "v5"))
    assert run.learner.process is None


@pytest.mark.timeout(600)
def test_a_run_through_the_door_trains_with_art(with_doubles: None, tmp_path: Path) -> None:
    engine = {"kind": "vllm", "time_sharing": "on", "max_model_len": 2048, "start_timeout_s": 240}
    learner = {"kind": "art", "base_weights": "bfloat16", "learning_rate": 1e-3, "start_timeout_s": 300}
    settings = {
        "engine": {**engine, "vllm": {"python": sys.executable}},
        "learner": {**learner, "art": {"logprob_chunk": 128}},
        "runs_dir": str(tmp_path / "runs"),
        "iterations": 1,
        "rollouts": {"groups": 6, "group_size": 4, "concurrency": 8},
        "evaluation": {"every": 0, "attempts": 1, "final_attempts": 1},
    }
    command = [sys.executable, "tac_rl/train.py", "--config", "configs/tiny_cpu.yaml", "--name", "door"]
    command += [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, cwd=TESTS.parent)
    assert done.returncode == 0, done.stderr
    with RunReader(tmp_path / "runs" / "door") as reader:
        [iteration] = reader.iterations()
        [version] = reader.versions()
    assert iteration.metrics["updates"] == iteration.metrics["trained_rollouts"] > 0
    assert (version.path / "learner.json").is_file()


def test_what_is_missing_is_one_error_before_anything_starts(
    with_doubles: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path)
    assert check_art(config) == f"vLLM of {sys.executable}"
    without = config.model_copy(
        update={"engine": config.engine.model_copy(update={"vllm": replace_python(config, None)})}
    )
    with pytest.raises(
        ConfigError, match=r"uv, which is not on PATH; install uv, or name .* engine\.vllm\.python"
    ):
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        check_art(without)
    (tmp_path / "bin" / "nvidia-smi").unlink()
    monkeypatch.setattr("tac_rl.serving.hardware.has_gpu", lambda: False)
    with pytest.raises(ConfigError, match=r"needs 1 NVIDIA GPU, here is none; set learner\.kind: own"):
        check_art(config)
    sys.path.remove(str(TESTS / "unsloth_double"))
    with pytest.raises(
        ConfigError, match=r"needs unsloth.*not installed here; install the extra .*\[art-local\]"
    ):
        asyncio.run(Run(config, tmp_path).learner.start(None))
    assert not (tmp_path / "learner.log").exists()


def replace_python(config: RunConfig, python: Path | None) -> Any:
    return config.engine.vllm.model_copy(update={"python": python})


def test_the_door_says_what_art_needs_in_a_dry_run() -> None:
    command = [sys.executable, "tac_rl/train.py", "--config", "configs/tiny_cpu.yaml", "--dry-run"]
    command += ["--set=learner=art", '--set=engine={kind: vllm, time_sharing: "on"}']
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=TESTS.parent)
    assert said.returncode == 2 and "learner.kind: art needs unsloth" in said.stderr
    assert "Traceback" not in said.stderr
