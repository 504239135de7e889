"""Which GPUs engine and learner compute on, and whether they take turns on one.

GPUs are counted from 0 as this process sees them: `CUDA_VISIBLE_DEVICES` hides some, or names them in another order.
"""

from dataclasses import dataclass

from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError


@dataclass(frozen=True)
class Placement:
    """Numbers of GPUs."""

    engine: tuple[int, ...]
    """The engine's; several: the model is split over them. None: it computes on the CPU."""
    learner: int | None
    """The learner's; None: it computes elsewhere."""
    turns: bool
    """Whether engine and learner take turns (`engine.time_sharing`)."""

    @property
    def shared(self) -> bool:
        """Whether they have a GPU in common."""
        return self.learner in self.engine


def place(config: RunConfig, engine_kind: str, gpus: int, *, learns: bool = True) -> Placement:
    """Where a config's parts go on a machine with `gpus` GPUs. Raises `ConfigError` where it asks for one that isn't
    there, or for rollouts beside a learner's step on a GPU that is not theirs then. `learns`: whether there is a
    learner."""
    learner: int | None
    if learns and config.learner.kind == "art" and gpus:
        engine, learner = _art_gpus(config, gpus)
    else:
        engine = _engine_gpus(config, engine_kind, gpus)
        learner = _learner_gpu(config, engine, gpus) if learns else None
    if not learns:
        return Placement(engine, None, turns=False)
    turns = _turns(config, engine_kind, shared=learner in engine)
    if turns and config.rollouts.max_staleness:
        raise ConfigError(
            "rollouts.max_staleness: engine and learner take turns on one GPU, so no rollout can go on while the "
            "learner steps; set it to 0, or give them a GPU each (engine.vllm.gpus, learner.device)"
        )
    return Placement(engine, learner, turns)


def _art_gpus(config: RunConfig, gpus: int) -> tuple[tuple[int, ...], int]:
    """ART places its parts itself, as its own section says."""
    art = config.learner.art
    missing = [number for number in (*art.trainer_gpus, *art.inference_gpus) if number >= gpus]
    if missing:
        raise ConfigError(
            f"learner.art.trainer_gpus, inference_gpus: GPU {missing[0]} is not there; {_there(gpus)}"
        )
    return art.inference_gpus or (0,), (art.trainer_gpus or (0,))[0]


def _engine_gpus(config: RunConfig, engine_kind: str, gpus: int) -> tuple[int, ...]:
    if engine_kind != "vllm":
        on_gpu = gpus and config.engine.device in ("auto", "cuda")
        return (0,) if on_gpu else ()
    wanted = config.engine.vllm.gpus
    missing = [number for number in wanted if number >= gpus]
    if missing:
        raise ConfigError(f"engine.vllm.gpus: GPU {missing[0]} is not there; {_there(gpus)}")
    return wanted or ((0,) if gpus else ())


def _learner_gpu(config: RunConfig, engine: tuple[int, ...], gpus: int) -> int | None:
    """`cuda` and `auto`: the first GPU that the engine leaves free, else the engine's."""
    device = config.learner.device
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda") or (kind == "auto" and not gpus):
        return None
    if (number and int(number) >= gpus) or not gpus:
        raise ConfigError(f"learner.device: {device} is not there; {_there(gpus)}")
    if number:
        return int(number)
    return next((gpu for gpu in range(gpus) if gpu not in engine), engine[0] if engine else 0)


def _turns(config: RunConfig, engine_kind: str, *, shared: bool) -> bool:
    wanted = config.engine.time_sharing
    return engine_kind == "vllm" and (wanted == "on" or (wanted == "auto" and shared))


def _there(gpus: int) -> str:
    if not gpus:
        return "this machine shows no GPU (nvidia-smi, CUDA_VISIBLE_DEVICES)"
    found = "one GPU, number 0" if gpus == 1 else f"{gpus} GPUs, 0 to {gpus - 1}"
    return f"this machine shows {found} (nvidia-smi, CUDA_VISIBLE_DEVICES)"
