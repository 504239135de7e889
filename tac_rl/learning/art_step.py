"""One step with ART: groups in, an adapter of ART's trainer and metrics out; and ART's server, started.

What is learnt from, ties, advantages, the learning rate's schedule and the probe are those of our learner
(`step.py`); the update is ART's: one for each row, one after the other.
"""

import json
import math
import os
import random
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from art.vllm_runtime import _runtime_command_prefix
from safetensors import SafetensorError
from safetensors.torch import load_file

from tac_rl.config.engine import EngineSection
from tac_rl.errors import AdapterError, LearnerError
from tac_rl.learning.art_rows import packed_tensors
from tac_rl.learning.art_service import OPTIMISER, LocalModel, RowBackend, RowService
from tac_rl.learning.art_settings import model_config, row_length, server_config, train_arguments
from tac_rl.learning.base import Group
from tac_rl.learning.batching import TrainRow, check_tokens, train_rows
from tac_rl.learning.identity import fingerprint
from tac_rl.learning.selection import select
from tac_rl.learning.stages import learning_rate, stage_at
from tac_rl.learning.step import LearnerPlan, probe_ids, resolved_loss
from tac_rl.serving import guard
from tac_rl.serving.hardware import has_gpu
from tac_rl.serving.model_folder import context_length
from tac_rl.serving.vllm_server import HOST, claim_port, server_environment

FORMAT = "art"
"""In `learner.json`: adapters of our own learner have a number there, and another optimiser."""
PROJECT, NAME = "tac-rl", "policy"
RUNTIME = Path(__file__).parents[1] / "serving" / "art_runtime.py"
KEPT = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class ArtPlan(LearnerPlan):
    """All that the process is told once."""

    engine: EngineSection = field(default_factory=EngineSection)
    folder: Path = Path()
    """For ART's checkpoints and logs; emptied at the start."""
    temporary: Path = Path()
    """The server's own folder for temporary files (`serving/leftovers.py`)."""
    api_key: str = ""


