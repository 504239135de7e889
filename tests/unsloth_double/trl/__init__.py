"""A double of TRL's GRPOTrainer, as Unsloth patches it: the loop around ART's own loss, with AdamW on the CPU."""

from typing import Any

import torch


class GRPOConfig:
    def __init__(self, **settings: Any) -> None:
        self.settings = settings


class _Accelerator:
    device = torch.device("cpu")

    @staticmethod
    def unwrap_model(model: Any, keep_fp32_wrapper: bool) -> Any:
        return model


class GRPOTrainer:
    def __init__(self, *, model: Any, args: GRPOConfig, **_: Any) -> None:
        self.model = model
        self.args = args.settings
        self.accelerator = _Accelerator()
        self.optimizer: torch.optim.Optimizer | None = None
        self._metrics: dict[str, Any] = {}

    def create_optimizer(self) -> None:
        self.optimizer = torch.optim.AdamW(
            [parameter for parameter in self.model.parameters() if parameter.requires_grad],
            lr=self.args["learning_rate"],
            betas=(self.args["adam_beta1"], self.args["adam_beta2"]),
            weight_decay=self.args["weight_decay"],
        )

    def _prepare_inputs(self) -> Any: ...  # ART puts its own in the place of these three

    def compute_loss(self, model: Any, inputs: Any) -> torch.Tensor: ...  # type: ignore[empty-body]

    def log(self, logs: dict[str, float]) -> None: ...

    def train(self) -> None:
        """Until ART's `_prepare_inputs` raises."""
        assert self.optimizer is not None
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        while True:
            loss = self.compute_loss(self.model, self._prepare_inputs())
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, self.args["max_grad_norm"])
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.log({"loss": loss.item(), "grad_norm": float(norm)})

    def save_model(self, folder: str) -> None:
        self.model.save_pretrained(folder)
