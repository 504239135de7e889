"""Supervised training of the tiny policy on episodes: next-token loss on what the policy writes.

Matrices are updated by Muon (Keller Jordan, 2024: momentum made orthogonal by Newton-Schulz steps), the
rest by AdamW. Rows of like length share a batch, so little is padding. The forward pass runs under bfloat16
autocast where the processor has instructions for it, the weights stay float32.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tac_rl.config.warmstart import PhaseSection
from tac_rl.errors import LearnerError
from tac_rl.learning.loading import wants_bfloat16
from tac_rl.learning.warmstart.episodes import Episode
from tac_rl.learning.warmstart.muon import Muon

POOL = 512
"""Rows that are drawn together, to be sorted by length."""

MUON_DECAY = 0.01
CLIP = 1.0


def batches(draw: Callable[[], Episode], batch_tokens: int, rng: random.Random) -> Iterator[list[Episode]]:
    """Endless batches of rows of like length; rows times longest row is at most `batch_tokens`."""
    while True:
        rows = sorted((draw() for _ in range(POOL)), key=lambda row: len(row.token_ids))
        groups: list[list[Episode]] = [[]]
        for row in rows:
            if groups[-1] and (len(groups[-1]) + 1) * len(row.token_ids) > batch_tokens:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        yield from groups


def loss_of(model: Any, rows: Sequence[Episode]) -> torch.Tensor:
    """Mean cross-entropy (nats) over the tokens that the policy writes in `rows`."""
    longest = max(len(row.token_ids) for row in rows)
    ids_BT = np.zeros((len(rows), longest), np.int64)
    written_BT = np.zeros((len(rows), longest), bool)
    for number, row in enumerate(rows):
        ids_BT[number, : len(row.token_ids)] = row.token_ids
        written_BT[number, : len(row.token_ids)] = row.written
    ids = torch.from_numpy(ids_BT)
    # Rows are padded behind their end and attention looks back only, so no mask is needed.
    with torch.autocast("cpu", torch.bfloat16, enabled=wants_bfloat16("auto", ids.device)):
        hidden_BTH = model.model(input_ids=ids, use_cache=False).last_hidden_state
        wanted = torch.from_numpy(written_BT[:, 1:])
        logits_NV = model.lm_head(hidden_BTH[:, :-1][wanted])
    return F.cross_entropy(logits_NV.float(), ids[:, 1:][wanted])


def optimizers(model: Any, section: PhaseSection) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embeddings, norms and biases."""
    matrices = [
        p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n
    ]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(matrices, lr=section.matrix_rate, weight_decay=MUON_DECAY, momentum=0.95),
        torch.optim.AdamW(others, lr=section.other_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def schedule(progress: float, warmup: float) -> float:
    """The factor of the learning rates at `progress` (0 to 1): up along a line, down along a cosine."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - warmup) / (1.0 - warmup))))


def train(
    model: Any,
    draw: Callable[[], Episode],
    section: PhaseSection,
    rng: random.Random,
    tell: Callable[[str], None],
    *,
    tell_every: float = 20.0,
) -> list[float]:
    """Run one phase in place; gives the loss of every step. `tell` gets a line every so many seconds.

    Raises `LearnerError` where the loss is not finite.
    """
    model.train()
    steppers = optimizers(model, section)
    rates = [[group["lr"] for group in stepper.param_groups] for stepper in steppers]
    losses: list[float] = []
    tokens, started, told = 0, time.monotonic(), time.monotonic()
    for rows in batches(draw, section.batch_tokens, rng):
        factor = schedule(tokens / section.tokens, section.warmup)
        for stepper, usual in zip(steppers, rates, strict=True):
            for group, rate in zip(stepper.param_groups, usual, strict=True):
                group["lr"] = rate * max(factor, 1e-4)
        loss = loss_of(model, rows)
        if not math.isfinite(loss.item()):
            raise LearnerError(
                f"warm start: the loss is {loss.item()} after {tokens} tokens; lower the rates"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for stepper in steppers:
            stepper.step()
        model.zero_grad(set_to_none=True)
        losses.append(loss.item())
        tokens += sum(len(row.token_ids) for row in rows)
        now = time.monotonic()
        if now - told > tell_every:
            told = now
            recent = losses[-50:]
            tell(
                f"{tokens / 1e6:.2f}M of {section.tokens / 1e6:.2f}M tokens, loss {sum(recent) / len(recent):.4f}, "
                f"{tokens / (now - started):.0f} tokens/s"
            )
        if tokens >= section.tokens:
            return losses
    raise AssertionError("unreachable: batches never end")
