"""Small random models and rows for the tests of the learner."""

import random
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from tac_rl.learning.base import GradedRollout, Group, Row

VOCABULARY = 61


def save_tiny_qwen2(folder: Path, seed: int = 0) -> Path:
    """A random Qwen2 of two layers; weights larger than usual, so that its distributions are not flat."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def random_row(random_: random.Random, rollout_id: str, *, prompt: int, version: int = 0) -> Row:
    """A row of two sampled turns with tool output between and after, and plausible log-probabilities."""
    spans = [(prompt, False), (random_.randint(2, 9), True), (random_.randint(1, 6), False)]
    spans += [(random_.randint(1, 7), True), (random_.randint(0, 4), False)]
    sampled = [flag for length, flag in spans for _ in range(length)]
    return Row(
        rollout_id,
        tuple(random_.randrange(VOCABULARY) for _ in sampled),
        tuple(sampled),
        tuple(-random_.uniform(0.5, 6.0) if flag else 0.0 for flag in sampled),
        version,
    )


def random_groups(seed: int = 0, groups: int = 3, size: int = 4) -> list[Group]:
    """Groups with variance in their rewards."""
    random_ = random.Random(seed)
    result = []
    for group in range(groups):
        rollouts = []
        prompt = random_.randint(3, 12)
        for number in range(size):
            name = f"g{group}r{number}"
            reward = number / size + random_.random()
            rollouts.append(GradedRollout(name, reward, (random_row(random_, name, prompt=prompt),)))
        result.append(Group(f"g{group}", "task", tuple(rollouts)))
    return result
