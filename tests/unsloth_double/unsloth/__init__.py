"""A double of Unsloth for machines without a GPU: the model of transformers and PEFT, in float32 on the CPU.

What ART asks of Unsloth is here: a model whose `logits` are its last hidden states and whose attention takes ART's
mask, and the LoRA. Everything of ART itself that runs on it is the real thing.
"""

import builtins
import json
import sys
import types
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.modeling_outputs import CausalLMOutput

# ART waits for the GPU after it has moved weights.
torch.cuda.synchronize = lambda *_: None  # type: ignore[assignment]


def _forward(self: Any, input_ids: Any, causal_mask: Any, **_: Any) -> CausalLMOutput:
    bias = causal_mask[:, None].float().clamp(min=torch.finfo(torch.float32).min)
    hidden = self.model(input_ids=input_ids, attention_mask=bias, use_cache=False).last_hidden_state
    return CausalLMOutput(logits=hidden)


class FastLanguageModel:
    @staticmethod
    def from_pretrained(
        model_name: str, max_seq_length: int, load_in_4bit: bool, **_: Any
    ) -> tuple[Any, Any]:
        _adapt_art()
        adapter = Path(model_name) / "adapter_config.json"
        base = model_name
        if adapter.is_file():
            base = json.loads(adapter.read_text())["base_model_name_or_path"]
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        model.forward = types.MethodType(_forward, model)
        if adapter.is_file():
            return PeftModel.from_pretrained(model, model_name, is_trainable=True), None
        return model, None

    @staticmethod
    def get_peft_model(
        model: Any, *, r: int, lora_alpha: int, target_modules: Any, random_state: int, **_: Any
    ) -> Any:
        torch.manual_seed(random_state)
        lora = LoraConfig(r=r, lora_alpha=lora_alpha, target_modules=target_modules, task_type="CAUSAL_LM")
        return get_peft_model(model, lora)


def _adapt_art() -> None:
    """Two constants of ART: the GPU that weights come back to, which is the CPU here; and the ten million empty
    prompts that it makes for TRL's trainer, 2 GB, which nothing here reads."""
    module: Any = sys.modules["art.unsloth.train"]
    module.UnslothTrainContext.reload_to_gpu.__defaults__ = ("cpu",)
    module.range = lambda *bounds: builtins.range(*(bounds if bounds != (10_000_000,) else (1,)))
