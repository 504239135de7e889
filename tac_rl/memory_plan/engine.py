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
SEGMENT, LARGE, SHARED_SEGMENT = 2 << 20, 10 << 20, 20 << 20
"""Of torch's allocator on a GPU: tensors from `LARGE` on have a segment of their own, a multiple of `SEGMENT`; smaller
ones share segments of `SHARED_SEGMENT`."""
QUANTISED = ("fp8", "int8", "fp8_per_tensor", "fp8_per_channel", "int8_per_channel_weight_only")
FOUR_BITS = ("awq", "gptq", "gptq_marlin", "awq_marlin")
BYTES_OF = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class EngineMemory:
    """Bytes on each of its cards, by part."""

    weights: int
    kv_cache: int
    """What is reserved for it."""
    lora: int
    runtime: int
    reserved: int = 0
    """All that the server may take (`gpu_memory_utilization`); 0 where it takes what it uses."""
    kv_cache_wanted: int = 0
    """What `max_batch` sequences of the full context would fill."""
    asleep_on_host: int = 0
    """What the weights take of the machine's memory while a vLLM server sleeps, and from then on."""

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
    cards = (
        max(1, len(config.vllm.gpus)) if kind == "vllm" else 1
    )  # Tensor parallelism divides all but the runtime.
    token = kv_bytes_per_token(shape, config.dtype) // cards
    wanted = token * context * min(sequences, config.max_batch)
    weights = _weights(shape, config) // cards
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
    lora = config.vllm.max_loras * max(adapter, ranks) // cards
    if not card:
        cache = config.vllm.cpu_kvcache_gb * GIB
        return EngineMemory(weights, cache, lora, VLLM_CPU_BYTES, kv_cache_wanted=wanted)
    reserved = int(card * config.vllm.gpu_memory_utilization)
    cache = max(token * context, reserved - weights - lora - GPU_OVERHEAD)
    return EngineMemory(
        weights, cache, lora, GPU_OVERHEAD, reserved, wanted, cards * _asleep(shape, config, cards)
    )


def _weights(shape: ModelShape, config: EngineSection) -> int:
    """Quantisation stores the layers' matrices in fewer bits; embedding and output layer stay."""
    size = BYTES_OF[config.dtype]
    return int(_matrix_bytes(config) * shape.linear_parameters) + size * shape.other_parameters


def _matrix_bytes(config: EngineSection) -> float:
    """Of a parameter of the layers' matrices."""
    arguments = config.vllm.extra_args
    method = ""
    for place, argument in enumerate(arguments):
        if argument in ("--quantization", "-q") and place + 1 < len(arguments):
            method = arguments[place + 1]
        elif argument.startswith("--quantization="):
            method = argument.partition("=")[2]
    if method in QUANTISED:
        return 1
    return 0.53 if method in FOUR_BITS else BYTES_OF[config.dtype]


def _asleep(shape: ModelShape, config: EngineSection, cards: int) -> int:
    """Of the machine's memory, for one card: each segment of weights is copied to a pinned block, which torch rounds up
    to a power of two, and keeps for the next time."""
    shapes = {name: rows * columns for name, (rows, columns) in shape.linear_shapes.items()}
    merged = [  # as vLLM holds them
        shapes["q_proj"] + shapes["k_proj"] + shapes["v_proj"],
        shapes["o_proj"],
        shapes["gate_proj"] + shapes["up_proj"],
        shapes["down_proj"],
    ]
    layer = sum(_pinned(int(_matrix_bytes(config) * size) // cards) for size in merged)
    table = _pinned(BYTES_OF[config.dtype] * shape.vocabulary * shape.hidden // cards)
    return shape.layers * layer + (1 if shape.tied else 2) * table


def _pinned(size: int) -> int:
    """The pinned block for a tensor of so many bytes: of its segment, or its part of a shared one's."""
    if size < LARGE:
        return size * _power_of_two(SHARED_SEGMENT) // SHARED_SEGMENT
    return _power_of_two(-(-size // SEGMENT) * SEGMENT)


def _power_of_two(size: int) -> int:
    """The least that is not smaller."""
    return 1 << (size - 1).bit_length()
