"""ART's `LocalBackend` and its service, with the seams at which our rows go in and its publishing is left to ours.

Imported in the process of `art_worker.py` only, after Unsloth and ART. What is different from ART:
- the packed tensors come from rows (`art_rows.py`), not from messages;
- a new adapter is not loaded by ART. It would load it in place, which makes vLLM before 0.33 read it from disk again
  for every request; the publisher loads it under a new name from a path of its own, and proves it;
- the trainer's log-probabilities of the probe and its optimiser are saved with the adapter;
- the server's key is in the environment, not on the command line.
"""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from art import TrainableModel, dev
from art.dev.validate import is_dedicated_mode, validate_dedicated_config
from art.local.backend import LocalBackend
from art.local.checkpoints import get_last_checkpoint_dir
from art.preprocessing.inputs import TrainInputs
from art.preprocessing.pack import DiskPackedTensors, PackedTensors
from art.types import TrainConfig
from art.unsloth.service import UnslothService
from art.unsloth.train import gc_and_empty_cuda_cache, get_compute_loss_fn
from art.utils.output_dirs import get_model_dir

from tac_rl.learning.art_rows import NOT_SAMPLED, PADDING
from tac_rl.learning.art_settings import row_length

OPTIMISER = "optimizer.pt"
"""As ART names it."""


class LocalModel(TrainableModel[Any, Any]):
    """Tells nobody of its runs: ART would import Weights & Biases to find that it has no key."""

    def _get_wandb_run(self) -> None:
        return None


class RowService(UnslothService):
    """ART's trainer and its vLLM server."""

    probe_ids: tuple[int, ...] = ()
    """What to score after the last row of a step."""
    probe_logprobs: tuple[float, ...] = ()
    """The trainer's own, of `probe_ids[1:]`."""
    chunk = 1024
    before_close: Callable[[], None] | None = None
    """Ends the server in an orderly way; ART's own end kills it after 5 s, and may leave its workers."""

    async def train(
        self,
        disk_packed_tensors: DiskPackedTensors,
        config: TrainConfig,
        _config: dev.TrainConfig,
        verbose: bool = False,
    ) -> AsyncIterator[dict[str, float]]:
        """ART's, which answers after the update of each row. After the last one the weights are the new ones, and
        still on the GPU."""
        left = disk_packed_tensors["num_sequences"]
        async for result in super().train(disk_packed_tensors, config, _config, verbose):
            left -= 1
            if not left:
                self.probe_logprobs = self._score()
                self._state.save_optimizer_state(self.output_dir)
            yield result

    async def score_between_steps(self) -> None:
        """Fill `probe_logprobs` where no step has; on a shared GPU the server sleeps meanwhile."""
        if not self.is_dedicated:
            await self._sleep_runtime()
            gc_and_empty_cuda_cache()
            self._state.reload_to_gpu()
        self.probe_logprobs = self._score()
        if not self.is_dedicated:
            self._state.offload_to_cpu()
            await self._wake_runtime()

    def _score(self) -> tuple[float, ...]:
        """ART's own computation of log-probabilities, on the probe alone."""
        ids = list(self.probe_ids)
        padding = row_length(len(ids), self.chunk) - len(ids)
        tokens = torch.tensor([ids + [PADDING] * padding])
        groups = torch.tensor([[1] * len(ids) + [-1] * padding])
        mask = torch.zeros_like(tokens, dtype=torch.bool)
        zeros = torch.zeros(tokens.shape)
        settings: Any = {"logprob_calculation_chunk_size": self.chunk}
        inputs: Any = TrainInputs(
            tokens=tokens,
            group_ids=groups,
            parent_ids=groups,
            input_pos=torch.arange(tokens.shape[1])[None],
            assistant_mask=mask,
            logprobs=torch.full(tokens.shape, NOT_SAMPLED),
            advantages=zeros,
            weights=zeros,
            pixel_values=[None],
            image_grid_thw=[None],
            config=TrainConfig(),
            _config=settings,
            return_new_logprobs=True,
        )
        state: Any = self._state
        logprobs = get_compute_loss_fn(state.trainer)(state.peft_model, inputs)[0, 1 : len(ids)]
        return tuple(float(value) for value in logprobs)

    async def _reload_adapter(self, checkpoint_path: str, step: int) -> None:
        self._latest_step = step

    def _runtime_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {os.environ['VLLM_API_KEY']}"}

    def close(self) -> None:
        before, self.before_close = self.before_close, None
        if before is not None:
            before()
        super().close()


class RowBackend(LocalBackend):
    """ART's backend for one model, whose next tensors are handed over as `next_tensors`."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        super().__init__(in_process=True, path=str(path))
        self._config: Any = config
        self.next_tensors: PackedTensors | None = None

    async def _get_service(self, model: Any) -> RowService:
        return self.service(model)

    def service(self, model: Any) -> RowService:
        """The model's service, made the first time. ART's own way there imports Megatron."""
        if model.name not in self._services:
            validate_dedicated_config(self._config)
            folder = get_model_dir(model=model, art_path=self._path)
            config = {**self._config, "init_args": dict(self._config["init_args"])}
            if checkpoint := get_last_checkpoint_dir(folder):
                config["init_args"]["model_name"] = checkpoint
            if is_dedicated_mode(self._config):
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, config["trainer_gpu_ids"]))
            made: Any = RowService(model.name, model.base_model, config, folder)
            self._services[model.name] = made
        found: Any = self._services[model.name]
        return found

    def _get_packed_tensors(
        self, model: Any, trajectory_groups: Sequence[Any], *_: Any, **__: Any
    ) -> PackedTensors | None:
        tensors, self.next_tensors = self.next_tensors, None
        return tensors
