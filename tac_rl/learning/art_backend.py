"""Code written for ART, trained by our engine and learner: ART's `Backend` protocol, on a CPU too.

    import tac_rl.learning.art_backend as tac          # before `import art`: it imports ART without its side effects
    import art

    async with tac.TacBackend() as backend:
        model = art.TrainableModel(name="clerk", project="office", base_model="tac_rl/policies/tiny")
        await model.register(backend)                  # engine, gateway and learner start; a model goes on where it was
        ...                                            # rollouts by model.openai_client(), model.get_inference_name()
        result = await backend.train(model, groups, learning_rate=1e-4)

The endpoint is our gateway, whose choices carry their tokens (`gateway/shared_policy.py`); `train` learns from these
(`art_types.py`): no prompt is rendered twice, so none of what ART 0.5's own tokenisation gets wrong can happen.
One backend serves one trainable model. Its adapters are in ART's output folder, `checkpoints/0001` and so on.
"""

import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tac_rl.config.engine import EngineSection
from tac_rl.config.gateway import GatewaySection
from tac_rl.config.learner import LearnerSection, SftSection
from tac_rl.errors import ConfigError, LearnerError
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.gateway.shared_policy import SharedPolicy
from tac_rl.learning.art_types import group_from_art, rollout_from_art
from tac_rl.learning.base import Group, StepResult
from tac_rl.learning.process import ProcessLearner
from tac_rl.rewards.openpipe import load_art
from tac_rl.serving.base import BASE_VERSION
from tac_rl.serving.build import build_engine
from tac_rl.serving.endpoint import Endpoint
from tac_rl.serving.publishing import Publisher

load_art("tac_rl.learning.art_backend")

LOSSES = {"cispo": "cispo", "ppo": "grpo"}
"""ART's names of losses, and ours."""
LEARNING_RATE = 5e-6
"""ART's default of `train`."""
CLIENT_TIMEOUT_S = 1200.0
"""ART's own. No retries: a call that is repeated would be sampled twice."""
WITHOUT_EFFECT = ("verbose", "save_checkpoint", "packed_sequence_length", "logprob_calculation_chunk_size")
"""Arguments of ART's `LocalBackend.train` that change nothing that is learnt."""


