"""What serving takes: weights, KV cache, adapters, and what the server itself holds."""

from dataclasses import dataclass

from tac_rl.config.engine import EngineSection
from tac_rl.memory_plan.shape import GIB, ModelShape

GPU_OVERHEAD = int(1.4 * GIB)
"""Of a vLLM server: CUDA's context, captured graphs, workspaces of attention and sampling. An estimate."""
PROCESS_BYTES = 600 << 20
"""Of the transformers engine: Python, torch, and the buffers of a step."""
VLLM_CPU_BYTES = int(2.8 * GIB)
"""Of vLLM's CPU build, measured with a model of 4 million parameters."""
QUANTISED = ("fp8", "int8", "fp8_per_tensor", "fp8_per_channel", "int8_per_channel_weight_only")
FOUR_BITS = ("awq", "gptq", "gptq_marlin", "awq_marlin")
BYTES_OF = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class EngineMemory:
    """Bytes, by part."""

    weights: int
    kv_cache: int
    """What is reserved for it."""
    lora: int
    runtime: int
    reserved: int = 0
    """All that the server may take (`gpu_memory_utilization`); 0 where it takes what it uses."""
    kv_cache_wanted: int = 0
    """What `max_batch` sequences of the full context would fill."""

    @property
    def total(self) -> int:
        return max(self.reserved, self.weights + self.kv_cache + self.lora + self.runtime)

    @property
    def fits_reservation(self) -> bool:
        """Whether one sequence's cache and the weights fit into what the server may take."""
        return not self.reserved or self.weights + self.lora + self.runtime + self.kv_cache <= self.reserved


def kv_bytes_per_token(shape: ModelShape, dtype: str) -> int:
    """Keys and values of one token in every layer."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * BYTES_OF[dtype]


def engine_memory(
    shape: ModelShape, config: EngineSection, kind: str, *, context: int, sequences: int, rank: int, card: int
) -> EngineMemory:
    """`sequences`: rollouts at once; `rank`: of the LoRA; `card`: bytes of the GPU, 0 for the CPU."""
    token = kv_bytes_per_token(shape, config.dtype)
    wanted = token * context * min(sequences, config.max_batch)
    weights = _weights(shape, config)
    size = BYTES_OF[config.dtype]
    adapter = shape.lora_parameters(rank, "all-linear") * size
    if kind == "transformers":
        slots = token * context * config.cache_slots
        # Each version's targeted matrices; two versions are there while one replaces the other.
        merged = size * shape.linear_parameters
        return EngineMemory(
            weights, min(slots, config.kv_cache_mb << 20), 2 * merged, PROCESS_BYTES, kv_cache_wanted=wanted
        )
    ranks = shape.lora_parameters(config.vllm.max_lora_rank, "all-linear") * size
    lora = config.vllm.max_loras * max(adapter, ranks)
    if not card:
        cache = config.vllm.cpu_kvcache_gb * GIB
        return EngineMemory(weights, cache, lora, VLLM_CPU_BYTES, kv_cache_wanted=wanted)
    reserved = int(card * config.vllm.gpu_memory_utilization)
    cache = max(token * context, reserved - weights - lora - GPU_OVERHEAD)
    return EngineMemory(weights, cache, lora, GPU_OVERHEAD, reserved, wanted)


def _weights(shape: ModelShape, config: EngineSection) -> int:
    """Quantisation stores the layers' matrices in fewer bits; embedding and output layer stay."""
    arguments = config.vllm.extra_args
    method = ""
    for place, argument in enumerate(arguments):
        if argument in ("--quantization", "-q") and place + 1 < len(arguments):
            method = arguments[place + 1]
        elif argument.startswith("--quantization="):
            method = argument.partition("=")[2]
    size = BYTES_OF[config.dtype]
    if method in QUANTISED:
        return shape.linear_parameters + size * shape.other_parameters
    if method in FOUR_BITS:
        return int(0.53 * shape.linear_parameters) + size * shape.other_parameters
    return size * shape.parameters
