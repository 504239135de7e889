"""Small random models and adapters for the tests of serving."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, PreTrainedModel, Qwen2Config

VOCAB = 97
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_model(folder: Path, kind: str = "qwen2") -> Path:
    """A random model with clearly different rows (larger weights than the usual initialisation)."""
    torch.manual_seed(11)
    common: dict[str, Any] = {"vocab_size": VOCAB, "hidden_size": 48, "intermediate_size": 80}
    common |= {"num_hidden_layers": 3, "num_attention_heads": 6, "max_position_embeddings": 256}
    config: Any
    if kind == "vllm":  # Its CPU attention wants heads of 32 at least.
        config = Qwen2Config(**common | {"hidden_size": 64, "num_attention_heads": 2}, num_key_value_heads=1)
    elif kind == "qwen2":
        config = Qwen2Config(**common, num_key_value_heads=2, tie_word_embeddings=True)
    elif kind == "llama":
        config = LlamaConfig(**common, num_key_value_heads=3, tie_word_embeddings=False)
    else:
        config = GPTNeoXConfig(**common)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.08)
    model.save_pretrained(folder)
    return folder


def make_adapter(
    model_path: Path, folder: Path, seed: int, *, scale: float = 0.1, targets: Any = None, **options: Any
) -> Path:
    """A LoRA adapter made by peft, with random B."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=targets or MODULES, task_type="CAUSAL_LM", **options)
    peft_model = get_peft_model(model, lora)
    with torch.no_grad():
        for name, parameter in peft_model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=scale)
    peft_model.save_pretrained(folder)
    return folder


def load_reference(model_path: Path, adapter: Path | None = None) -> PreTrainedModel:
    """The model as Hugging Face and peft compute it, not merged."""
    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
    return PeftModel.from_pretrained(model, str(adapter)).eval() if adapter else model


@torch.no_grad()
def reference_logprobs(model: PreTrainedModel, token_ids: list[int]) -> list[float]:
    """Log-probabilities of `token_ids[1:]` by one full forward pass, without a cache."""
    logits = model(torch.tensor([token_ids])).logits[0].float()
    targets = torch.tensor(token_ids[1:])[:, None]
    return logits[:-1].log_softmax(-1).gather(1, targets)[:, 0].tolist()
