"""Continuous batching: requests join and leave the batch between steps (Orca, OSDI 2022).

One step computes, for each policy version with work, one forward pass over the next token of every
running sequence and the next chunk of every prompt that is not computed yet, and samples. Synchronous
and single-threaded: `core.py` runs it in a thread or process of its own.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import torch

from tac_rl.errors import EngineError
from tac_rl.serving.base import Completion, Sampling
from tac_rl.serving.forward import ForwardModel, Span
from tac_rl.serving.sampling import sample_rows, uniform_stream
from tac_rl.serving.slots import SlotTable

_SHARE_WORTH = 16
"""A request waits one step for another's prompt if that saves at least this many tokens."""
_SCORE_CHUNK = 256
"""Positions scored at once: bounds the memory for their logits."""

Result: TypeAlias = Completion | tuple[float, ...] | EngineError
"""What became of a request: a completion, a score's log-probabilities, or why it failed."""


@dataclass(slots=True, eq=False)
class _Sequence:
    key: int
    version: int
    tokens: list[int]
    prompt_length: int
    sampling: Sampling | None
    """None: a request to score."""
    stop: frozenset[int] = frozenset()
    limit: int = 0
    uniforms: list[float] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    slot: int = -1
    computed: int = 0

    @property
    def decoding(self) -> bool:
        return self.computed == len(self.tokens) - 1 and len(self.tokens) > self.prompt_length

    def array(self) -> np.ndarray:
        return np.asarray(self.tokens, dtype=np.int32)


def _common_prefix(left: np.ndarray, right: np.ndarray) -> int:
    width = min(left.size, right.size)
    different = np.flatnonzero(left[:width] != right[:width])
    return int(different[0]) if different.size else width


