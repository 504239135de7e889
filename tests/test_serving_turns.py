"""Engine and learner take turns: against a double of vLLM's server (tests/vllm_double); its CPU build can't sleep."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from safetensors.torch import load_file, save_file
from serving_models import make_adapter, make_model

from tac_rl.config.engine import EngineSection, VllmSection
from tac_rl.errors import EngineError, PublishError
from tac_rl.serving.base import Sampling
from tac_rl.serving.hardware import can_sleep
from tac_rl.serving.publishing import Publisher
from tac_rl.serving.turns import Gate
from tac_rl.serving.vllm_engine import VllmEngine

DOUBLE = Path(__file__).parent / "vllm_double"
PROBE = list(range(1, 20))
CYCLES = 200


def marked_logprobs(mark: int) -> list[float]:
    """What the double answers to `PROBE` for a version with this mark."""
    return [-1.0 - mark * 1e-3 - token * 1e-6 for token in PROBE[1:]]


class Adapters:
    """Adapters that differ in the mark that they carry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = make_model(folder / "model", "vllm")
        self.first = make_adapter(self.model, folder / "first", 1)

    def make(self, mark: int) -> Path:
        path = self.folder / f"v{mark}"
        shutil.copytree(self.first, path)
        weights = load_file(path / "adapter_model.safetensors")
        weights[min(weights)].view(-1)[0] = mark
        save_file(weights, path / "adapter_model.safetensors")
        (path / "probe.json").write_text(json.dumps({"token_ids": PROBE, "logprobs": marked_logprobs(mark)}))
        return path


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Adapters:
    return Adapters(tmp_path_factory.mktemp("turns"))


def served(
    adapters: Adapters, work: Callable[[VllmEngine, Publisher], Awaitable[None]], *, time_sharing: Any = "on"
) -> None:
    config = EngineSection(
        time_sharing=time_sharing,
        request_timeout_s=20,
        start_timeout_s=60,
        vllm=VllmSection(env={"PYTHONPATH": str(DOUBLE)}),
    )

    async def run() -> None:
        engine = VllmEngine(adapters.model, config)
        await engine.start()
        try:
            await work(engine, Publisher(engine, sleeper=engine))
        finally:
            await engine.stop()

    asyncio.run(run())


async def told(engine: VllmEngine) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client, client.get(f"{engine.base_url}/double") as answer:
        return dict(await answer.json())


@pytest.mark.timeout(300)
def test_in_two_hundred_turns_no_request_is_lost_and_no_stale_version_answers(adapters: Adapters) -> None:
    asked, answered = 0, 0

    async def rollouts(publisher: Publisher, done: asyncio.Event) -> None:
        """Somebody who asks all the time, each time pinned to the newest version."""
        nonlocal asked, answered
        while not done.is_set():
            async with publisher.lease() as version:
                asked += 1
                completion = await publisher.engine.generate([1, 2, 3], Sampling(max_tokens=2), version)
                assert completion.token_ids == (version, version)
                answered += 1

    async def work(engine: VllmEngine, publisher: Publisher) -> None:
        done = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(6):
                tasks.create_task(rollouts(publisher, done))
            for version in range(1, CYCLES + 1):
                async with publisher.resting():
                    assert (await told(engine))["asleep"]
                    before = answered
                    adapter = adapters.make(version)  # the learner's step
                    await asyncio.sleep(0)
                    assert answered == before
                await publisher.publish(adapter, version)
                assert engine.loaded_versions() >= {0, version}
            done.set()
        seen = await told(engine)
        assert seen["sleeps"] == seen["wakes"] == CYCLES
        assert seen["aborted"] == seen["asked_asleep"] == 0
        assert answered == asked > CYCLES

    served(adapters, work)


def test_an_adapter_that_came_back_changed_from_sleep_is_not_served(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trust_what_comes_back(engine: VllmEngine, *_: Any) -> None: ...

    async def work(engine: VllmEngine, publisher: Publisher) -> None:
        await publisher.publish(adapters.make(1001), 1)
        monkeypatch.setattr(VllmEngine, "_load", trust_what_comes_back)
        monkeypatch.setattr(VllmEngine, "_unload", trust_what_comes_back)
        # The names are the old ones again, as in an engine that doesn't load adapters anew.
        monkeypatch.setattr("tac_rl.serving.vllm_engine.adapter_name", lambda version, wakes: "policy-v0001")
        async with publisher.resting():
            pass
        with pytest.raises(EngineError, match="stopped"):
            await engine.check()

    served(adapters, work)


def test_an_engine_that_cannot_sleep_is_stopped_so_that_the_learner_has_the_memory(
    adapters: Adapters,
) -> None:
    async def work(engine: VllmEngine, publisher: Publisher) -> None:
        waiting: list[asyncio.Task[Any]] = []
        async with publisher.resting():
            with pytest.raises(EngineError, match="could not be put to sleep"):
                await engine.check()
            waiting.append(asyncio.create_task(engine.generate([1], Sampling(max_tokens=1), 0)))
        with pytest.raises(EngineError):
            await waiting[0]
        await engine.start()  # as the loop does
        assert (await engine.generate([1], Sampling(max_tokens=1), 0)).token_ids == (0,)

    served(adapters, work, time_sharing="off")


def test_the_learner_s_error_is_told_and_the_engine_wakes(adapters: Adapters) -> None:
    async def work(engine: VllmEngine, publisher: Publisher) -> None:
        with pytest.raises(ValueError, match="learner"):
            async with publisher.resting():
                raise ValueError("the learner died")
        assert (await engine.generate([1], Sampling(max_tokens=1), 0)).token_ids == (0,)
        with pytest.raises(PublishError):
            publisher.acquire(7)

    served(adapters, work)


def test_a_closed_gate_holds_requests_and_waits_for_those_in_flight() -> None:
    async def run() -> None:
        gate, order = Gate(), []

        async def request(name: str, ends: asyncio.Event) -> None:
            async with gate.request():
                order.append(f"{name} begins")
                await ends.wait()
            order.append(f"{name} ends")

        first, second = asyncio.Event(), asyncio.Event()
        second.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(request("first", first))
            await asyncio.sleep(0)
            closing = tasks.create_task(gate.close())
            await asyncio.sleep(0)
            tasks.create_task(request("second", second))
            for _ in range(5):
                await asyncio.sleep(0)
            assert order == ["first begins"] and not closing.done()
            first.set()
            await closing
            assert order == ["first begins", "first ends"]
            await gate.open()
        assert order[2:] == ["second begins", "second ends"]

    asyncio.run(run())


def test_closing_that_is_given_up_leaves_the_gate_open() -> None:
    async def run() -> None:
        gate = Gate()
        async with gate.request():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(gate.close(), 0.01)
            assert gate.is_open

    asyncio.run(run())


@pytest.mark.parametrize(("setting", "gpus", "wanted"), [("on", 0, True), ("off", 1, False), ("auto", 2, False)])
def test_which_servers_are_started_so_that_they_can_sleep(
    setting: Any, gpus: int, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tac_rl.serving.hardware.count_gpus", lambda: gpus)
    assert can_sleep(EngineSection(time_sharing=setting)) is wanted
    monkeypatch.setattr("tac_rl.serving.hardware.count_gpus", lambda: 1)
    assert can_sleep(EngineSection(time_sharing="auto"))
