"""One learner step: groups in, updated LoRA weights and metrics out.

What is learnt from, advantages, weights of tokens and (where needed) old and reference log-probabilities are settled
for the whole step first; then micro-batches only add gradients up, so their size and order change nothing but
rounding.
"""

import math
import resource
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor

from tac_rl.config.learner import LearnerSection
from tac_rl.errors import AdapterError, LearnerError
from tac_rl.learning.adapters import (
    create_adapter,
    load_adapter,
    load_reference,
    save_adapter,
    trainable,
)
from tac_rl.learning.attention import Segment, forget_masks
from tac_rl.learning.base import Group
from tac_rl.learning.batching import TrainRow, check_tokens, minibatches, token_weights, train_rows
from tac_rl.learning.forward import Policy
from tac_rl.learning.identity import fingerprint
from tac_rl.learning.loading import load_base, wants_checkpointing
from tac_rl.learning.losses import LOSSES
from tac_rl.learning.losses.base import Loss, Tokens
from tac_rl.learning.metrics import Sums, sum_dtype
from tac_rl.learning.mismatch import k3, truncated_weights
from tac_rl.learning.packing import MicroBatch, micro_batches
from tac_rl.learning.preference import FlatTokens, settle_pairs
from tac_rl.learning.ratios import log_ratio
from tac_rl.learning.reference import Reference
from tac_rl.learning.selection import select
from tac_rl.learning.sleeping import Sleeper, changing_tensors, frozen_tensors
from tac_rl.learning.stages import Stage, learning_rate, stage_at

PROBE_TOKENS = 64


@dataclass(frozen=True)
class LearnerPlan:
    """All that a learner is told once."""

    model_path: Path
    settings: LearnerSection
    iterations: int
    """Of the whole run: the learning rate's schedule ends there."""
    seed: int
    temperature: float = 1.0
    """At which the engine samples; log-probabilities are those of that distribution."""
    stages: tuple[Stage, ...] = ()
    """Their settings take the place of `settings`; none: one stage with those, for all iterations."""
    longest_row: int = 0
    """Tokens of the longest row that can come (the context), from which `auto` settings plan memory."""


def resolved_loss(settings: LearnerSection) -> Loss:
    """The loss with the config's overrides of its paper's settings; a loss over pairs has none of these."""
    if LOSSES[settings.loss].learns_from == "pairs":
        return LOSSES[settings.loss]
    given = {
        name: getattr(settings, name)
        for name in ("clip_low", "clip_high", "normalisation", "scale_rewards")
        if getattr(settings, name) is not None
    }
    return replace(LOSSES[settings.loss], **given)


