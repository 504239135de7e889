"""What ART 0.5.18 makes of our rollouts, shown with its own code, and what its packed tensors are made of rows.

Then ART's own loss on these tensors beside our losses. All of it on the CPU.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from art_helpers import TOOL, recorded
from gateway_fakes import qwen_style_tokenizer
from learning_fixtures import gradients, near_policy, random_groups, save_tiny_qwen2, step_learner

from tac_rl.errors import LearnerError
from tac_rl.gateway.recording import Recording
from tac_rl.learning.adapters import trainable
from tac_rl.learning.art_rows import packed_tensors
from tac_rl.learning.art_settings import train_arguments
from tac_rl.learning.art_types import trajectory_of
from tac_rl.learning.base import GradedRollout, Group
from tac_rl.learning.batching import TrainRow, token_weights, train_rows
from tac_rl.learning.selection import select
from tac_rl.learning.step import StepLearner

from art import TrajectoryGroup  # isort: skip  (after the helpers, which import it without its side effects)
from art._backend_training import build_rl_train_configs  # isort: skip
from art.loss import loss_fn, shift_tensor  # isort: skip
from art.preprocessing.pack import packed_tensors_from_tokenized_results  # isort: skip
from art.preprocessing.tokenize import TokenizedResult, tokenize_trajectory_groups  # isort: skip

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
LENGTH = 512


def group_of(recording: Recording, rewards: Sequence[float]) -> Group:
    rollouts = [GradedRollout(f"r{n}", reward, recording.rows) for n, reward in enumerate(rewards)]
    return Group("g", "count", tuple(rollouts))


def as_art_tokenises(recording: Recording, rewards: Sequence[float]) -> list[TokenizedResult]:
    """By ART's own code, from the messages of the rollouts."""
    trajectories = [trajectory_of(r, recording.calls) for r in group_of(recording, rewards).rollouts]
    for trajectory in trajectories:
        trajectory.tools = [TOOL]
    groups: Any = [TrajectoryGroup(trajectories)]
    return list(tokenize_trajectory_groups(qwen_style_tokenizer(), groups, False, True))


def rows_of(groups: list[Group], learner: StepLearner) -> list[TrainRow]:
    return train_rows(select(groups, learner.loss, learner.settings))


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> StepLearner:
    return step_learner(save_tiny_qwen2(tmp_path_factory.mktemp("model")))


def test_art_repeats_a_tool_call_and_quotes_its_arguments_and_our_rows_do_not(learner: StepLearner) -> None:
    recording = recorded(rewrite=False)
    tokenizer = qwen_style_tokenizer()
    [row] = recording.rows
    seen = tokenizer.decode(row.token_ids)
    of_art = tokenizer.decode(as_art_tokenises(recording, [0.0, 1.0])[0].token_ids)
    calls = seen.count("</tool_call>\n<|im_end|>") + seen.count("</tool_call><|im_end|>")
    assert calls == 2 and seen.count('"arguments": {"command"') == 2
    assert of_art.count("</tool_call>") > seen.count("</tool_call>")
    assert '"arguments": "{\\"command' in of_art and '"arguments": "{\\"command' not in seen

    rows = rows_of([group_of(recording, [0.0, 1.0])], learner)
    tensors = packed_tensors(rows, "tokens", 1, LENGTH)
    last = max(place for place, sampled in enumerate(row.sampled) if sampled)
    for number in range(2):
        mask = tensors["assistant_mask"][number]
        assert tensors["tokens"][number, : last + 1].tolist() == list(row.token_ids[: last + 1])
        assert mask.tolist() == [*row.sampled[: last + 1]] + [False] * (LENGTH - last - 1)
        given = torch.tensor(row.logprobs)[torch.tensor(row.sampled)]
        assert torch.equal(tensors["logprobs"][number][mask], given)
        assert tensors["logprobs"][number][~mask].isnan().all()
        assert tensors["group_ids"][number, last + 1 :].eq(-1).all()  # padding is seen by nothing


