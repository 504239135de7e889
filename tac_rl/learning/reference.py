"""The policy that DPO measures against: the base model, or the adapter that the stage began with.

No second model is kept. The base is the model with the adapter off; a starting adapter is a copy of the LoRA weights,
exchanged with those in training while the reference's log-probabilities are computed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch import Tensor

from tac_rl.learning.adapters import trainable


class Reference:
    """`weights`: the starting adapter's tensors by parameter name; None: the base model."""

    def __init__(self, model: PeftModel, weights: Mapping[str, Tensor] | None) -> None:
        self.model = model
        self.weights = None if weights is None else dict(weights)

    @classmethod
    def of(cls, model: PeftModel, kind: str) -> "Reference":
        """`start`: a copy of the adapter as it is now; `base`: without one."""
        if kind == "base":
            return cls(model, None)
        return cls(model, {name: value.detach().clone() for name, value in trainable(model).items()})

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the model computes the reference policy. Not inside a forward pass with gradients."""
        if self.weights is None:
            with self.model.disable_adapter():
                yield
            return
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        assert self.weights is not None
        for name, parameter in trainable(self.model).items():
            parameter.data, self.weights[name] = self.weights[name], parameter.data
