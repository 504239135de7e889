"""`learner.kind: art`: ART's `LocalBackend` (Unsloth and vLLM) behind the `Learner` contract.

ART lives in a process of its own (`art_worker.py`), which also starts the vLLM server. The engine is attached to that
server (`ArtLearner.server`), so agents talk to the gateway as ever, and the publisher loads and proves what ART has
trained. Where trainer and server share a GPU, ART itself puts the server to sleep for a step, and the engine holds
requests meanwhile. Server and trainer start and end together: where the server has died, both start anew from the last
adapter and its optimiser.
"""

import asyncio
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError, EngineError, LearnerError
from tac_rl.learning.base import Group, StepResult
from tac_rl.learning.process import ProcessLearner
from tac_rl.learning.stages import stages_of
from tac_rl.rewards.openpipe import DISTRIBUTION, check_installed
from tac_rl.serving import leftovers
from tac_rl.serving.guard import remove_folder
from tac_rl.serving.hardware import count_gpus, has_vllm
from tac_rl.serving.vllm_server import healthy

ART_VERSION = "0.5.18"
"""The seams that we use are not promised to stay."""
MODULES = ("unsloth", "trl", "peft", "datasets", "torch", "transformers", "nest_asyncio")
SETTING = "learner.kind: art"
EXTRA = "in an environment of its own: python -m pip install -e '.[art-local]'"
LOOK_SECONDS = 5.0


def check_art(config: RunConfig) -> str:
    """Where ART's vLLM server comes from; `ConfigError` names what is missing for it or for the trainer, and the fix.
    Imports nothing of it, starts nothing."""
    or_own = f"install the extra {EXTRA}, or set learner.kind: own"
    try:
        check_installed(SETTING)
    except ConfigError:
        raise ConfigError(f"{SETTING} needs {DISTRIBUTION}, which is not installed; {or_own}") from None
    version = importlib.metadata.version(DISTRIBUTION)
    if version != ART_VERSION:
        raise ConfigError(f"{SETTING} is made for {DISTRIBUTION} {ART_VERSION}, here is {version}; {or_own}")
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"{SETTING} needs {', '.join(missing)}, not installed here; {or_own}")
    art = config.learner.art
    needed = max((*art.trainer_gpus, *art.inference_gpus), default=0) + 1
    if count_gpus() < needed:
        raise ConfigError(
            f"{SETTING} needs {needed} NVIDIA GPU{'s' * (needed > 1)}, here {count_gpus() or 'is none'}; "
            "set learner.kind: own"
        )
    python = config.engine.vllm.python
    if python is not None:
        if not has_vllm(python):
            raise ConfigError(
                f"engine.vllm.python: vLLM is not installed for {python}; install it there, or leave the field out "
                "for the runtime that ART installs"
            )
        return f"vLLM of {python}"
    if not os.environ.get("ART_VLLM_RUNTIME_BIN") and shutil.which("uv") is None:
        raise ConfigError(
            f"{SETTING}: ART installs its vLLM with uv, which is not on PATH; install uv, or name the interpreter of "
            "an environment with vLLM in engine.vllm.python"
        )
    return "ART's own runtime"


class ArtLearner(ProcessLearner):
    """Starts, feeds and stops the process that ART lives in."""

    module = "tac_rl.learning.art_worker"
    stop_seconds = 40.0
    """The server has to end first."""

    def __init__(
        self, config: RunConfig, *, folder: Path, scratch: Path, log: Path, longest_row: int
    ) -> None:
        """`folder`: for ART's checkpoints and the server's log; `scratch`, `log`, `longest_row`: as for
        `ProcessLearner`."""
        super().__init__(
            config.learner,
            model_path=config.model,
            scratch=scratch,
            log=log,
            iterations=config.iterations,
            seed=config.seed,
            temperature=config.rollouts.temperature,
            stages=stages_of(config),
            longest_row=longest_row,
        )
        self.config = config
        self.server_log = folder / "tac-rl" / "models" / "policy" / "logs" / "vllm-runtime.log"
        self.temporary: Path | None = None
        """Of the server that runs now."""
        self.server = ArtServer(self)
        self._newest: Path | None = None
        self.plan |= {"engine": config.engine.model_dump(mode="json"), "folder": str(folder.resolve())}

    async def start(self, resume_from: Path | None) -> None:
        """Start the process, ART's trainer and its server; see `ProcessLearner`."""
        check_art(self.config)
        await asyncio.to_thread(leftovers.sweep)
        self.temporary = leftovers.make_folder()
        self.plan |= {"temporary": str(self.temporary), "api_key": secrets.token_urlsafe(16)}
        await super().start(resume_from)
        self._newest = resume_from

    async def restart(self) -> None:
        """Everything anew, from the last adapter."""
        await self.stop()
        await self.start(self._newest)

    async def step(self, groups: Sequence[Group], version: int, out: Path) -> StepResult:
        result = await super().step(groups, version, out)
        self._newest = result.adapter
        return result

    async def stop(self) -> None:
        """End process and server; safe to call twice and after a crash."""
        await super().stop()
        folder, self.temporary = self.temporary, None
        if folder is not None:  # Its guard has removed it, unless it was killed.
            await asyncio.to_thread(remove_folder, folder)


class ArtServer:
    """ART's vLLM server, as the engine sees it."""

    process_group = None

    def __init__(self, learner: ArtLearner) -> None:
        self._learner = learner
        self.base_url = ""
        self.api_key = ""

    @property
    def folder(self) -> Path | None:
        return self._learner.temporary

    @property
    def rests_by_itself(self) -> bool:
        return self._learner.settings.art.shared

    async def start(self) -> None:
        """The server that the learner has started; where it doesn't answer any more, a new one."""
        learner = self._learner
        try:
            if not await self._answers():
                await learner.restart()
            if not await self._answers():
                raise EngineError(f"ART's vLLM server does not answer; {learner.server_log} may say why")
        except LearnerError as error:
            raise EngineError(f"ART's vLLM server could not be started: {error}") from error
        self.base_url, self.api_key = learner.told["url"], learner.plan["api_key"]

    async def stop(self) -> None:
        """It ends with the learner."""

    async def _answers(self) -> bool:
        if self._learner.process is None:
            return False
        try:
            return await healthy(self._learner.told["url"], LOOK_SECONDS, lambda: True)
        except (TimeoutError, aiohttp.ClientError):
            return False