class BatchLoop:
    """Requests in, results out of `step()`."""

    def __init__(
        self, model: ForwardModel, *, slots: int, length: int, max_batch: int, prefill_tokens: int
    ) -> None:
        self._model = model
        self.table = SlotTable(model.storage, slots, length)
        self.context_length = length
        self._max_batch = min(max_batch, slots)
        self._prefill_tokens = prefill_tokens
        self._waiting: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []
        self._versions = {0}

    # Requests ----------------------------------------------------------------------------------------

    def generate(self, key: int, prompt: Sequence[int], sampling: Sampling, version: int) -> None:
        """Queue a completion of `prompt` under the caller's `key`. Raises `EngineError` if refused."""
        self._check(prompt, version)
        if not (0.0 <= sampling.temperature < math.inf and 0.0 <= sampling.top_p <= 1.0):
            raise EngineError(f"temperature {sampling.temperature} or top_p {sampling.top_p} out of range")
        if sampling.max_tokens < 1:
            raise EngineError(f"max_tokens is {sampling.max_tokens}; it must be at least 1")
        room = self.context_length - len(prompt)
        if room < 1:
            raise EngineError(
                f"a prompt of {len(prompt)} tokens leaves no room in a context of {self.context_length}; "
                "raise engine.max_model_len or shorten the history"
            )
        limit = min(sampling.max_tokens, room)
        self._waiting.append(
            _Sequence(
                key,
                version,
                list(prompt),
                len(prompt),
                sampling,
                stop=frozenset(sampling.stop_token_ids),
                limit=limit,
                uniforms=uniform_stream(sampling, limit),
            )
        )

    def score(self, key: int, tokens: Sequence[int], version: int) -> None:
        """Queue the scoring of `tokens`. Raises `EngineError` if refused."""
        self._check(tokens, version)
        if not 2 <= len(tokens) <= self.context_length:
            raise EngineError(f"can score 2 to {self.context_length} tokens, not {len(tokens)}")
        self._waiting.append(_Sequence(key, version, list(tokens), len(tokens), None))

    def _check(self, tokens: Sequence[int], version: int) -> None:
        if version not in self._versions:
            raise EngineError(f"policy version {version} is not loaded; loaded: {sorted(self._versions)}")
        if not tokens:
            raise EngineError("the prompt is empty")
        if min(tokens) < 0 or max(tokens) >= self._model.vocab_size:
            raise EngineError(f"a token id is outside the vocabulary of {self._model.vocab_size}")

    def cancel(self, key: int) -> None:
        """Forget a request; its result is not wanted any more."""
        self._waiting = deque(s for s in self._waiting if s.key != key)
        for sequence in [s for s in self._running if s.key == key]:
            self._leave(sequence)

    # Versions ----------------------------------------------------------------------------------------

    def add_version(self, version: int, deltas: dict[str, torch.Tensor]) -> None:
        if version in self._versions or self._in_use(version):
            raise EngineError(f"policy version {version} is loaded already; each adapter gets a new number")
        self._model.add_version(version, deltas)
        self._versions.add(version)

    def retire(self, version: int) -> None:
        """Refuse new requests for a version; its weights go when its last sequence ends."""
        if version == 0 or version not in self._versions:
            raise EngineError(f"policy version {version} can't be retired; loaded: {sorted(self._versions)}")
        self._versions.discard(version)
        self._drop_if_unused(version)

    def _in_use(self, version: int) -> bool:
        return any(s.version == version for s in (*self._running, *self._waiting))

    def _drop_if_unused(self, version: int) -> None:
        if version not in self._versions and not self._in_use(version):
            self._model.drop_version(version)
            self.table.forget(version)

    # Steps -------------------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._running)

    def step(self) -> list[tuple[int, Result]]:
        """One forward pass per version with work; the requests that it finished."""
        self._admit()
        done: list[tuple[int, Result]] = []
        for version in sorted({s.version for s in self._running}):
            done.extend(self._step_version(version))
        return done

    def _admit(self) -> None:
        """Give slots to waiting requests, except where another's prompt will soon be worth copying."""
        deferred: list[_Sequence] = []
        while self._waiting and len(self._running) < self._max_batch:
            sequence = self._waiting.popleft()
            tokens = sequence.array()
            if sequence.sampling is not None and self._worth_waiting(sequence, tokens):
                deferred.append(sequence)
                continue
            claim = self.table.claim(tokens, sequence.version, reuse=sequence.sampling is not None)
            if claim is None:
                deferred.append(sequence)
                break
            sequence.slot, sequence.computed = claim.slot, claim.reused
            self._running.append(sequence)
        self._waiting.extendleft(reversed(deferred))

    def _worth_waiting(self, sequence: _Sequence, tokens: np.ndarray) -> bool:
        prefilling = [s for s in self._running if s.version == sequence.version and not s.decoding]
        if not prefilling:
            return False
        soon = max(_common_prefix(tokens, s.array()) for s in prefilling)
        if soon < _SHARE_WORTH:
            return False
        return soon >= self.table.best_prefix(tokens, sequence.version)[1] + _SHARE_WORTH

    def _step_version(self, version: int) -> list[tuple[int, Result]]:
        budget = self._prefill_tokens
        spans: list[Span] = []
        sequences: list[_Sequence] = []
        for sequence in self._running:
            if sequence.version != version:
                continue
            tokens, start = sequence.tokens, sequence.computed
            scoring = sequence.sampling is None
            if sequence.decoding:
                count = 1
            else:
                count = min(len(tokens) - start, budget, _SCORE_CHUNK if scoring else budget)
                if count == 0:
                    continue
                budget -= count
            outputs = count if scoring else int(start + count == len(tokens))
            spans.append(Span(sequence.slot, start, tokens[start : start + count], outputs))
            sequences.append(sequence)
        logits = self._model.forward(version, spans)
        for sequence, span in zip(sequences, spans, strict=True):
            self.table.append(sequence.slot, span.tokens)
            sequence.computed += len(span.tokens)
        return self._sample(sequences, spans, logits)

    def _sample(
        self, sequences: list[_Sequence], spans: list[Span], logits: torch.Tensor
    ) -> list[tuple[int, Result]]:
        done: list[tuple[int, Result]] = []
        sampling: list[_Sequence] = []
        rows: list[int] = []
        at = 0
        for sequence, span in zip(sequences, spans, strict=True):
            if sequence.sampling is None:
                self._note_scores(sequence, span, logits[at : at + span.outputs])
                if sequence.computed == len(sequence.tokens):
                    self._leave(sequence)
                    done.append((sequence.key, self._checked(tuple(sequence.logprobs), sequence)))
            elif span.outputs:
                sampling.append(sequence)
                rows.append(at)
            at += span.outputs
        if not sampling:
            return done
        picked = logits if len(rows) == logits.shape[0] else logits[rows]
        settings = [s.sampling for s in sampling if s.sampling is not None]
        uniforms = [s.uniforms[len(s.logprobs)] for s in sampling]
        for sequence, token, logprob in zip(sampling, *sample_rows(picked, settings, uniforms), strict=True):
            sequence.tokens.append(token)
            sequence.logprobs.append(logprob)
            stopped = token in sequence.stop
            if stopped or len(sequence.logprobs) >= sequence.limit or logprob != logprob:
                self._leave(sequence)
                reason: Literal["stop", "length"] = "stop" if stopped else "length"
                completion = Completion(
                    tuple(sequence.tokens[sequence.prompt_length :]), tuple(sequence.logprobs), reason
                )
                done.append((sequence.key, self._checked(completion, sequence)))
        return done

    @staticmethod
    def _note_scores(sequence: _Sequence, span: Span, logits: torch.Tensor) -> None:
        following = sequence.tokens[span.start + 1 : span.start + len(span.tokens) + 1]
        if following:
            targets = torch.tensor(following, device=logits.device)[:, None]
            scores = logits[: len(following)].log_softmax(-1).gather(1, targets)
            sequence.logprobs.extend(scores[:, 0].tolist())

    @staticmethod
    def _checked(result: Completion | tuple[float, ...], sequence: _Sequence) -> Result:
        if any(math.isnan(value) for value in sequence.logprobs):
            return EngineError(f"policy version {sequence.version} computes NaN; its adapter has diverged")
        return result

    def _leave(self, sequence: _Sequence) -> None:
        self._running.remove(sequence)
        self.table.release(sequence.slot, keep=sequence.version in self._versions)
        self._drop_if_unused(sequence.version)
