"""The contract of an engine: token ids in, token ids and log-probabilities out, for several policy versions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

BASE_VERSION = 0
"""The policy version without an adapter."""


@dataclass(frozen=True)
class Sampling:
    """How to sample one completion. Log-probabilities are those of the distribution sampled from."""

    temperature: float = 1.0
    """0 means greedy."""
    top_p: float = 1.0
    max_tokens: int = 256
    stop_token_ids: tuple[int, ...] = ()
    """The stop token is part of the completion."""
    seed: int | None = None
    """Same prompt, version and seed give the same tokens, whatever else is in the batch."""


@dataclass(frozen=True)
class Completion:
    """What the engine generated for one request."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each token of `token_ids` under the distribution it was sampled from."""
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class PublishReport:
    """What a publish proved."""

    version: int
    seconds: float
    """From the call to the first token of the new version."""
    probe_shift: float
    """Largest change of the probe's log-probabilities against the version before."""
    probe_error: float | None
    """Largest difference to the learner's own log-probabilities on the probe; None if it gave none."""


@dataclass(frozen=True)
class Probe:
    """A fixed prompt that shows which weights answer it."""

    token_ids: tuple[int, ...]
    expected_logprobs: tuple[float, ...] | None = field(default=None)
    """The learner's log-probabilities of `token_ids[1:]` under the new adapter, written with it."""


class Engine(Protocol):
    """A served model. Every method raises `EngineError` when the engine fails; every wait has a limit."""

    kind: str
    model_path: Path

    async def start(self) -> None: ...

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        """Sample a completion from policy `version`. Concurrent calls are batched."""
        ...

    async def score(self, token_ids: Sequence[int], version: int) -> tuple[float, ...]:
        """Log-probabilities of `token_ids[1:]`, each given all tokens before it, at temperature 1."""
        ...

    async def load(self, adapter: Path, version: int) -> None:
        """Load a PEFT adapter directory as `version`; raises `AdapterError` if it is corrupt."""
        ...

    async def retire(self, version: int) -> None:
        """Forget an adapter; requests in flight for it still finish."""
        ...

    def loaded_versions(self) -> frozenset[int]: ...

    async def check(self) -> None:
        """Raise `EngineError` unless the engine answers."""
        ...

    async def stop(self) -> None: ...


class SleepingEngine(Engine, Protocol):
    """An engine that can give the accelerator's memory back for a while."""

    async def sleep(self) -> None:
        """Finish what is in flight; requests wait until `wake`. After an `EngineError` it must be started anew."""
        ...

    async def wake(self) -> None:
        """Serve again, with the same versions. After an `EngineError` it must be started anew."""
        ...
