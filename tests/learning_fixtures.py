"""Small random models and rows for the tests of the learner."""

import random
from dataclasses import replace
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from tac_rl.config.learner import LearnerSection
from tac_rl.learning.adapters import trainable
from tac_rl.learning.base import GradedRollout, Group, Row
from tac_rl.learning.batching import train_rows
from tac_rl.learning.metrics import Sums
from tac_rl.learning.selection import select
from tac_rl.learning.step import LearnerPlan, StepLearner

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


def random_tokens(random_: random.Random, length: int) -> tuple[int, ...]:
    return tuple(random_.randrange(VOCABULARY) for _ in range(length))


def random_row(random_: random.Random, rollout_id: str, *, prompt: tuple[int, ...], version: int = 0) -> Row:
    """A row of two sampled turns with tool output between and after, and plausible log-probabilities."""
    spans = [(len(prompt), False), (random_.randint(2, 9), True), (random_.randint(1, 6), False)]
    spans += [(random_.randint(1, 7), True), (random_.randint(0, 4), False)]
    sampled = [flag for length, flag in spans for _ in range(length)]
    return Row(
        rollout_id,
        prompt + random_tokens(random_, len(sampled) - len(prompt)),
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
        prompt = random_tokens(random_, random_.randint(3, 12))
        for number in range(size):
            name = f"g{group}r{number}"
            reward = number / size + random_.random()
            rollouts.append(GradedRollout(name, reward, (random_row(random_, name, prompt=prompt),)))
        result.append(Group(f"g{group}", "task", tuple(rollouts)))
    return result


def step_learner(model: Path, **settings: object) -> StepLearner:
    """A learner in float32 whose adapter is not zero, so that every gradient is alive."""
    given = {"precision": "float32", "lora": {"rank": 4, "alpha": 8}, **settings}
    plan = LearnerPlan(model, LearnerSection.model_validate(given), iterations=10, seed=0)
    learner = StepLearner(plan)
    randomise_adapter(learner)
    return learner


def randomise_adapter(learner: StepLearner, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in learner.parameters:
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


def gradients(learner: StepLearner, groups: list[Group]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one minibatch of `groups`, without an update."""
    learner.optimizer.zero_grad(set_to_none=True)
    rows = train_rows(select(groups, learner.loss, learner.settings))
    loss = learner.accumulate_gradients(rows, learner.flat_tokens(rows, several=False), Sums())
    return loss, {name: parameter.grad.clone() for name, parameter in trainable(learner.model).items()}


def near_policy(learner: StepLearner, groups: list[Group], noise: float, seed: int = 5) -> list[Group]:
    """The same groups with recorded log-probabilities that are the learner's own plus noise."""
    random_ = random.Random(seed)

    def moved(row: Row) -> Row:
        own = [0.0, *learner.score(row.token_ids)]
        pairs = zip(own, row.sampled, strict=True)
        values = [min(0.0, value + random_.gauss(0, noise)) if flag else 0.0 for value, flag in pairs]
        return replace(row, logprobs=tuple(torch.tensor(values).tolist()))

    return [
        replace(
            group,
            rollouts=tuple(replace(r, rows=tuple(moved(row) for row in r.rows)) for r in group.rollouts),
        )
        for group in groups
    ]