def test_art_scales_up_a_group_of_equal_rewards_and_we_drop_it(learner: StepLearner) -> None:
    recording = recorded(rewrite=False)
    rewards = [0.85] * 8
    of_art = as_art_tokenises(recording, rewards)
    assert len(of_art) == 8 and all(0 < abs(result.advantage) < 1e-8 for result in of_art)
    tensors = packed_tensors_from_tokenized_results(of_art, 1024, pad_token_id=0, pack_results=False)
    assert tensors["advantages"][tensors["assistant_mask"]].abs() == pytest.approx(1.0, rel=1e-3)

    kept = select([group_of(recording, rewards)], learner.loss, learner.settings)
    assert kept.nothing and not train_rows(kept)
    both = [group_of(recording, rewards), *random_groups(groups=1)]
    assert len(rows_of(both, learner)) == len(rows_of(both[1:], learner)) == 4


def test_a_row_that_is_too_long_is_an_error_and_not_left_out(learner: StepLearner) -> None:
    rows = rows_of(random_groups(), learner)
    with pytest.raises(LearnerError, match=r"a row of \d+ tokens, but ART's sequences have 16"):
        packed_tensors(rows, "tokens", 1, 16)


@pytest.mark.parametrize("old_logprobs", ["engine", "learner"])
@pytest.mark.parametrize("loss", ["cispo", "grpo", "dr_grpo", "gspo"])
def test_art_s_loss_on_our_tensors_has_the_gradients_of_our_loss(
    learner: StepLearner, loss: str, old_logprobs: str
) -> None:
    ours = step_learner(
        learner.plan.model_path, loss=loss, old_logprobs=old_logprobs, truncate_importance_at=1.1
    )
    groups = near_policy(ours, random_groups(), noise=0.3 if loss != "gspo" else 0.003)
    value, gradient = gradients(ours, groups)
    rows = rows_of(groups, ours)
    constant = ours.settings.constant_tokens
    tensors: dict[str, Any] = dict(packed_tensors(rows, ours.loss.normalisation, constant, 64))

    # ART divides weights by their mean, then advantages by theirs: the same for all rows of a step.
    weights = token_weights(rows, ours.loss.normalisation, constant)
    sampled = torch.tensor([float(len(row.targets)) for row in rows for _ in row.targets])
    scale = (weights * sampled).mean()
    advantages = torch.tensor([row.advantage for row in rows for _ in row.targets])
    scale *= (advantages.abs() * weights * sampled / scale).mean()

    arguments = train_arguments(ours.settings, ours.loss, rate=1e-3)
    _, dev_config = build_rl_train_configs(ppo=arguments.pop("loss_fn") == "ppo", **arguments)
    ours.optimizer.zero_grad(set_to_none=True)
    ours.model.get_base_model().set_attn_implementation("eager")  # for whole rows, without our packing
    total = torch.zeros(())
    for number in range(len(rows)):
        row = {name: t[number : number + 1] for name, t in tensors.items() if isinstance(t, torch.Tensor)}
        following = shift_tensor(row["tokens"], 0)
        logits = ours.model(input_ids=row["tokens"]).logits.float().log_softmax(-1)
        new = logits.gather(-1, following[..., None])[..., 0]
        if arguments["precalculate_logprobs"]:  # as ART's trainer does before the first update of a step
            row["original_logprobs"] = row["logprobs"]
            row["logprobs"] = torch.nn.functional.pad(new.detach()[:, :-1], (1, 0))
        inputs: Any = row
        part = loss_fn(inputs, new, None, None, dev_config).policy_loss
        part.backward()
        total += part.detach()
    assert float(total * scale) == pytest.approx(value, rel=2e-4, abs=1e-6)
    for name, parameter in trainable(ours.model).items():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad * scale, gradient[name], rtol=2e-3, atol=2e-6)
