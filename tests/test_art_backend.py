"""A loop as ART's examples have it, on our engine and learner with the tiny policy; ART itself is real."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

import tac_rl.learning.art_backend as tac
from tac_rl.config.learner import LearnerSection
from tac_rl.errors import ConfigError

import art  # isort: skip  (after ours, which imports it without its side effects)

TINY = Path(__file__).parents[1] / "tac_rl" / "policies" / "tiny"
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "bash",
            "description": "Run a command.",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
        },
    }
]
SCENARIOS = ("notes.txt", "sales.csv")


async def rollout(model: art.TrainableModel[Any, Any], scenario: str) -> art.Trajectory:
    """Two turns with a tool; a command that names the file is what is wanted."""
    client = model.openai_client()
    trajectory = art.Trajectory(
        messages_and_choices=[{"role": "user", "content": f"Show the file {scenario}."}], tools=TOOLS
    )
    named = 0.0
    for _ in range(2):
        completion = await client.chat.completions.create(
            model=model.get_inference_name(), messages=trajectory.messages(), tools=TOOLS, max_completion_tokens=32
        )
        choice = completion.choices[0]
        trajectory.messages_and_choices.append(choice)
        said = choice.message.content or ""
        for call in choice.message.tool_calls or []:
            said += call.function.arguments
            answer = {"role": "tool", "tool_call_id": call.id, "content": "one\ntwo"}
            trajectory.messages_and_choices.append(answer)
        if not choice.message.tool_calls:
            trajectory.messages_and_choices.append({"role": "user", "content": "Use the tool."})
        named += scenario in said
    tokens = sum(len(c.logprobs.content) for c in trajectory.messages_and_choices if not isinstance(c, dict))
    trajectory.reward = named - tokens / 1000
    return trajectory.finish()


async def gathered(model: art.TrainableModel[Any, Any]) -> list[art.TrajectoryGroup]:
    return await art.gather_trajectory_groups(
        (art.TrajectoryGroup(rollout(model, scenario) for _ in range(4)) for scenario in SCENARIOS),
        pbar_desc="gather",
    )


def new_model(folder: Path) -> art.TrainableModel[Any, Any]:
    return art.TrainableModel(name="clerk", project="office", base_model=str(TINY), base_path=str(folder))


def backend(**settings: Any) -> tac.TacBackend:
    learner = LearnerSection.model_validate({"precision": "float32", "lora": {"rank": 4}, **settings})
    return tac.TacBackend(learner=learner, context_limit=1024)


@pytest.mark.timeout(400)  # engine and learner start several times
def test_a_loop_written_for_art_trains_and_is_served_by_each_new_adapter(tmp_path: Path) -> None:
    async def first_run() -> None:
        async with backend() as ours:
            model = new_model(tmp_path)
            await model.register(ours)
            assert (await model.get_step(), model.get_inference_name()) == (0, "clerk@0")
            names = []
            for _ in range(2):
                names.append(model.get_inference_name())
                groups = await gathered(model)
                assert {c.policy_version for c in choices(groups)} == {int(names[-1][-1])}
                result = await ours.train(model, groups, learning_rate=1e-3)
                await model.log(groups, split="train", metrics=result.metrics, step=result.step)
                # Engine and learner see the very same tokens: in float32 they agree to rounding.
                assert result.metrics["mismatch_kl"] < 1e-5
                assert result.metrics["sampled_tokens"] == sum(len(c.token_ids) for c in choices(groups))
                assert Path(result.checkpoint_path).name == f"{result.step:04d}"
            assert names == ["clerk@0", "clerk@1"] and result.step == 2
            with pytest.raises(openai.NotFoundError, match="there is no model 'clerk@1'; served are clerk@2"):
                await model.openai_client().chat.completions.create(
                    model="clerk@1", messages=[{"role": "user", "content": "."}]
                )
            await model.delete_checkpoints(best_checkpoint_metric="train/reward")

    async def second_run() -> None:
        async with backend() as ours:
            model = new_model(tmp_path)
            await model.register(ours)
            assert (await model.get_step(), model.get_inference_name()) == (2, "clerk@2")
            groups = await gathered(model)
            for group in groups:
                for trajectory in group.trajectories:
                    trajectory.reward = 0.7  # all the same: nothing to learn
            result = await ours.train(model, groups, learning_rate=1e-3)
            assert (result.step, result.metrics["skipped"]) == (3, 1.0)
            # Another loss is another process, which goes on from the same adapter.
            await model.train_sft(groups[0].trajectories, art.TrainSFTConfig(learning_rate=1e-3))
            assert await model.get_step() == 4

    asyncio.run(first_run())
    folder = tmp_path / "office" / "models" / "clerk"
    assert [p.name for p in sorted((folder / "checkpoints").iterdir())][-1] == "0002"
    assert json.loads((folder / "history.jsonl").read_text().splitlines()[0])["step"] == 1
    asyncio.run(second_run())


def choices(groups: list[art.TrajectoryGroup]) -> list[Any]:
    return [
        item
        for group in groups
        for trajectory in group.trajectories
        for item in trajectory.messages_and_choices
        if not isinstance(item, dict)
    ]


def test_what_this_backend_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    ours = backend()
    with pytest.raises(ConfigError, match=r"train\(kl_penalty_coef=0.1\): not known"):
        ours._settings_of({"kl_penalty_coef": 0.1})
    with pytest.raises(ConfigError, match="loss_fn='dro'"):
        ours._settings_of({"loss_fn": "dro"})
    settings = ours._settings_of({"loss_fn": "ppo", "kl_penalty_coef": 0.0, "verbose": True, "scale_rewards": False})
    assert (settings.loss, settings.clip_low, settings.clip_high) == ("grpo", 0.2, 0.2)
    assert (settings.scale_rewards, settings.learning_rate) == (False, 5e-6)

    async def register_nothing() -> None:
        model = art.TrainableModel(name="m", project="p", base_model="Qwen/Qwen2.5-7B", base_path=str(tmp_path))
        async with backend() as empty:
            with pytest.raises(ConfigError, match=r"base_model: Qwen/Qwen2\.5-7B is no folder of a model"):
                await model.register(empty)
            with pytest.raises(ConfigError, match="serves no model"):
                await empty.train(model, [])

    asyncio.run(register_nothing())
