"""A publish proves itself or fails; versions live as long as somebody is pinned to them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from serving_models import VOCAB, load_reference, make_adapter, make_model, reference_logprobs

from tac_rl.config.engine import EngineSection
from tac_rl.errors import AdapterError, PublishError
from tac_rl.serving.base import Probe
from tac_rl.serving.publishing import Publisher, read_probe
from tac_rl.serving.transformers_engine import TransformersEngine

TOKENS = [(i * i + 5) % VOCAB for i in range(24)]


class StaleEngine(TransformersEngine):
    """Fails as servers have failed: accepts a new adapter and goes on with the base's weights."""

    async def score(self, token_ids: Sequence[int], version: int) -> tuple[float, ...]:
        return await super().score(token_ids, 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def adapters(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three adapters, each with the probe that a learner would write."""
    folder = tmp_path_factory.mktemp("adapters")
    made = []
    for seed in (1, 2, 3):
        path = make_adapter(model, folder / f"{seed}", seed)
        logprobs = reference_logprobs(load_reference(model, path), TOKENS)
        (path / "probe.json").write_text(json.dumps({"token_ids": TOKENS, "logprobs": logprobs}))
        made.append(path)
    return made


def use(
    model: Path,
    work: Callable[[Publisher], Awaitable[Any]],
    kind: type[TransformersEngine] = TransformersEngine,
) -> None:
    async def run() -> None:
        engine = kind(model, EngineSection(placement="in_process"))
        await engine.start()
        try:
            await work(Publisher(engine))
        finally:
            await engine.stop()

    asyncio.run(run())


def test_a_publish_moves_the_probe_agrees_with_the_learner_and_retires_the_old_version(
    model: Path, adapters: list[Path]
) -> None:
    async def work(publisher: Publisher) -> None:
        for version, adapter in enumerate(adapters, start=1):
            report = await publisher.publish(adapter, version)
            assert report.version == publisher.current == version
            assert report.probe_shift > 0.01
            assert report.probe_error is not None and report.probe_error < 1e-4
            assert publisher.engine.loaded_versions() == {0, version}

    use(model, work)


def test_an_engine_that_serves_stale_weights_is_found_out(model: Path, adapters: list[Path]) -> None:
    async def work(publisher: Publisher) -> None:
        with pytest.raises(PublishError, match="differ from the learner's"):
            await publisher.publish(adapters[0], 1)
        with pytest.raises(PublishError, match="still serves version 0"):
            await publisher.publish(adapters[0], 1, Probe(tuple(TOKENS)))
        assert publisher.current == 0
        assert publisher.engine.loaded_versions() == {0}

    use(model, work, StaleEngine)


def test_weights_that_the_learner_did_not_change_need_not_move_the_probe(
    model: Path, adapters: list[Path], tmp_path: Path
) -> None:
    untrained = make_adapter(model, tmp_path / "untrained", 1, scale=0.0)
    logprobs = reference_logprobs(load_reference(model), TOKENS)
    (untrained / "probe.json").write_text(json.dumps({"token_ids": TOKENS, "logprobs": logprobs}))

    async def work(publisher: Publisher) -> None:
        report = await publisher.publish(untrained, 1)  # as with a learning rate of 0
        assert report.probe_shift < 1e-5
        with pytest.raises(PublishError, match="still serves"):
            await publisher.publish(untrained, 2, Probe(tuple(TOKENS)))
        await publisher.publish(untrained, 2, Probe(tuple(TOKENS)), weights_unchanged=True)
        assert publisher.current == 2

    use(model, work)


def test_a_leased_version_is_retired_only_after_its_last_release(model: Path, adapters: list[Path]) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.publish(adapters[0], 1)
        async with publisher.lease() as held:
            assert held == 1
            second = publisher.acquire()
            await publisher.publish(adapters[1], 2)
            assert publisher.engine.loaded_versions() == {0, 1, 2}
            await publisher.release(second)
            assert publisher.engine.loaded_versions() == {0, 1, 2}
        assert publisher.engine.loaded_versions() == {0, 2}
        with pytest.raises(PublishError, match="not served"):
            publisher.acquire(1)
        with pytest.raises(PublishError, match="more often than acquired"):
            await publisher.release(1)

    use(model, work)


def test_versions_only_go_up(model: Path, adapters: list[Path]) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.publish(adapters[0], 3)
        with pytest.raises(PublishError, match="not newer"):
            await publisher.publish(adapters[1], 3)

    use(model, work)


def test_a_restarted_engine_serves_the_version_it_is_restored_to(model: Path, adapters: list[Path]) -> None:
    async def work(publisher: Publisher) -> None:
        await publisher.publish(adapters[0], 1)
        async with publisher.lease():  # of a rollout that failed with the engine
            await publisher.engine.stop()
            await publisher.engine.start()
            await publisher.restore(adapters[0], 1)
        assert publisher.engine.loaded_versions() == {0, 1}

    use(model, work)


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"token_ids": [1, 2]}', '{"token_ids": [1, 2], "logprobs": [0, 0]}']
)
def test_a_malformed_probe_names_its_file(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "probe.json").write_text(content)
    with pytest.raises(AdapterError, match=r"probe\.json"):
        read_probe(tmp_path)
