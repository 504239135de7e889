"""The `engine` section: what turns token ids into token ids."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tac_rl.config.base import Section


class VllmSection(Section):
    """Settings of the vLLM server; used only where the engine is `vllm`."""

    url: str | None = Field(default=None, pattern="^https?://[^/]+$")
    """A server that runs already, such as `http://vllm:8000`; docs/compose.md has the arguments that it needs. It
    must see the adapters at the same paths. None: a server of our own."""
    api_key_file: Path | None = None
    """A file that holds that server's key, where it wants one."""

    python: Path | None = None
    """Interpreter of the environment that has vLLM; None: the one that runs TAC-RL."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Loopback port of the server; None: any free one."""
    gpus: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """GPUs of the server, counted from 0 as this process sees them (`CUDA_VISIBLE_DEVICES`, else as nvidia-smi does).
    Several: the model is split over them (tensor parallelism). Empty: the first."""
    gpu_memory_utilization: float = Field(default=0.85, gt=0, le=1)
    """Share of the GPU's memory that the server may take; ignored without a GPU."""
    cpu_kvcache_gb: int = Field(default=1, ge=1)
    """Memory for the KV cache in GiB where there is no GPU."""
    max_loras: int = Field(default=4, ge=1)
    """Adapter versions that may be in one batch."""
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16
    """Largest LoRA rank that will be loaded; must be at least the learner's."""
    enforce_eager: bool = False
    """Skip graph capture: starts sooner, generates slower. Without a GPU it is always skipped."""
    extra_args: tuple[str, ...] = ()
    """More arguments of `vllm.entrypoints.openai.api_server`, as they are."""
    env: dict[str, str] = Field(default_factory=dict)
    """More environment variables of the server."""


class PublishSection(Section):
    """What a publish must prove before rollouts use the new version."""

    tolerance: float = Field(default=1e-2, gt=0)
    """Largest difference to the learner's log-probabilities on the probe; raise it for 16-bit dtypes."""
    min_shift: float = Field(default=2e-5, gt=0)
    """Changes of the probe's log-probabilities up to this are float noise, not new weights."""


class EngineSection(Section):
    """The engine that samples the policy's tokens."""

    kind: Literal["auto", "transformers", "vllm"] = "auto"
    """`auto`: vllm where a GPU and vLLM are there, transformers otherwise; the choice is logged."""
    placement: Literal["process", "in_process"] = "process"
    """Where the transformers engine computes: a process of its own, or a thread of this one."""
    socket: Path | None = None
    """Unix socket of an engine that runs as a service (`tac-rl serve-part engine`): the transformers engine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the transformers engine; `auto`: the GPU if there is one."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of weights and KV cache, of both engines."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of the transformers engine."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Tokens of prompt and completion together; None: what the model allows, at most 4096."""
    max_batch: int = Field(default=64, ge=1)
    """Sequences computed at once; more wait."""
    cache_slots: int = Field(default=160, ge=1)
    """Sequences whose KV cache is kept by the transformers engine, running ones included."""
    kv_cache_mb: int = Field(default=2048, ge=1)
    """Most memory (MiB) for these; fewer slots are kept if they would need more."""
    prefill_tokens: int = Field(default=1024, ge=16)
    """Prompt tokens computed in one step of the transformers engine, beside the running sequences."""
    request_timeout_s: float = Field(default=300.0, gt=0)
    """Longest time one request may take, waiting included."""
    start_timeout_s: float = Field(default=240.0, gt=0)
    """Longest time until the engine answers."""
    time_sharing: Literal["auto", "on", "off"] = "auto"
    """With vLLM: its weights sleep in the host's memory while the learner steps, and requests wait; between steps the
    learner sleeps there. `auto`: where engine and learner have a GPU in common."""
    vllm: VllmSection = VllmSection()
    """The managed vLLM server."""
    publish: PublishSection = PublishSection()
    """The proof that a published adapter took effect."""
