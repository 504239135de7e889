"""Log-probabilities of sampled tokens under the policy, and nothing that they don't need.

Prompts and tool output are most of a row, so hidden states are gathered before the output layer: logits exist
only for sampled positions. Where even those would be large, they are computed in chunks and again in the
backward pass.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tac_rl.learning.packing import MicroBatch

LOGITS_BYTES = 256 << 20
"""Float32 logits that may exist at once; more are computed in chunks."""


class Policy:
    """A causal language model of transformers, perhaps with a LoRA inside, at one sampling temperature."""

    def __init__(self, model: Any, temperature: float = 1.0) -> None:
        """`model`: the causal model itself, not its PEFT wrapper (LoRA layers live inside it), loaded with packed
        attention."""
        self.decoder: nn.Module = getattr(model, model.base_model_prefix)
        self.output_layer: nn.Module = model.get_output_embeddings()
        self.temperature = temperature

    def logprobs(self, batch: MicroBatch, *, entropy_gradient: bool = False) -> tuple[Tensor, Tensor]:
        """Log-probability [N] of each sampled token, and entropy [N] in nats of the distribution it came
        from."""
        hidden_1TD = self.decoder(
            input_ids=batch.inputs_T[None],
            position_ids=batch.positions_T[None],
            use_cache=False,
            segments=batch.segments,
        ).last_hidden_state
        hidden_ND = hidden_1TD[0, batch.flat_N]
        vocabulary = int(self.output_layer.weight.shape[0])
        chunk = max(1, LOGITS_BYTES // (4 * vocabulary))
        if len(batch.targets_N) <= chunk:
            return self._head(hidden_ND, batch.targets_N, entropy_gradient)
        parts = [
            checkpoint(self._head, hidden, targets, entropy_gradient, use_reentrant=False)
            for hidden, targets in zip(hidden_ND.split(chunk), batch.targets_N.split(chunk), strict=True)
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _head(self, hidden_ND: Tensor, targets_N: Tensor, entropy_gradient: bool) -> tuple[Tensor, Tensor]:
        logits_NV = self.output_layer(hidden_ND)
        if logits_NV.dtype in (torch.bfloat16, torch.float16):
            logits_NV = logits_NV.float()
        if self.temperature != 1.0:
            logits_NV = logits_NV / self.temperature
        log_z_N = logits_NV.logsumexp(-1)
        logprobs_N = logits_NV.gather(-1, targets_N[:, None]).squeeze(-1) - log_z_N
        with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
            probabilities_NV = (logits_NV - log_z_N[:, None]).exp()
            entropy_N = log_z_N - (probabilities_NV * logits_NV).sum(-1)
        return logprobs_N, entropy_N
