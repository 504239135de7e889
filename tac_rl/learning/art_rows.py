"""Rows as ART's packed tensors, token for token. Imported in the process of `art_worker.py`, after ART.

ART makes these tensors from messages: it renders the chat template again and puts the sampled tokens into what comes
out. In 0.5.18 the tool call of every turn but the last is then there twice, and the template is given a call's
arguments as a string, which the engine gave it as an object. Here the tokens are those that the engine saw and made,
and ART's own code packs them.

Advantages are ours (`advantages.py`), so ties are dropped by a tolerance; ART's test for an advantage of exactly 0
lets a group of eight rewards of 0.85 through, and then scales it to full size. Weights are ours as well: ART divides
the loss of each row by the row's number of sampled tokens, and its own weight of 1 / tokens would divide a second
time. With `n * weight` the losses of a step's rows add up to our loss of the step, times a constant.
"""

from collections.abc import Sequence
from typing import Any

from art.preprocessing.pack import PackedTensors, packed_tensors_from_tokenized_results
from art.preprocessing.tokenize import TokenizedResult
from art.trajectories import Trajectory

from tac_rl.errors import LearnerError
from tac_rl.learning.batching import TrainRow, token_weights
from tac_rl.learning.losses.base import Normalisation

PADDING = 0
"""The token after a row's end: masked, and seen by nothing."""
NOT_SAMPLED = float("nan")
"""ART's log-probability of a token that is context."""


def tokenized(row: TrainRow, weight: float, number: int) -> TokenizedResult:
    """One row as ART has it after tokenisation. `number`: from 1, tells rows apart."""
    token_ids = [*row.inputs.tolist(), int(row.targets[-1])]
    mask, logprobs = [0] * len(token_ids), [NOT_SAMPLED] * len(token_ids)
    for position, logprob in zip(row.positions.tolist(), row.engine_logprobs.tolist(), strict=True):
        mask[position + 1], logprobs[position + 1] = 1, logprob
    nothing: Any = None
    return TokenizedResult(
        advantage=row.advantage,
        chat="",
        token_ids=token_ids,
        input_pos=list(range(len(token_ids))),
        assistant_mask=mask,
        logprobs=logprobs,
        pixel_values=None,
        image_grid_thw=None,
        trajectory=Trajectory(),
        choice_offsets=[],
        extra_logprobs={},
        _tokenizer=nothing,
        weight=weight,
        prompt_id=number,
    )


def packed_tensors(
    rows: Sequence[TrainRow], normalisation: Normalisation, constant_tokens: int, length: int
) -> PackedTensors:
    """A step's rows, each in a sequence of `length` tokens of its own, in random order (of `random`).

    Raises `LearnerError` for a row that is longer: ART would leave it out.
    """
    weights = token_weights(rows, normalisation, constant_tokens)
    results = []
    for number, row in enumerate(rows, 1):
        tokens, sampled = len(row.inputs) + 1, len(row.targets)
        if tokens > length:
            raise LearnerError(
                f"a row of {tokens} tokens, but ART's sequences have {length} "
                "(learner.art.packed_length, engine.max_model_len)"
            )
        of_row, weights = weights[:sampled], weights[sampled:]
        results.append(tokenized(row, sampled * float(of_row[0]), number))
    return packed_tensors_from_tokenized_results(
        results, length, pad_token_id=PADDING, truncate_long_results=False, pack_results=False
    )
