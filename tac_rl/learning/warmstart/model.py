"""The tiny policy's architecture: Qwen2, a few million parameters, weights kept as bfloat16.

Fresh weights are not all random. Copying rests on induction heads (Olsson et al. 2022, arXiv 2209.11895):
a head that looks one token back, and above it a head that finds where the current token stood before and
copies what followed. Random weights need millions of tokens to grow such a pair, so it is laid out here, in
the spirit of mimetic initialisation (Trockman and Kolter 2023, arXiv 2305.09828). It knows no task; training
shapes it freely.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from tac_rl.config.warmstart import ModelSection

ROPE_THETA = 1_000_000.0
"""As in Qwen2.5: most rotary pairs turn so slowly that content can be compared at any distance."""
LOOK_BACK = (1, 2, 3)
"""Distances that the first heads of the first layer look back."""
MATCHES = ((0, 1), (1, 2), (0, 2), (1, 3))
"""Heads of the second layer: the token so many before here is compared with that so many before there."""
POSITION_BIAS = 7.0
"""Size of the query and key biases that make these heads positional."""
SLOW = 0.006
"""Rotary pairs below this angle a token (radians) compare content."""
WRITE_BACK = 0.05
"""Scale of what they write, so that it is about as large as an embedding (0.02 an entry)."""
MATCH = 2.5
"""Scale of the matching heads' queries and keys."""
COPY = 0.3
"""Scale of what copying heads write."""


def new_model(section: ModelSection, vocabulary: int, end: int, pad: int, seed: int) -> Any:
    """A model with fresh weights, float32. `end` and `pad` are token ids."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=section.hidden,
        num_hidden_layers=section.layers,
        num_attention_heads=section.heads,
        num_key_value_heads=section.heads,
        intermediate_size=section.intermediate,
        max_position_embeddings=section.context,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
        attn_implementation="sdpa",
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        _lay_out_induction(model)
    return model


def _lay_out_induction(model: Any) -> None:
    """Set the look-back heads of the first layer, the matching heads of the second, and copying above."""
    config = model.config
    heads, hidden = config.num_attention_heads, config.hidden_size
    size = hidden // heads
    angles = ROPE_THETA ** (-torch.arange(size // 2) * 2 / size)
    slow = (angles < SLOW).repeat(2)  # rotary pairs are (i, i + size / 2)
    layers = [layer.self_attn for layer in model.model.layers]
    # Layers above the first copy: what a head reads of a token it writes back in the same directions.
    for attention in layers[1:]:
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            read = _orthonormal(size, hidden)
            attention.v_proj.weight[rows] = read
            attention.o_proj.weight[:, rows] = COPY * read.T
    first, read = layers[0], _orthonormal(size, hidden)
    seen = {0: read}
    """The directions in which a position holds the token that stood so many before it."""
    for head, distance in enumerate(LOOK_BACK[:heads]):
        rows = slice(head * size, (head + 1) * size)
        # Biases alone make a score that is largest at `distance`: sum of cos(angle * (gap - distance)).
        zero, one = torch.zeros(size // 2), torch.ones(size // 2)
        first.k_proj.bias[rows] = POSITION_BIAS * torch.cat([one, zero])
        first.q_proj.bias[rows] = POSITION_BIAS * torch.cat(
            [torch.cos(angles * distance), -torch.sin(angles * distance)]
        )
        seen[distance] = _orthonormal(size, hidden)
        first.v_proj.weight[rows] = read
        first.o_proj.weight[:, rows] = WRITE_BACK * seen[distance].T
    for head, (here, there) in enumerate(MATCHES[:heads] if len(layers) > 1 else ()):
        rows = slice(head * size, (head + 1) * size)
        layers[1].q_proj.weight[rows] = MATCH * slow[:, None] * seen[here]
        layers[1].k_proj.weight[rows] = MATCH * slow[:, None] * seen[there]


def _orthonormal(rows: int, columns: int) -> torch.Tensor:
    """(rows, columns) with orthonormal rows."""
    return torch.linalg.qr(torch.randn(columns, rows))[0].T


def save_weights(model: Any, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` (bfloat16) as `from_pretrained` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().to(torch.bfloat16).contiguous() for name, value in model.named_parameters()
    }
    file = folder / "model.safetensors"
    save_file(weights, file, metadata={"format": "pt"})
    file.chmod(0o644)  # as git will lay it out; safetensors writes it for its owner only
    model.config.dtype = torch.bfloat16
    model.config.save_pretrained(folder)


def load_model(folder: Path) -> Any:
    """The model in `folder`, as float32."""
    return Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
