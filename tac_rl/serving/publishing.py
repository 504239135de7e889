"""Publish a new adapter, prove that it took effect, and retire the old versions.

A server that silently goes on serving old weights is the worst failure of on-policy training: nothing
crashes and nothing learns. So a publish counts only when a fixed probe shows (a) that the served
log-probabilities moved away from the version before, unless the learner's own did not, and (b) that
they agree with the learner's own.
"""

import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tac_rl.config.engine import PublishSection
from tac_rl.errors import AdapterError, EngineError, PublishError
from tac_rl.serving.base import BASE_VERSION, Engine, Probe, PublishReport, Sampling, SleepingEngine

PROBE_FILE = "probe.json"


def read_probe(adapter: Path) -> Probe:
    """The probe that the learner wrote beside an adapter: `{"token_ids": [T], "logprobs": [T - 1]}`.

    Raises `AdapterError` where it is missing or malformed.
    """
    file = adapter / PROBE_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        token_ids = tuple(int(token) for token in content["token_ids"])
        logprobs = tuple(float(value) for value in content["logprobs"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AdapterError(f"{file}: not a probe with token_ids and logprobs ({error!r})") from error
    if len(token_ids) < 2 or len(logprobs) != len(token_ids) - 1:
        raise AdapterError(f"{file}: needs T >= 2 token_ids and T - 1 logprobs")
    return Probe(token_ids, logprobs)


def _largest_difference(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    """Largest absolute difference; infinity where one is not a number, so that no check passes."""
    differences = [abs(a - b) for a, b in zip(left, right, strict=True)]
    return math.inf if any(math.isnan(d) for d in differences) else max(differences)


class Publisher:
    """Which versions are served, who uses them, and the way in for new ones.

    Rollouts hold a `lease` on the version that they are pinned to; a version is retired once it is not
    the newest and nobody holds it. The base (version 0) stays.
    """

    def __init__(
        self,
        engine: Engine,
        config: PublishSection | None = None,
        *,
        sleeper: SleepingEngine | None = None,
    ) -> None:
        """`sleeper`: the same engine, where it shares an accelerator with the learner."""
        self._engine = engine
        self._config = config or PublishSection()
        self._sleeper = sleeper
        self._proof: tuple[tuple[int, ...], tuple[float, ...]] | None = None
        """The current version's probe, and what the engine answered to it when it was published."""
        self._leases: Counter[int] = Counter()
        self._current = BASE_VERSION
        self._retiring: set[int] = set()

    @property
    def engine(self) -> Engine:
        """The engine that is published to."""
        return self._engine

    @property
    def current(self) -> int:
        """The newest version that proved itself; new leases get it."""
        return self._current

    async def publish(
        self, adapter: Path, version: int, probe: Probe | None = None, *, weights_unchanged: bool = False
    ) -> PublishReport:
        """Serve the PEFT directory `adapter` as `version`, which must be larger than all before.

        `probe` defaults to the adapter's own `probe.json`. `weights_unchanged`: the learner skipped its
        update. Raises `AdapterError` for a bad directory and `PublishError` without proof; the version
        before then stays current.
        """
        if version <= self._current:
            raise PublishError(f"version {version} is not newer than the served version {self._current}")
        if probe is None:
            probe = read_probe(adapter)
        before = await self._engine.score(probe.token_ids, self._current)
        started = time.perf_counter()
        await self._engine.load(adapter, version)
        try:
            await self._engine.generate(probe.token_ids, Sampling(temperature=0.0, max_tokens=1), version)
            seconds = time.perf_counter() - started
            after = await self._engine.score(probe.token_ids, version)
            report = self._prove(version, seconds, probe, before, after, weights_unchanged)
        except BaseException:
            with suppress(EngineError):  # A dead engine has nothing to retire; tell the first error.
                await self._engine.retire(version)
            raise
        self._current = version
        self._proof = (probe.token_ids, after)
        await self._retire_unused()
        return report

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Around a learner's step: the engine sleeps meanwhile, where the two share an accelerator.

        Awake again it must answer the current version's probe as before. Where sleeping or waking fails the engine
        is stopped, and says so at its next `check`: whoever needs it starts it anew, as after any other death.
        """
        if self._sleeper is None:
            yield
            return
        with suppress(EngineError):
            await self._sleeper.sleep()
        try:
            yield
        finally:
            with suppress(EngineError):
                await self._sleeper.wake()
                await self._prove_again()

    async def _prove_again(self) -> None:
        if self._proof is None:
            return
        token_ids, before = self._proof
        after = await self._engine.score(token_ids, self._current)
        if not _largest_difference(before, after) <= self._config.tolerance:
            await self._engine.stop()
            raise PublishError(f"version {self._current} came back changed from the engine's sleep")

    async def restore(self, adapter: Path | None, version: int) -> PublishReport | None:
        """Serve `version` with an engine that was just (re)started: a resumed run, or one whose engine died.

        `adapter` is None for the base, of which nothing is to be proved. An adapter must agree with its
        probe, as for `publish`. Leases of the engine before are forgotten: their rollouts failed with it.
        """
        self._leases = Counter()
        self._current = BASE_VERSION
        self._proof = None
        return None if adapter is None else await self.publish(adapter, version)

    async def revive(self, adapter: Path | None, version: int) -> str:
        """Start the engine anew where it has died, and serve `version` with it; why it had died, or nothing."""
        try:
            await self._engine.check()
        except EngineError as error:
            await self._engine.stop()
            await self._engine.start()
            await self.restore(adapter, version)
            return str(error)
        return ""

    def _prove(
        self,
        version: int,
        seconds: float,
        probe: Probe,
        before: tuple[float, ...],
        after: tuple[float, ...],
        weights_unchanged: bool,
    ) -> PublishReport:
        shift = _largest_difference(before, after)
        error, expected_shift = None, math.inf
        if probe.expected_logprobs is not None:
            error = _largest_difference(after, probe.expected_logprobs)
            expected_shift = _largest_difference(before, probe.expected_logprobs)
            if not error <= self._config.tolerance:
                raise PublishError(
                    f"version {version}: the engine's log-probabilities differ from the learner's by {error:.3g} "
                    f"on the probe (allowed: engine.publish.tolerance={self._config.tolerance}); the engine does "
                    "not compute what the learner trained"
                )
        # With a learning rate of 0 the learner's own log-probabilities show that nothing should move.
        must_move = not weights_unchanged and expected_shift > self._config.min_shift
        if must_move and not shift > self._config.min_shift:
            raise PublishError(
                f"version {version}: the probe's log-probabilities moved by {shift:.3g} only; the engine still "
                f"serves version {self._current} (threshold: engine.publish.min_shift={self._config.min_shift})"
            )
        return PublishReport(version, seconds, shift, error)

    def acquire(self, version: int | None = None) -> int:
        """Pin a rollout to a version (the current one by default); give it back with `release`."""
        version = self._current if version is None else version
        if version not in self._engine.loaded_versions():
            raise PublishError(
                f"version {version} is not served; served: {sorted(self._engine.loaded_versions())}"
            )
        self._leases[version] += 1
        return version

    async def release(self, version: int) -> None:
        """End of one lease; retires the version if it was the last and a newer one is served."""
        if self._leases[version] < 1:
            raise PublishError(f"version {version} is released more often than acquired")
        self._leases[version] -= 1
        await self._retire_unused()

    @asynccontextmanager
    async def lease(self, version: int | None = None) -> AsyncIterator[int]:
        """`acquire` and `release` around a block; gives the version."""
        held, leases = self.acquire(version), self._leases
        try:
            yield held
        finally:
            if leases is self._leases:  # else the engine was restarted meanwhile; see `restore`
                await self.release(held)

    async def _retire_unused(self) -> None:
        for version in sorted(self._engine.loaded_versions() - {BASE_VERSION}):
            # Another task may be retiring it while this one waits its turn.
            if version < self._current and not self._leases[version] and version not in self._retiring:
                self._retiring.add(version)
                try:
                    await self._engine.retire(version)
                finally:
                    self._retiring.discard(version)
