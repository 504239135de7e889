"""The learner's half of taking turns on one accelerator (`engine.time_sharing`): between its steps it sleeps in the
host's memory, as the engine does during them.

What moves is the memory behind the tensors: their storages are emptied and filled again, so that parameters, ties and
views stay what layers and optimiser know, and computing with a sleeping learner is an error and not a slow answer.
(FSDP frees its parameters in this way.) The frozen base is copied out once; its copy stays in the host's memory, and
to sleep is to let go of the other. Copies are pageable: pinned ones would save a second or two an iteration, but torch
rounds each pinned block up to a power of two, which can come to twice the model.
"""

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from peft import PeftModel
from torch import Tensor

from tac_rl.errors import LearnerError
from tac_rl.learning.reference import Reference


@dataclass
class Sleeper:
    """Moves what outlives a step between `device` and the host's memory."""

    device: torch.device
    _away: dict[int, tuple[torch.UntypedStorage, Tensor]] = field(default_factory=dict)
    """By identity: an emptied storage, and its bytes in the host's memory."""
    _base: dict[int, tuple[torch.UntypedStorage, Tensor]] = field(default_factory=dict)
    """The same for storages whose bytes never change, also while they are filled."""

    @property
    def asleep(self) -> bool:
        return bool(self._away)

    def sleep(self, frozen: Iterable[Tensor], changing: Iterable[Tensor]) -> None:
        """Leave nothing of these on the device. `frozen`: those whose data never changes."""
        for tensors, kept in ((frozen, self._base), (changing, {})):
            for tensor in tensors:
                if tensor.device.type != self.device.type or tensor.untyped_storage()._cdata in self._away:
                    continue  # AdamW counts its steps on the CPU; tensors may share a storage.
                if not tensor.untyped_storage().resizable():
                    tensor.data = tensor.data.clone()  # Of a mapped file, say; the copy is the allocator's.
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in kept:
                    kept[key] = storage, _bytes_of(storage).to("cpu", copy=True)
                self._away[key] = kept[key]
                storage.resize_(0)
        gc.collect()  # Graphs of a step that failed are circles.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # What the allocator keeps for later is the engine's now.

    def wake(self) -> None:
        """Take the device's memory again. Raises `LearnerError` where there is not enough; it sleeps on then."""
        try:
            for storage, host in self._away.values():
                storage.resize_(host.numel())
                _bytes_of(storage).copy_(host)
        except torch.OutOfMemoryError as error:
            for storage, _ in self._away.values():
                storage.resize_(0)
            raise LearnerError(
                f"the learner can't come back to {self.device}: {str(error).splitlines()[0]} The engine or another "
                "program has the memory; `--dry-run` prints the memory plan"
            ) from error
        self._away = {}


def _bytes_of(storage: torch.UntypedStorage) -> Tensor:
    """A tensor over all of it, of which autograd knows nothing."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def frozen_tensors(model: PeftModel) -> Iterator[Tensor]:
    """The base's weights, once each, and what a matrix in four bits is read with: its scales and its table."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            yield parameter
            yield from _scales(getattr(parameter, "quant_state", None))


def changing_tensors(
    model: PeftModel, optimizer: torch.optim.Optimizer, reference: Reference | None
) -> Iterator[Tensor]:
    """The adapter, its optimiser's state, a reference's weights; and buffers, which are small."""
    yield from (parameter for parameter in model.parameters() if parameter.requires_grad)
    yield from model.buffers()
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))
    if reference is not None and reference.weights is not None:
        yield from reference.weights.values()


def _scales(state: object) -> Iterator[Tensor]:
    """The tensors of bitsandbytes' `QuantState`; with double quantisation its scales have a state of their own."""
    if state is None:
        return
    for value in vars(state).values():
        if isinstance(value, Tensor):
            yield value
        elif type(value) is type(state):
            yield from _scales(value)
