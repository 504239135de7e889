"""What one step of the learner takes, by its parts.

Symbols: T packed tokens of a micro-batch, N sampled ones, L layers, H hidden, I intermediate, Q and K the widths of
queries and of keys (heads x head_dim), r the LoRA's rank. Each term counts what autograd keeps of a layer for the
backward pass; docs/gpu.md has the formulas in words. The base model is frozen, so a matrix keeps no input of its
own: only the LoRA beside it does, and q, k and v share theirs, as gate and up do.
"""

from dataclasses import dataclass

from tac_rl.config.learner import LearnerSection
from tac_rl.memory_plan.shape import ModelShape

LOGITS_BYTES = 256 << 20
"""As in `learning/forward.py`: more logits than this are computed in chunks."""
SCORES_BYTES = 128 << 20
"""As in `learning/attention.py`: more scores of one row than this are computed in parts."""
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a parameter in four bits: blocks of 64 with a scale of one byte, and blocks of 256 scales with one of four."""
GRADIENTS_AT_ONCE = 2
"""Tensors as wide as the MLP that its backward pass holds beyond what it has freed by then: the gradients of the
product and of its two factors are three, and the product itself is gone."""
ART_MASK_BYTES = 3
"""ART's mask of attention, for each pair of a row's positions: a bias of 16 bits, and what it was made from."""
SAMPLED_SHARE = 0.5
"""Of a row's tokens, where nothing is known yet: the rest is prompt and tool output."""
LOGITS_AT_ONCE = 5
"""Tensors of N x V that exist in the output layer's backward pass: logits, the gradient of what was picked from them,
and three of the logarithmic sum's (difference, its exponential, their product)."""
SCORES_AT_ONCE = 3
"""Tensors of a row's scores in attention's backward pass: the softmax, and the gradients on both its sides."""
RUNTIME_BYTES = {"cpu": 30 << 20, "mps": 256 << 20, "cuda": 700 << 20}
"""Kernels, workspaces and what the allocator rounds up to; on CUDA the context, too."""


@dataclass(frozen=True)
class LearnerLoad:
    """What a step computes at once, and how."""

    tokens: int
    """T: of the largest micro-batch."""
    sampled: int
    """N: how many of them predict a sampled token."""
    row: int
    """Tokens of its longest row: what attention sees."""
    rank: int
    targets: str | tuple[str, ...]
    weights: str
    """`float32`, `bfloat16` or `nf4`."""
    autocast: bool
    """Products in bfloat16."""
    checkpointing: bool
    device: str
    """`cpu`, `cuda` or `mps`."""
    art: bool = False
    """By ART's trainer: one row at a time, its logits all kept, its attention by a mask."""


@dataclass(frozen=True)
class LearnerMemory:
    """Bytes, by part."""

    weights: int
    lora: int
    gradients: int
    optimiser: int
    activations: int
    logits: int
    runtime: int
    mask: int = 0

    @property
    def total(self) -> int:
        """At the peak of a step."""
        return sum(vars(self).values())

    @property
    def waiting(self) -> int:
        """Between steps: what it computes with is given back."""
        return self.runtime + self.lasting

    @property
    def lasting(self) -> int:
        """What outlives a step; the machine's memory holds it while the learner sleeps."""
        return self.weights + self.lora + self.optimiser


def learner_load(
    settings: LearnerSection,
    longest_row: int,
    *,
    device: str,
    weights: str,
    autocast: bool,
    checkpointing: bool = False,
) -> LearnerLoad:
    """The largest micro-batch that a config allows: its budget, or one row that is longer than that. ART's is a row."""
    art = settings.kind == "art"
    tokens = longest_row if art else max(settings.micro_batch_tokens, longest_row)
    return LearnerLoad(
        tokens=tokens,
        sampled=int(tokens * SAMPLED_SHARE),
        row=min(longest_row or tokens, tokens),
        rank=settings.lora.rank,
        targets=settings.lora.targets,
        weights=weights,
        autocast=autocast,
        checkpointing=checkpointing,
        device=device,
        art=art,
    )