class StepLearner:
    """The learner inside its process: model, adapter and optimiser."""

    def __init__(self, plan: LearnerPlan) -> None:
        settings = plan.settings
        self.plan = plan
        self.stages = plan.stages or (Stage(1, "grpo", 1, plan.iterations, settings),)
        torch.set_num_threads(settings.threads)
        loaded = load_base(plan.model_path, settings)
        base, self.device, self.autocast = loaded.model, loaded.device, loaded.autocast
        self.sixteen_bit = loaded.weights != "float32"
        try:
            self.base_fingerprint = fingerprint(plan.model_path)
        except OSError as error:
            raise LearnerError(f"model {plan.model_path} can't be read: {error}") from error
        self.model: PeftModel = create_adapter(base, settings.lora, plan.seed)
        self.model.train()
        self.checkpointing = wants_checkpointing(loaded, settings, plan.longest_row)
        if self.checkpointing:
            base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.policy = Policy(base, plan.temperature)
        self.vocabulary = int(self.policy.output_layer.weight.shape[0])
        self.longest = int(getattr(base.config, "max_position_embeddings", 1 << 30))
        self.parameters = list(trainable(self.model).values())
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.version = 0
        self.probe_ids: tuple[int, ...] = ()
        self._sleeper = Sleeper(self.device)
        self._enter(self.stages[0])

    def sleep(self) -> None:
        """Leave the device to the engine until `wake`; on the CPU there is nothing to leave."""
        if self.device.type != "cpu" and not self._sleeper.asleep:
            self.optimizer.zero_grad(set_to_none=True)  # Of a step that failed.
            forget_masks()
            changing = changing_tensors(self.model, self.optimizer, self.reference)
            self._sleeper.sleep(frozen_tensors(self.model), changing)

    def wake(self) -> None:
        """Come back to the device. Raises `LearnerError` where its memory is taken."""
        self._sleeper.wake()

    def _enter(self, stage: Stage, *, within: Path | None = None) -> None:
        """Begin a stage, or go on in the middle of it from the adapter directory `within`.

        At its beginning the optimiser is a fresh one: running means of another loss's gradients would steer its
        first steps.
        """
        self.stage, self.settings, self.loss = stage, stage.settings, resolved_loss(stage.settings)
        for group in self.optimizer.param_groups:
            group |= {"betas": self.settings.betas, "weight_decay": self.settings.weight_decay}
        if within is None:
            self.optimizer.state.clear()
        self.reference: Reference | None = None
        if self.loss.learns_from == "pairs":
            kind = self.settings.dpo.reference
            if within is not None and kind == "start":
                self.reference = Reference(self.model, load_reference(self.model, within))
            else:
                self.reference = Reference.of(self.model, kind)

    def resume(self, directory: Path) -> None:
        """Go on from an adapter directory; raises `AdapterError`."""
        state = load_adapter(self.model, self.optimizer, directory, base=self.base_fingerprint)
        if max(state.probe_ids) >= self.vocabulary or min(state.probe_ids) < 0:
            raise AdapterError(f"{directory}/probe.json: a token id is outside the vocabulary")
        self.version, self.probe_ids = state.version, state.probe_ids
        following = stage_at(self.stages, self.version + 1)
        begun = self.version > 0 and stage_at(self.stages, self.version) is following
        self._enter(following, within=directory if begun else None)

    def step(self, groups: Sequence[Group], version: int, out: Path) -> tuple[dict[str, float], str]:
        """Update on `groups`, write adapter `version` to `out`; metrics, and why there was no update (or
        nothing).

        Metrics are those of `StepResult`, averaged over sampled tokens; NaN where there was nothing to
        measure.
        """
        if version <= self.version:
            raise LearnerError(
                f"step to version {version}, but the learner is already at version {self.version}"
            )
        started = time.perf_counter()
        stage = stage_at(self.stages, version)
        if stage is not self.stage:
            self._enter(stage)
        kept = select(groups, self.loss, self.settings)
        rows = train_rows(kept)
        self._check(rows)
        rate = learning_rate(self.settings, version - stage.first, stage.iterations)
        for parameter_group in self.optimizer.param_groups:
            parameter_group["lr"] = rate
        sums, grad_norms = Sums(), list[float]()
        if kept.nothing:
            skipped = kept.nothing
        elif not rows:
            skipped = "no sampled token in the groups with variance"
        else:
            skipped = self._update(rows, version, sums, grad_norms)
        self._save(rows, version, out)
        self.version = version
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # The engine may be on the same card, and wakes up now.
        seconds = time.perf_counter() - started
        inputs = sum(len(row.inputs) + 1 for row in rows)

        metrics = {
            "loss": sums.total("loss") / len(grad_norms) if grad_norms else math.nan,
            "grad_norm": sum(grad_norms) / len(grad_norms) if grad_norms else math.nan,
            "entropy": sums.mean("entropy"),
            "mismatch_kl": sums.mean("mismatch_kl"),
            "ratio_mean": sums.mean("ratio"),
            "ratio_max": sums.max("ratio"),
            "clipped_share": sums.mean("clipped"),
            "truncated_share": sums.mean("truncated"),
            "tokens": float(inputs),
            "sampled_tokens": float(sum(len(row.targets) for row in rows)),
            "tokens_per_s": inputs * self.settings.epochs / seconds,
            "trained_groups": 0.0 if skipped else float(len(kept.groups)),
            "trained_rollouts": 0.0 if skipped else float(len({row.rollout for row in rows})),
            "zero_variance_share": kept.zero_variance_share,
            "seconds": seconds,
            "peak_memory_mb": self._peak_memory_mb(),
            "learning_rate": rate,
        }
        if self.settings.kl_coefficient and self.reference is None:
            metrics["base_kl"] = sums.mean("base_kl")
        if self.reference is not None:
            seen = sums.total("pairs") or math.nan
            metrics |= {
                "pairs": float(len({row.unit for row in rows})),
                "pair_accuracy": sums.total("pair_accuracy") / seen,
                "pair_margin": sums.total("pair_margin") / seen,
            }
        return metrics, skipped

    def _check(self, rows: Sequence[TrainRow]) -> None:
        check_tokens(rows, self.vocabulary, self.plan.model_path)
        for row in rows:
            if len(row.inputs) > self.longest:
                raise LearnerError(
                    f"a row of {len(row.inputs) + 1} tokens, but {self.plan.model_path} takes {self.longest}"
                )

    def _update(self, rows: list[TrainRow], version: int, sums: Sums, grad_norms: list[float]) -> str:
        """All optimiser updates of one step; on a number that is not finite, none of them."""
        several = self.settings.epochs * self.settings.minibatches > 1
        flat = self.flat_tokens(rows, several)
        before = self._snapshot() if several else None
        for epoch in range(self.settings.epochs):
            for part in minibatches(rows, self.settings.minibatches, (self.plan.seed, version, epoch)):
                self.optimizer.zero_grad(set_to_none=True)
                loss = self.accumulate_gradients(part, flat, sums)
                norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm))
                if not math.isfinite(loss) or not math.isfinite(norm):
                    self.optimizer.zero_grad(set_to_none=True)
                    if before is not None:
                        self._restore(before)
                    return f"loss {loss} or gradient norm {norm} is not finite; the weights are unchanged"
                grad_norms.append(norm)
                self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return ""

    def flat_tokens(self, rows: Sequence[TrainRow], several: bool) -> FlatTokens:
        engine_T = torch.cat([row.engine_logprobs for row in rows]).to(self.device)
        advantages_T = torch.cat(
            [row.engine_logprobs.new_full(row.targets.shape, row.advantage) for row in rows]
        )
        old_T: Tensor | None = None
        reference_T: Tensor | None = None
        if self.reference is not None:
            with self.reference.in_place():
                reference_T = self._logprobs(rows, engine_T)
        elif self.settings.old_logprobs == "engine":
            old_T = engine_T
        elif several and self.loss.learns_from == "advantages":
            old_T = self._logprobs(rows, engine_T)
        return FlatTokens(engine_T, advantages_T.to(self.device), old_T, reference_T)

    @torch.no_grad()
    def _logprobs(self, rows: Sequence[TrainRow], like_T: Tensor) -> Tensor:
        """Log-probabilities of the rows' tokens under the weights of the moment, at their places; 0 elsewhere."""
        logprobs_T = torch.zeros_like(like_T)
        with self._autocast():
            for batch in micro_batches(rows, self.settings.micro_batch_tokens):
                logprobs_T[batch.slot_N] = self.policy.logprobs(batch.to(self.device))[0].to(like_T)
        return logprobs_T

    def accumulate_gradients(self, rows: Sequence[TrainRow], flat: FlatTokens, sums: Sums) -> float:
        """Add the gradients of one minibatch to the adapter's parameters; returns its loss."""
        weights = token_weights(rows, self.loss.normalisation, self.settings.constant_tokens)
        weights_T = torch.zeros_like(flat.engine_logprobs_T)
        slots = torch.cat([torch.arange(row.offset, row.offset + len(row.targets)) for row in rows])
        weights_T[slots] = weights.to(weights_T)
        loss = torch.zeros((), device=self.device, dtype=sum_dtype(self.device))
        if flat.reference_logprobs_T is not None:
            now_T = self._logprobs(rows, flat.engine_logprobs_T)
            loss, flat = settle_pairs(rows, flat, now_T, self.settings.dpo.beta, sums)
        for batch in micro_batches(rows, self.settings.micro_batch_tokens):
            part = self._micro_batch_loss(batch.to(self.device), flat, weights_T, len(weights), sums)
            part.backward()
            loss += part.detach()
        sums.add(loss=loss)
        return float(loss)

    def _micro_batch_loss(
        self, batch: MicroBatch, flat: FlatTokens, weights_T: Tensor, tokens: int, sums: Sums
    ) -> Tensor:
        settings, slot_N = self.settings, batch.slot_N
        engine_N = flat.engine_logprobs_T[slot_N]
        with self._autocast():
            logprobs_N, entropy_N = self.policy.logprobs(
                batch, entropy_gradient=settings.entropy_coefficient > 0
            )
        old_N = logprobs_N.detach() if flat.old_logprobs_T is None else flat.old_logprobs_T[slot_N]
        sampled = Tokens(logprobs_N, old_N, flat.advantages_T[slot_N], batch.row_N, batch.rows)
        result = self.loss.token_loss(sampled, 1 - self.loss.clip_low, 1 + self.loss.clip_high)
        loss_N = result.loss_N
        cap = settings.truncate_importance_at if settings.old_logprobs == "learner" else None
        if cap is not None and self.loss.learns_from == "advantages":
            importance_N = truncated_weights(old_N, engine_N, cap)
            loss_N = loss_N * importance_N
            sums.add(truncated=importance_N >= cap)
        if settings.kl_coefficient and self.reference is None:
            with torch.no_grad(), self._autocast(), self.model.disable_adapter():
                base_N, _ = self.policy.logprobs(batch)
            kl_N = k3(logprobs_N, base_N)
            loss_N = loss_N + settings.kl_coefficient * kl_N
            sums.add(base_kl=kl_N)
        loss = (loss_N * weights_T[slot_N]).sum()
        if settings.entropy_coefficient:
            loss = loss - settings.entropy_coefficient * entropy_N.sum() / tokens
        with torch.no_grad():
            ratio_N = log_ratio(logprobs_N, engine_N).exp()
            sums.keep_max(ratio=ratio_N)
            sums.add(
                ratio=ratio_N,
                tokens=torch.ones_like(slot_N),
                entropy=entropy_N,
                mismatch_kl=k3(engine_N, logprobs_N),
                clipped=result.clipped_N,
            )
        return loss

    def _save(self, rows: Sequence[TrainRow], version: int, out: Path) -> None:
        if not self.probe_ids:
            self.probe_ids = probe_ids(rows, self.vocabulary)
        save_adapter(
            self.model,
            self.optimizer,
            out,
            version=version,
            base=self.base_fingerprint,
            probe_ids=self.probe_ids,
            probe_logprobs=self.score(self.probe_ids),
            reference=self.reference.weights if self.reference is not None else None,
        )

    @torch.no_grad()
    def score(self, token_ids: Sequence[int]) -> list[float]:
        """Log-probabilities of `token_ids[1:]` at temperature 1, in the precision of the base weights."""
        ids = torch.tensor(token_ids)
        places = torch.arange(len(ids) - 1)
        batch = MicroBatch(
            inputs_T=ids[:-1],
            positions_T=places,
            segments=(Segment(len(places)),),
            flat_N=places,
            targets_N=ids[1:],
            row_N=torch.zeros_like(places),
            slot_N=places,
            rows=1,
        )
        with self._autocast() if self.sixteen_bit else nullcontext():
            logprobs_N, _ = Policy(self.model.get_base_model()).logprobs(batch.to(self.device))
        return [float(value) for value in logprobs_N]

    def _autocast(self) -> AbstractContextManager[object]:
        if not self.autocast:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _snapshot(self) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        weights = [parameter.detach().clone() for parameter in self.parameters]
        moments = [
            {key: value.clone() for key, value in self.optimizer.state.get(parameter, {}).items()}
            for parameter in self.parameters
        ]
        return weights, moments

    @torch.no_grad()
    def _restore(self, before: tuple[list[Tensor], list[dict[str, Tensor]]]) -> None:
        for parameter, weights, moments in zip(self.parameters, *before, strict=True):
            parameter.copy_(weights)
            self.optimizer.state[parameter] = moments

    def _peak_memory_mb(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        if self.device.type == "mps":
            return torch.mps.driver_allocated_memory() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def probe_ids(rows: Sequence[TrainRow], vocabulary: int) -> tuple[int, ...]:
    """The probe prompt: the last tokens of the first row that is trained on, where an update shows most."""
    if rows:
        ids = torch.cat([rows[0].inputs, rows[0].targets[-1:]])
        return tuple(ids[-PROBE_TOKENS:].tolist())
    return tuple((7 * number + 1) % vocabulary for number in range(PROBE_TOKENS))