class TacBackend:
    """ART's `Backend`. Start it by registering a model, end it by `close` or as a context manager."""

    def __init__(
        self,
        *,
        learner: LearnerSection | None = None,
        engine: EngineSection | None = None,
        gateway: GatewaySection | None = None,
        context_limit: int = 4096,
        min_group: int = 2,
        seed: int = 1,
    ) -> None:
        """`learner`: everything but loss and learning rate, which `train` is given; `context_limit`: tokens of
        prompt and reply together; `min_group`: smaller groups are not trained on."""
        self._learner_settings = learner or LearnerSection()
        if self._learner_settings.kind == "art":
            raise ConfigError("TacBackend trains with our own learner; for ART's use its LocalBackend")
        self._engine_settings = engine or EngineSection(max_model_len=context_limit)
        self._gateway_settings = gateway
        self._context_limit = context_limit
        self._min_group = min_group
        self._seed = seed
        self._stack: AsyncExitStack | None = None
        self._name = ""
        self._folder = Path()
        self._model_path = Path()
        self._step = BASE_VERSION
        self._publisher: Publisher | None = None
        self._shared: tuple[SharedPolicy, Endpoint] | None = None
        self._learner: ProcessLearner | None = None
        self._trains_with: LearnerSection | None = None

    async def __aenter__(self) -> "TacBackend":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ART's protocol

    def _model_inference_name(self, model: Any, step: int | None = None) -> str:
        return f"{model.name}@{self._step if step is None else step}"

    async def register(self, model: Any) -> None:
        """Take on a model; one that can be trained is served from here on."""
        Path(model._get_output_dir()).mkdir(parents=True, exist_ok=True)
        if not model.trainable:
            return
        if self._stack is not None and model.name != self._name:
            raise ConfigError(f"this backend trains {self._name}; give {model.name} a backend of its own")
        if self._stack is None:
            await self._start(model)

    async def _prepare_backend_for_training(self, model: Any, config: Any) -> tuple[str, str]:
        from openai import AsyncOpenAI

        _, endpoint = self._served()
        # ART would make its client with a timeout of httpx, which openai from 3.53 on doesn't take (it has httpx2), and
        # would keep it although another backend has another address.
        model._openai_client = AsyncOpenAI(
            base_url=endpoint.base_url, api_key=endpoint.api_key, timeout=CLIENT_TIMEOUT_S, max_retries=0
        )
        return endpoint.base_url, endpoint.api_key

    async def _get_step(self, model: Any) -> int:
        return self._step

    async def train(self, model: Any, trajectory_groups: Iterable[Any], **options: Any) -> Any:
        """One update on the groups; the new adapter is proved and served before it returns.

        Options: `learning_rate`, `loss_fn` (`cispo`, `ppo`), `epsilon`, `epsilon_high`, `scale_rewards`,
        `normalize_advantages`. Those that would change what is learnt and are not known here are refused. Returns
        an `art.LocalTrainResult`.
        """
        settings = self._settings_of(options)
        numbered = enumerate(trajectory_groups)
        groups = [group_from_art(group, f"step{self._step + 1:04d}-g{n}") for n, group in numbered]
        kept = [group for group in groups if len(group.rollouts) >= self._min_group]
        result = await self._update(kept, settings)
        metrics = {name: float(value) for name, value in result.metrics.items()}
        metrics |= {"dropped_groups": float(len(groups) - len(kept)), "skipped": float(bool(result.skipped))}
        art = load_art("train")
        return art.LocalTrainResult(step=self._step, metrics=metrics, checkpoint_path=str(result.adapter))

    async def _train_sft(
        self, model: Any, trajectories: Iterable[Any], config: Any, dev_config: Any, verbose: bool = False
    ) -> AsyncIterator[dict[str, float]]:
        rates = config.learning_rate
        chosen = list(trajectories)
        size = len(chosen) if config.batch_size == "auto" else int(config.batch_size)
        for position, first in enumerate(range(0, len(chosen), max(1, size))):
            rate = rates[min(position, len(rates) - 1)] if isinstance(rates, list) else rates
            settings = self._learner_settings.model_copy(
                update={"loss": "sft", "learning_rate": rate, "sft": SftSection(min_reward=-1e9)}
            )
            name = f"step{self._step + 1:04d}-sft"
            batch = [rollout_from_art(t, f"{name}-r{n}") for n, t in enumerate(chosen[first : first + size])]
            result = await self._update([Group(name, "sft", tuple(batch))], settings)
            yield {key: float(value) for key, value in result.metrics.items()}

    async def _delete_checkpoint_files(self, model: Any, steps_to_keep: Sequence[int]) -> None:
        for path in self._checkpoints():
            if int(path.name) not in {*steps_to_keep, self._step}:
                shutil.rmtree(path, ignore_errors=True)

    async def close(self) -> None:
        """Stop engine, gateway and learner. Safe to call twice; a registered model can't be used after it."""
        stack, self._stack = self._stack, None
        self._shared = self._publisher = self._learner = None
        if stack is not None:
            await stack.aclose()

    # Inside

    async def _start(self, model: Any) -> None:
        path = Path(model.base_model)
        if not (path / "config.json").is_file():
            raise ConfigError(
                f"base_model: {model.base_model} is no folder of a model (it has no config.json); nothing is "
                "downloaded: give the path of a Hugging Face directory"
            )
        self._model_path, self._name = path, model.name
        self._folder = Path(model._get_output_dir()).resolve()
        logs = self._folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            engine = build_engine(self._engine_settings, path, logs)
            stack.push_async_callback(engine.stop)
            await engine.start()
            gateway = Gateway(engine, Renderer.from_path(path), self._gateway_settings)
            stack.push_async_callback(gateway.stop)
            await gateway.start()
            stack.push_async_callback(self._stop_learner)
            publisher = Publisher(engine, self._engine_settings.publish)
            newest = max(self._checkpoints(), default=None)
            step = BASE_VERSION if newest is None else int(newest.name)
            await publisher.restore(newest, step)
            self._step, self._publisher = step, publisher
            self._shared = gateway.shared_policy(context_limit=self._context_limit, seed=self._seed)
            self._serve()
            self._stack = stack.pop_all()

    def _served(self) -> tuple[SharedPolicy, Endpoint]:
        if self._shared is None:
            raise ConfigError(
                "this backend serves no model; register one first: await model.register(backend)"
            )
        return self._shared

    def _serve(self) -> None:
        """The names under which the current step answers; an old step's name is an error, never other weights."""
        shared, _ = self._served()
        shared.serve({f"{self._name}@{self._step}": self._step, self._name: self._step})

    def _checkpoints(self) -> list[Path]:
        folder = self._folder / "checkpoints"
        return sorted(path for path in folder.glob("[0-9]*") if path.name.isdigit() and path.is_dir())

    def _settings_of(self, options: dict[str, Any]) -> LearnerSection:
        given = {name: value for name, value in options.items() if name not in WITHOUT_EFFECT}
        loss = given.pop("loss_fn", "cispo")
        if loss not in LOSSES:
            raise ConfigError(f"train(loss_fn={loss!r}): must be one of {', '.join(LOSSES)}")
        update: dict[str, Any] = {
            "loss": LOSSES[loss],
            "learning_rate": given.pop("learning_rate", LEARNING_RATE),
        }
        low, high = given.pop("epsilon", None), given.pop("epsilon_high", None)
        if loss == "ppo":
            low = 0.2 if low is None else low
            high = low if high is None else high
        update |= {"clip_low": low, "clip_high": high}
        scaled = [given.pop(name) for name in ("scale_rewards", "normalize_advantages") if name in given]
        if scaled:
            update["scale_rewards"] = all(scaled)
        # The rest has to be what it is without it.
        unknown = [name for name, value in given.items() if value not in (None, False, 0, 0.0, "token")]
        if unknown:
            raise ConfigError(
                f"train({', '.join(f'{name}={given[name]!r}' for name in unknown)}): not known to this backend; it "
                "takes learning_rate, loss_fn, epsilon, epsilon_high, scale_rewards, normalize_advantages. "
                "Everything else is in TacBackend(learner=...)"
            )
        return LearnerSection.model_validate({**self._learner_settings.model_dump(), **update})

    async def _update(self, groups: Sequence[Group], settings: LearnerSection) -> StepResult:
        self._served()
        assert self._publisher is not None
        learner = await self._learner_with(settings)
        step = self._step + 1
        out = self._folder / "checkpoints" / f"{step:04d}"
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(out, ignore_errors=True)  # of a step that was trained and never served
        result = await learner.step(groups, step, out)
        unchanged = bool(result.skipped) or settings.learning_rate == 0
        await self._publisher.publish(out, step, weights_unchanged=unchanged)
        self._step = step
        self._serve()
        return result

    async def _learner_with(self, settings: LearnerSection) -> ProcessLearner:
        """The learner's process. Its settings are fixed while it lives: another learning rate is another process,
        which goes on from the last adapter and its optimiser."""
        if self._learner is not None and self._learner.process is not None and settings == self._trains_with:
            return self._learner
        await self._stop_learner()
        learner = ProcessLearner(
            settings,
            model_path=self._model_path,
            scratch=self._folder / "scratch",
            log=self._folder / "logs" / "learner.log",
            iterations=1,
            seed=self._seed,
        )
        newest = self._folder / "checkpoints" / f"{self._step:04d}" if self._step else None
        if newest is not None and not newest.is_dir():
            raise LearnerError(
                f"{newest}: the adapter that is served is gone; register the model with a new backend"
            )
        await learner.start(newest)
        self._learner, self._trains_with = learner, settings
        return learner

    async def _stop_learner(self) -> None:
        learner, self._learner = self._learner, None
        if learner is not None:
            await learner.stop()