def learner_memory(shape: ModelShape, load: LearnerLoad) -> LearnerMemory:
    """The peak of one step: everything kept, and either the logits, where the backward pass begins, or what passes in
    the backward pass of the last layer, whichever is more."""
    lora = 4 * shape.lora_parameters(load.rank, load.targets)
    return LearnerMemory(
        weights=weight_bytes(shape, load.weights),
        lora=lora,
        gradients=lora,
        optimiser=2 * lora,
        activations=_activations(shape, load),
        logits=_logits(shape, load),
        runtime=RUNTIME_BYTES[load.device],
        mask=ART_MASK_BYTES * load.row**2 if load.art else 0,
    )


def weight_bytes(shape: ModelShape, weights: str) -> int:
    """Of the base model in a number format."""
    if weights == "nf4":
        return int(shape.linear_parameters * NF4_BYTES + shape.other_parameters * 2)
    return shape.parameters * (4 if weights == "float32" else 2)


def _activations(shape: ModelShape, load: LearnerLoad) -> int:
    """What is kept of all layers (with checkpointing only each one's input), and what the backward pass of one layer
    takes beyond the logits, which are gone by then: with checkpointing that layer computed again, and gradients."""
    layer = _layer_bytes(shape, load)
    passing = GRADIENTS_AT_ONCE * load.tokens * shape.intermediate * (2 if load.autocast else 4)
    passing = max(passing, _scores_passing(shape, load))
    if load.checkpointing:
        kept = shape.layers * load.tokens * shape.hidden * (2 if load.weights != "float32" else 4)
        return kept + max(0, layer + passing - _logits(shape, load))
    return shape.layers * layer + max(0, passing - _logits(shape, load))


def _scores_passing(shape: ModelShape, load: LearnerLoad) -> int:
    """Where no fused kernel computes them: scores of one row, or of its largest part, beyond those that are kept, less
    what the MLP of the layer has freed by then. May be negative."""
    if load.device == "cuda":
        return 0
    narrow = 2 if load.autocast else 4
    freed = load.tokens * (narrow * (shape.hidden + 4 * shape.intermediate) + 4 * shape.hidden)
    line = shape.heads * load.row * narrow
    at_once = max(1, SCORES_BYTES // line)
    if load.row <= at_once:
        return (SCORES_AT_ONCE - 1) * line * load.row - freed
    whole = load.row // at_once * at_once
    largest = max(at_once * whole, (load.row - whole) * load.row) * shape.heads * narrow
    return SCORES_AT_ONCE * largest - freed


def _layer_bytes(shape: ModelShape, load: LearnerLoad) -> int:
    """What one layer keeps for its backward pass."""
    wide = 2 if load.weights != "float32" else 4  # The residual stream, and what is elementwise.
    narrow = 2 if load.autocast else 4  # What enters a matrix product.
    hidden, inner = shape.hidden, shape.intermediate
    query, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    # Both norms keep their input in float32, and rotate nothing else; the residual stream itself is that input.
    per_token = 2 * 4 * hidden
    # Inputs of the LoRAs: of q, k, v; of o; of gate and up; of down. Under autocast over float32 weights each LoRA
    # casts its input for itself.
    copies = (3, 1, 2, 1) if load.autocast and wide == 4 else (1, 1, 1, 1)
    per_token += narrow * (copies[0] * hidden + copies[1] * query + copies[2] * hidden + copies[3] * inner)
    if load.autocast and wide == 4:
        per_token += 4 * 2 * hidden
    per_token += narrow * 7 * load.rank
    # The gated MLP: gate, its activation, up, and their product where the LoRA doesn't hold it.
    per_token += narrow * 3 * inner
    # Attention: queries, keys and values, and, of the fused kernel, its output.
    per_token += narrow * (query + 2 * keys)
    if load.device == "cuda":
        per_token += narrow * query + 4 * shape.heads
        scores = 0
    else:
        at_once = shape.heads * load.row * load.row * narrow
        scores = load.tokens * shape.heads * load.row * narrow if at_once <= SCORES_BYTES else 0
    kept = load.tokens * per_token + scores
    if load.autocast and load.weights == "float32":
        kept += 2 * shape.linear_parameters // shape.layers  # The 16-bit copy of each frozen matrix.
    return kept


def _logits(shape: ModelShape, load: LearnerLoad) -> int:
    """Of one chunk, where they are computed in chunks. ART computes them in chunks too, in 16 bits, but keeps those of
    all chunks for the backward pass."""
    if load.art:
        return 4 * 2 * load.tokens * shape.vocabulary
    return LOGITS_AT_ONCE * min(4 * load.sampled * shape.vocabulary, LOGITS_BYTES)
