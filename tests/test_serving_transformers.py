"""The transformers engine computes what Hugging Face and peft compute, whatever else it is doing."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from serving_models import VOCAB, load_reference, make_adapter, make_model, reference_logprobs

from tac_rl.config.engine import EngineSection
from tac_rl.errors import AdapterError, EngineError
from tac_rl.serving.base import Completion, Sampling
from tac_rl.serving.transformers_engine import TransformersEngine

THREAD = EngineSection(placement="in_process", start_timeout_s=120, request_timeout_s=60)
PROCESS = EngineSection(placement="process", start_timeout_s=120, request_timeout_s=60)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="module")
def adapters(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [make_adapter(model, folder / f"{seed}", seed) for seed in (1, 2)]


def use(
    model: Path,
    work: Callable[[TransformersEngine], Awaitable[Any]],
    config: EngineSection = THREAD,
) -> Any:
    """Run `work` with a started engine."""

    async def run() -> Any:
        engine = TransformersEngine(model, config)
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.stop()

    return asyncio.run(run())


def prompt(seed: int, length: int = 30) -> list[int]:
    return [(seed * 31 + i * i * 7 + 3) % VOCAB for i in range(length)]


def assert_same_logprobs(engine_says: Any, reference: Any) -> None:
    assert list(engine_says) == pytest.approx(list(reference), abs=1e-4)


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt_neox"])
def test_logprobs_are_those_of_a_plain_forward_pass_for_the_base_and_each_adapter(
    kind: str, tmp_path: Path
) -> None:
    model = make_model(tmp_path / "model", kind)
    targets = "all-linear" if kind == "gpt_neox" else None
    paths = [
        make_adapter(model, tmp_path / "a1", 1, targets=targets),
        make_adapter(model, tmp_path / "a2", 2, targets=targets, use_rslora=True),
    ]

    async def work(engine: TransformersEngine) -> None:
        for version, path in enumerate(paths, start=1):
            await engine.load(path, version)
        assert engine.loaded_versions() == {0, 1, 2}
        sampling = Sampling(max_tokens=20, seed=5)
        done = await asyncio.gather(*(engine.generate(prompt(v), sampling, v) for v in (0, 1, 2)))
        for version, completion in enumerate(done):
            tokens = prompt(version) + list(completion.token_ids)
            reference = reference_logprobs(
                load_reference(model, paths[version - 1] if version else None), tokens
            )
            assert_same_logprobs(completion.logprobs, reference[29:])
            assert_same_logprobs(await engine.score(tokens, version), reference)

    use(model, work)


def test_adapters_that_target_few_modules_are_merged_right(model: Path, tmp_path: Path) -> None:
    paths = [
        make_adapter(model, tmp_path / "qv", 3, targets=["q_proj", "v_proj"]),
        make_adapter(model, tmp_path / "uo", 4, targets=["up_proj", "o_proj"]),
    ]

    async def work(engine: TransformersEngine) -> None:
        for version, path in enumerate(paths, start=1):
            await engine.load(path, version)
            reference = reference_logprobs(load_reference(model, path), prompt(1))
            assert_same_logprobs(await engine.score(prompt(1), version), reference)

    use(model, work)


def test_tokens_do_not_depend_on_what_else_is_in_the_batch(model: Path, adapters: list[Path]) -> None:
    sampling = [Sampling(max_tokens=10 + 3 * i, seed=i, temperature=0.5 + 0.25 * (i % 4)) for i in range(12)]

    async def alone(engine: TransformersEngine) -> list[Completion]:
        await engine.load(adapters[0], 1)
        return [await engine.generate(prompt(i % 5), s, i % 2) for i, s in enumerate(sampling)]

    async def together(engine: TransformersEngine) -> list[Completion]:
        await engine.load(adapters[0], 1)
        calls = (engine.generate(prompt(i % 5), s, i % 2) for i, s in enumerate(sampling))
        return list(await asyncio.gather(*calls))

    for one, many in zip(use(model, alone), use(model, together), strict=True):
        assert one.token_ids == many.token_ids
        assert_same_logprobs(one.logprobs, many.logprobs)


def test_the_seed_decides_the_tokens_and_its_absence_leaves_them_open(model: Path) -> None:
    async def work(engine: TransformersEngine) -> None:
        seeds = [1, 1, 2, None, None]
        calls = (engine.generate(prompt(0), Sampling(max_tokens=30, seed=s), 0) for s in seeds)
        first, again, other, open_1, open_2 = await asyncio.gather(*calls)
        assert first.token_ids == again.token_ids
        assert len({first.token_ids, other.token_ids, open_1.token_ids, open_2.token_ids}) == 4

    use(model, work)


def test_turns_that_reuse_a_cached_prefix_give_the_same_as_a_fresh_engine(
    model: Path, adapters: list[Path]
) -> None:
    async def turns(engine: TransformersEngine, fresh: bool) -> list[Completion]:
        done = []
        await engine.load(adapters[0], 1)
        for rollout in range(3):  # the same first prompt: shared, then forked
            history = prompt(7, 60)
            for turn in range(3):
                if fresh:
                    await engine.stop()
                    await engine.start()
                    await engine.load(adapters[0], 1)
                sampling = Sampling(max_tokens=8, seed=100 * rollout + turn)
                completion = await engine.generate(history, sampling, 1)
                history = history + list(completion.token_ids) + prompt(turn, 9)
                done.append(completion)
        return done

    cached = use(model, lambda engine: turns(engine, fresh=False))
    for one, other in zip(cached, use(model, lambda engine: turns(engine, fresh=True)), strict=True):
        assert one.token_ids == other.token_ids
        assert_same_logprobs(one.logprobs, other.logprobs)


def test_more_requests_than_slots_wait_for_their_turn(model: Path) -> None:
    small = THREAD.model_copy(update={"max_batch": 2, "cache_slots": 3, "prefill_tokens": 16})

    async def many(engine: TransformersEngine) -> list[Completion]:
        calls = (engine.generate(prompt(i, 40), Sampling(max_tokens=6, seed=i), 0) for i in range(9))
        return list(await asyncio.gather(*calls))

    narrow, wide = use(model, many, small), use(model, many)
    assert [c.token_ids for c in narrow] == [c.token_ids for c in wide]


def test_stop_tokens_end_a_completion_and_are_part_of_it(model: Path) -> None:
    async def work(engine: TransformersEngine) -> None:
        free = await engine.generate(prompt(2), Sampling(max_tokens=40, seed=9), 0)
        assert (len(free.token_ids), free.finish_reason) == (40, "length")
        stop = free.token_ids[7]
        stopped = await engine.generate(prompt(2), Sampling(max_tokens=40, seed=9, stop_token_ids=(stop,)), 0)
        first = free.token_ids.index(stop)
        assert stopped.token_ids == free.token_ids[: first + 1]
        assert stopped.finish_reason == "stop"

    use(model, work)


def test_greedy_takes_the_most_likely_token_with_its_logprob_at_temperature_one(model: Path) -> None:
    async def work(engine: TransformersEngine) -> None:
        completion = await engine.generate(prompt(3), Sampling(temperature=0.0, max_tokens=5), 0)
        tokens = prompt(3) + list(completion.token_ids)
        assert_same_logprobs(completion.logprobs, (await engine.score(tokens, 0))[29:])
        for other in range(VOCAB):
            scores = await engine.score([*prompt(3), other], 0)
            assert scores[-1] <= completion.logprobs[0] + 1e-4

    use(model, work)


def test_the_context_limits_completions_and_a_prompt_that_fills_it_is_refused(model: Path) -> None:
    async def work(engine: TransformersEngine) -> None:
        assert engine.context_length == 64
        completion = await engine.generate(prompt(1, 60), Sampling(max_tokens=50), 0)
        assert (len(completion.token_ids), completion.finish_reason) == (4, "length")
        with pytest.raises(EngineError, match=r"64 tokens leaves no room.*max_model_len"):
            await engine.generate(prompt(1, 64), Sampling(), 0)

    use(model, work, THREAD.model_copy(update={"max_model_len": 64}))


@pytest.mark.parametrize("config", [THREAD, PROCESS], ids=["thread", "process"])
def test_requests_that_make_no_sense_are_refused_and_the_engine_goes_on(
    model: Path, config: EngineSection
) -> None:
    async def work(engine: TransformersEngine) -> None:
        with pytest.raises(EngineError, match="version 9 is not loaded"):
            await engine.generate(prompt(1), Sampling(), 9)
        with pytest.raises(EngineError, match="outside the vocabulary"):
            await engine.generate([1, VOCAB], Sampling(), 0)
        with pytest.raises(EngineError, match="prompt is empty"):
            await engine.generate([], Sampling(), 0)
        with pytest.raises(EngineError, match="temperature"):
            await engine.generate([1], Sampling(temperature=-1.0), 0)
        with pytest.raises(AdapterError, match="no such adapter directory"):
            await engine.load(Path("/nowhere"), 1)
        await engine.check()

    use(model, work, config)


def test_a_retired_version_finishes_what_is_in_flight_and_takes_nothing_new(
    model: Path, adapters: list[Path]
) -> None:
    async def work(engine: TransformersEngine) -> None:
        await engine.load(adapters[0], 1)
        sampling = Sampling(max_tokens=200, seed=1)
        in_flight = asyncio.create_task(engine.generate(prompt(1), sampling, 1))
        await asyncio.sleep(0)  # it is sent before the retirement
        await engine.retire(1)
        with pytest.raises(EngineError, match="version 1 is not loaded"):
            await engine.generate(prompt(1), sampling, 1)
        assert len((await in_flight).token_ids) == 200
        assert engine.loaded_versions() == {0}
        with pytest.raises(EngineError, match="can't be retired"):
            await engine.retire(0)

    use(model, work)


def test_a_version_number_is_not_given_twice(model: Path, adapters: list[Path]) -> None:
    async def work(engine: TransformersEngine) -> None:
        await engine.load(adapters[0], 1)
        with pytest.raises(EngineError, match="loaded already"):
            await engine.load(adapters[1], 1)

    use(model, work)


def test_a_cancelled_call_gives_its_place_back(model: Path) -> None:
    async def work(engine: TransformersEngine) -> None:
        call = asyncio.create_task(engine.generate(prompt(1), Sampling(max_tokens=200), 0))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # With one place only, this would wait for the 200 tokens of the other.
        await engine.generate(prompt(2), Sampling(max_tokens=1), 0)

    use(model, work, THREAD.model_copy(update={"max_batch": 1, "cache_slots": 1}))


def test_a_killed_process_fails_every_waiting_call_at_once_and_starts_again(model: Path) -> None:
    async def work(engine: TransformersEngine) -> None:
        before = await engine.score(prompt(1), 0)
        pid = engine.process_id
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # so that no call can finish first
        calls = [asyncio.create_task(engine.generate(prompt(i), Sampling(), 0)) for i in range(3)]
        calls.append(asyncio.create_task(engine.score(prompt(1), 0)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
        assert all(isinstance(r, EngineError) and "ended unexpectedly" in str(r) for r in results)
        with pytest.raises(EngineError, match="ended unexpectedly"):
            await engine.check()
        await engine.start()
        assert await engine.score(prompt(1), 0) == before

    use(model, work, PROCESS)


def test_a_hung_process_is_an_engine_error_after_the_limit(model: Path) -> None:
    async def work(engine: TransformersEngine) -> None:
        pid = engine.process_id
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(EngineError, match=r"did not answer 'generate' within"):
                await engine.generate(prompt(1), Sampling(), 0)
        finally:
            os.kill(pid, signal.SIGCONT)

    use(model, work, PROCESS.model_copy(update={"request_timeout_s": 0.3}))


def test_a_model_folder_that_is_none_is_refused_with_its_name(tmp_path: Path) -> None:
    engine = TransformersEngine(tmp_path / "none", PROCESS)
    with pytest.raises(EngineError, match=r"none/config\.json: not readable"):
        asyncio.run(engine.start())