class ArtStepLearner:
    """ART's backend with one model, inside its process."""

    def __init__(self, plan: ArtPlan, resume_from: Path | None) -> None:
        """Raises `AdapterError` where the directory to resume from is not one of this learner and model."""
        settings = plan.settings
        self.plan = plan
        self.version = 0
        self.base = fingerprint(plan.model_path)
        self.context = context_length(plan.model_path, plan.engine.max_model_len)
        self.folder = plan.folder / PROJECT / "models" / NAME
        shutil.rmtree(self.folder, ignore_errors=True)  # of a process before this one
        self.folder.mkdir(parents=True)
        self.probe: tuple[tuple[int, ...], tuple[float, ...]] | None = None
        """Token ids, and the trainer's log-probabilities of all but the first, under the weights of `version`."""
        self.optimiser = resume_from / OPTIMISER if resume_from is not None else None
        if resume_from is not None:
            self._lay_out(resume_from)
        config = model_config(
            settings,
            model_path=plan.model_path,
            context=self.context,
            seed=plan.seed,
            folder=self.folder,
        )
        given: Any = config
        self.model: Any = LocalModel(
            name=NAME,
            project=PROJECT,
            base_model=str(plan.model_path),
            base_path=str(plan.folder),
            _internal_config=given,
        )
        self.backend = RowBackend(plan.folder, config)

    @property
    def service(self) -> RowService:
        return self.backend.service(self.model)

    @property
    def vocabulary(self) -> int:
        state: Any = self.service._state
        return int(state.model.get_output_embeddings().weight.shape[0])

    async def start(self) -> dict[str, Any]:
        """Load the model and start ART's vLLM server; where it listens."""
        engine, shared = self.plan.engine, self.plan.settings.art.shared
        port = claim_port(engine.vllm.port)
        os.environ.update(server_environment(engine, self.plan.api_key, self.plan.temporary))
        command = [*(sys.executable, guard.__file__), "--folder", str(self.plan.temporary)]
        if engine.vllm.python is not None:
            command += [str(engine.vllm.python), str(RUNTIME)]
        else:
            command += _runtime_command_prefix()  # installs ART's runtime where it isn't there
        os.environ["ART_VLLM_RUNTIME_BIN"] = shlex.join(command)
        os.environ["ART_DEDICATED_VLLM_TIMEOUT"] = str(engine.start_timeout_s)
        await self.backend.register(self.model)
        service = self.service
        service.chunk = self.plan.settings.art.logprob_chunk
        arguments: Any = server_config(
            engine, model_path=self.plan.model_path, port=port, context=self.context, gpu=has_gpu()
        )
        await self.backend._prepare_backend_for_training(self.model, arguments)
        if self.optimiser is not None and self.optimiser.is_file():
            await service._state.load_optimizer_state(str(self.optimiser.parent))
        return {"url": f"http://{HOST}:{port}", "shared": shared}

    async def step(self, groups: Sequence[Group], version: int, out: Path) -> tuple[dict[str, float], str]:
        """As `StepLearner.step`. What ART doesn't tell is NaN."""
        if version != self.version + 1:
            raise LearnerError(
                f"step to version {version}, but ART's trainer is at {self.version} and counts by one"
            )
        started = time.perf_counter()
        stages = self.plan.stages
        stage = stage_at(stages, version) if stages else None
        settings = stage.settings if stage is not None else self.plan.settings
        loss = resolved_loss(settings)
        kept = select(groups, loss, settings)
        rows = train_rows(kept)
        check_tokens(rows, self.vocabulary, self.plan.model_path)
        first, iterations = (stage.first, stage.iterations) if stage else (1, self.plan.iterations)
        rate = learning_rate(settings, version - first, iterations)
        skipped = kept.nothing or ("" if rows else "no sampled token in the groups with variance")
        told: dict[str, float] = {}
        if not skipped:
            longest = max(len(row.inputs) + 1 for row in rows)
            length = settings.art.packed_length or row_length(longest, settings.art.logprob_chunk)
            random.seed((self.plan.seed << 32) + version)  # ART shuffles rows by it
            self.backend.next_tensors = packed_tensors(
                rows, loss.normalisation, settings.constant_tokens, length
            )
            self.service.probe_ids = probe_ids(rows, self.vocabulary)
            told, skipped = await self._train(train_arguments(settings, loss, rate=rate))
        if skipped:
            await self._stay(rows)
        self._save(version, out)
        self.version = version
        seconds = time.perf_counter() - started
        inputs = sum(len(row.inputs) + 1 for row in rows)
        cuda = torch.cuda.is_available()
        metrics = {
            "loss": told.get("loss/train", math.nan),
            "grad_norm": told.get("loss/grad_norm", math.nan),
            "entropy": told.get("loss/entropy", math.nan),
            **dict.fromkeys(("mismatch_kl", "ratio_mean", "clipped_share"), math.nan),
            "updates": 0.0 if skipped else float(len(rows)),
            "tokens": float(inputs),
            "sampled_tokens": float(sum(len(row.targets) for row in rows)),
            "tokens_per_s": inputs / seconds,
            "trained_groups": 0.0 if skipped else float(len(kept.groups)),
            "trained_rollouts": 0.0 if skipped else float(len({row.rollout for row in rows})),
            "zero_variance_share": kept.zero_variance_share,
            "seconds": seconds,
            "peak_memory_mb": torch.cuda.max_memory_allocated() / 2**20 if cuda else math.nan,
            "learning_rate": rate,
        }
        return metrics, skipped

    async def _train(self, arguments: dict[str, Any]) -> tuple[dict[str, float], str]:
        """ART's update; its metrics, and why it was taken back (or nothing)."""
        # Its messages stay empty: tokens come from the rows, and what ART counts of groups is not used.
        result = await self.backend.train(self.model, [], **arguments)
        if result.step != self.version + 1:
            raise LearnerError(f"ART wrote step {result.step}, expected {self.version + 1}")
        self.probe = self.service.probe_ids, self.service.probe_logprobs
        weights = load_file(self._checkpoint(result.step) / KEPT[1])
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())
        if finite and all(map(math.isfinite, self.probe[1])):
            return result.metrics, ""
        # ART has nothing to take a step back with but its checkpoint of the step before.
        self.probe = None
        (self.folder / OPTIMISER).unlink()
        before = self._checkpoint(self.version)
        await self.service._state.load_lora_adapter(str(before))
        if (before / OPTIMISER).is_file():
            await self.service._state.load_optimizer_state(str(before))
        shutil.rmtree(self._checkpoint(result.step))
        return {}, "the weights were not finite after ART's update; those of the version before are back"

    async def _stay(self, rows: Sequence[TrainRow]) -> None:
        """The next version's weights are the present ones."""
        here, there = self._checkpoint(self.version), self._checkpoint(self.version + 1)
        shutil.copytree(here, there)
        self.service._latest_step = self.version + 1
        if self.probe is None:
            ids = probe_ids(rows, self.vocabulary)
            self.service.probe_ids = ids
            await self.service.score_between_steps()
            self.probe = ids, self.service.probe_logprobs

    def _checkpoint(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"{step:04d}"

    def _save(self, version: int, out: Path) -> None:
        """Write the new directory `out` from ART's checkpoint, and forget ART's older ones."""
        if out.exists():
            raise AdapterError(f"{out} exists already; a version is written once, to a new folder")
        checkpoint = self._checkpoint(version)
        optimiser = self.folder / OPTIMISER
        if optimiser.is_file():
            optimiser.replace(checkpoint / OPTIMISER)
        assert self.probe is not None
        token_ids, logprobs = self.probe
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(f".{out.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name in (*KEPT, OPTIMISER):
            if (checkpoint / name).is_file():
                shutil.copy(checkpoint / name, partial / name)
        _write(partial / "probe.json", {"token_ids": token_ids, "logprobs": logprobs})
        _write(partial / "learner.json", {"format": FORMAT, "version": version, "base": self.base})
        partial.rename(out)
        for step in range(version):
            shutil.rmtree(self._checkpoint(step), ignore_errors=True)

    def _lay_out(self, directory: Path) -> None:
        """An adapter directory as the checkpoint that ART goes on from."""
        try:
            state = json.loads((directory / "learner.json").read_text(encoding="utf-8"))
            probe = json.loads((directory / "probe.json").read_text(encoding="utf-8"))
            config = json.loads((directory / KEPT[0]).read_text(encoding="utf-8"))
            self.version = int(state["version"])
            self.probe = tuple(probe["token_ids"]), tuple(probe["logprobs"])
            load_file(directory / KEPT[1])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise AdapterError(f"{directory}: not an adapter to resume from ({error})") from error
        if state.get("format") != FORMAT:
            raise AdapterError(f"{directory}: made with learner.kind: own; resume with that")
        if state.get("base") != self.base:
            raise AdapterError(
                f"{directory}: made for another base model; resume with the model that the run was started with"
            )
        lora = self.plan.settings.lora
        if (config.get("r"), config.get("lora_alpha")) != (lora.rank, lora.alpha):
            raise AdapterError(
                f"{directory}/{KEPT[0]}: r and lora_alpha are {config.get('r')} and {config.get('lora_alpha')}, the "
                f"config gives {lora.rank} and {lora.alpha}; resume with the config that the run was started with"
            )
        checkpoint = self._checkpoint(self.version)
        shutil.copytree(directory, checkpoint)
        # The base model may lie elsewhere by now.
        _write(checkpoint / KEPT[0], {**config, "base_model_name_or_path": str(self.plan.model_path)})


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
