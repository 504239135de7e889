"""Build the parts that a config names, wire them, and take them down again: what every door stands on."""

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tac_rl.agents.base import AgentStep
from tac_rl.agents.factory import agent_maker, equipment_of, make_agent
from tac_rl.agents.scripted import Demonstrator
from tac_rl.config.engine import EngineSection
from tac_rl.config.run import RunConfig
from tac_rl.curriculum.sampling import Curriculum
from tac_rl.errors import ConfigError, RunError
from tac_rl.gateway.base import SessionDoor
from tac_rl.gateway.remote import RemoteGateway
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.learning.art_learner import ArtLearner, check_art
from tac_rl.learning.cores import cores_for_learner, kept_off
from tac_rl.learning.identity import identity_of
from tac_rl.learning.process import ProcessLearner
from tac_rl.learning.recorded import RowKeeper, planned_stages, traces_of
from tac_rl.learning.stages import stages_of
from tac_rl.loop import TrainingLoop
from tac_rl.memory_plan.placement import Placement, place
from tac_rl.memory_plan.plan import MemoryPlan, make_plan
from tac_rl.memory_plan.shape import read_shape
from tac_rl.office.build import build_office
from tac_rl.office.overlay import Overlay
from tac_rl.office.process import Office
from tac_rl.rewards.build import build_ruler, check_ruler
from tac_rl.rollouts.attempts import Attempts
from tac_rl.rollouts.rewarding import Rewarder
from tac_rl.rollouts.rollout import RolloutResult, Workshop, run_rollout
from tac_rl.runs.reader import RunReader
from tac_rl.runs.store import RunStore
from tac_rl.sandboxes.base import SandboxProvider
from tac_rl.sandboxes.select import make_limits, make_provider
from tac_rl.serving.base import BASE_VERSION
from tac_rl.serving.build import build_engine, choose_engine
from tac_rl.serving.card import find_cards, pretended_card, this_cpu
from tac_rl.serving.hardware import count_gpus
from tac_rl.serving.model_check import check_model_folder
from tac_rl.serving.publishing import Publisher
from tac_rl.serving.vllm_engine import VllmEngine
from tac_rl.serving.vllm_server import Server
from tac_rl.tac.packages import package_loader
from tac_rl.tasks.company import with_overlay
from tac_rl.tasks.contract import Package
from tac_rl.tasks.demonstrations import oracle_of
from tac_rl.tasks.packages import TaskPackage, choose_packages

DEFAULT_CONTEXT = 4096
"""Tokens of prompt and completion together, where neither the config nor the model says."""


@asynccontextmanager
async def training(config: RunConfig, store: RunStore) -> AsyncIterator[TrainingLoop]:
    """Everything that a run needs, started at the store's resume point."""
    started = time.monotonic()
    packages, heldout = choose_packages(config.tasks, package_loader(config))
    check_ruler(config.rewards.ruler, own_context=context_limit(config))
    traces = traces_of(config, {p.name for p in heldout}, after=store.resume_point.iteration)
    cores = cores_for_learner(config.learner.own_cores)
    async with AsyncExitStack() as stack:
        stack.enter_context(kept_off(cores))
        provider = _sandboxes(config, stack, run=store.name)
        point = store.resume_point
        gateway: SessionDoor
        if config.learner.kind == "art":
            art = _art_learner(config, store)
            learner: ProcessLearner = art
            stack.push_async_callback(learner.stop)
            await learner.start(point.adapter)  # ART's trainer starts the server that is served from
            publisher, gateway = await _own_gateway(config, stack, store.logs, server=art.server, learns=True)
        else:
            publisher, gateway = await _served_model(config, stack, store.logs, learns=True)
            learner = _learner(config, store, place(config, publisher.engine.kind, count_gpus()), cores)
            stack.push_async_callback(learner.stop)
            async with publisher.resting():  # on one GPU, loading the model is the learner's turn
                await learner.start(point.adapter)
        office = await _office(config, (*packages, *heldout), gateway, stack, store.logs / "office.log")
        rewarder = await _rewarder(config, store, gateway, stack)
        report = await publisher.restore(point.adapter, point.version)
        if report is not None:
            store.record_publish(
                report.version, seconds=report.seconds, shift=report.probe_shift, error=report.probe_error
            )
        workshop = await _workshop(config, provider, gateway, office, stack, store.logs / "agent.log")
        store.record_timing(point.iteration, {"startup": time.monotonic() - started})
        yield TrainingLoop(
            config,
            store,
            Curriculum({p.name: p.difficulty for p in packages}, config.curriculum, config.seed),
            Attempts(config, packages, heldout, workshop),
            rewarder,
            learner,
            publisher,
            rows=RowKeeper(store.directory, identity_of(config.model)) if config.keep_rows else None,
            traces=traces,
        )


@asynccontextmanager
async def evaluation(
    config: RunConfig, run: Path, version: int | None
) -> AsyncIterator[tuple[Attempts, int]]:
    """A run's adapter beside its base model, without a learner; gives the version that is served.

    `version` None means the newest; 0 serves the base alone.
    """
    packages, heldout = choose_packages(config.tasks, package_loader(config))
    adapter, number = adapter_of(run, version)
    async with AsyncExitStack() as stack:
        provider = _sandboxes(config, stack)
        logs = Path(stack.enter_context(TemporaryDirectory(prefix="tac-rl-")))
        publisher, gateway = await _served_model(config, stack, logs)
        office = await _office(config, (*packages, *heldout), gateway, stack, logs / "office.log")
        await publisher.restore(adapter, number)
        workshop = await _workshop(config, provider, gateway, office, stack, logs / "agent.log")
        yield Attempts(config, packages, heldout, workshop), number


async def single_attempt(
    config: RunConfig,
    *,
    task: Path,
    seed: int,
    agent: str,
    run: Path | None,
    temperature: float,
    overlay: Overlay | None,
    on_instruction: Callable[[str], None],
    watch: Callable[[AgentStep], None],
) -> RolloutResult:
    """One attempt at one instance of the package in the folder `task`, with `overlay` over its company."""
    package = package_loader(config).load(task)
    config = config.model_copy(update={"agent": config.agent.model_copy(update={"name": agent})})
    async with AsyncExitStack() as stack:
        provider = _sandboxes(config, stack)
        gateway, version = None, BASE_VERSION
        colleagues_ask = bool(package.services) and config.office.colleagues.mind == "engine"
        if make_agent(agent, config.agent, demonstrator=_oracle(package)).uses_model or colleagues_ask:
            logs = Path(stack.enter_context(TemporaryDirectory(prefix="tac-rl-")))
            publisher, gateway = await _served_model(config, stack, logs)
            if run is not None:
                adapter, version = adapter_of(run, None)
                await publisher.restore(adapter, version)
        office = await _office(config, [package], gateway, stack, None)
        workshop = await _workshop(config, provider, gateway, office, stack, None)
        plan = Attempts(config, [package], [], workshop).plan(
            package, seed, version=version, temperature=temperature
        )
        if overlay is not None:
            plan = replace(plan, instance=with_overlay(plan.instance, overlay))
        on_instruction(plan.instance.instruction)
        return await run_rollout(plan, workshop, watch=watch)


@dataclass(frozen=True)
class Served:
    """A version that is served, without a learner, and where tasks can be worked on with it."""

    workshop: Workshop
    gateway: Gateway
    publisher: Publisher
    version: int
    adapter: Path | None


@asynccontextmanager
async def serving(
    config: RunConfig, run: Path, version: int | None, *, with_office: bool
) -> AsyncIterator[Served]:
    """A run's version for users: engine, gateway, sandboxes, and an office where that is wanted."""
    adapter, number = adapter_of(run, version)
    async with AsyncExitStack() as stack:
        provider = _sandboxes(config, stack)
        logs = Path(stack.enter_context(TemporaryDirectory(prefix="tac-rl-")))
        publisher, gateway = await _own_gateway(config, stack, logs)
        office = await _start_office(config, gateway, stack, logs / "office.log") if with_office else None
        await publisher.restore(adapter, number)
        workshop = await _workshop(config, provider, gateway, office, stack, logs / "agent.log")
        yield Served(workshop, gateway, publisher, number, adapter)


def plan_of(config: RunConfig, *, finished: int = 0, gpus: int | None = None) -> dict[str, Any]:
    """What `train.py` would start, as plain JSON; checks everything that can be checked without starting.

    `finished`: iterations that a run to be resumed has behind it; `gpus`: that the machine is to be taken to have.
    """
    packages, heldout = choose_packages(config.tasks, package_loader(config))
    make_provider(config.sandbox).check()
    check_model_folder(config.model)
    Renderer.from_path(config.model)
    check_ruler(config.rewards.ruler, own_context=context_limit(config))
    if config.learner.kind == "art":
        engine, reason = "vllm", f"learner.kind: art starts it ({check_art(config)})"
    elif config.gateway.socket is not None:
        engine, reason = "of the gateway", "gateway.socket names a service"
    else:
        engine, reason = choose_engine(config.engine)
    if config.gateway.socket is None:
        place(config, engine, count_gpus() if gpus is None else gpus)
    cores = sorted(cores_for_learner(config.learner.own_cores))
    own = f", on core {', '.join(map(str, cores))} alone" if cores else ""
    rollouts = config.rollouts
    return {
        "engine": engine,
        "engine_reason": reason,
        "model": str(config.model),
        "context_limit": context_limit(config),
        "sandbox": config.sandbox.kind,
        "office": config.office.mode if any(p.services for p in (*packages, *heldout)) else None,
        "agent": config.agent.name,
        "judge": _judge_name(config),
        "packages": [
            {"name": p.name, "role": p.role, "difficulty": p.difficulty, "held_out": p in heldout}
            for p in (*packages, *heldout)
        ],
        "iterations": config.iterations,
        "stages": planned_stages(config, {p.name for p in heldout}, after=finished),
        "rollouts_per_iteration": rollouts.groups * rollouts.group_size,
        "processes": [
            f"engine: {engine}",
            "learner: LoRA" + (", with ART" if config.learner.kind == "art" else "") + own,
            f"sandboxes: up to {rollouts.concurrency} at once, and one for each grading",
        ],
        "run_directory": str(config.runs_dir / (config.name or "(a new name)")),
    }


def memory_plan_of(config: RunConfig, vram_gb: Sequence[float] = ()) -> MemoryPlan:
    """What the run takes, on the cards of this machine or on some of `vram_gb`; the model's weights need not be there.

    Raises `ConfigError` where neither the model's folder nor its name tells its shape, or a GPU isn't there.
    """
    cards = [pretended_card(size) for size in vram_gb] or find_cards()
    kind = config.engine.kind
    if kind == "auto":
        kind = "vllm" if cards[0].kind == "cuda" else "transformers"
    placement = place(config, kind, len(vram_gb) or count_gpus())
    shape = read_shape(config.model)
    return make_plan(config, shape, kind, cards, placement, cpu=this_cpu(), pretended=bool(vram_gb))


def context_limit(config: RunConfig) -> int:
    """Tokens of prompt and completion together: as configured, else as the model's config says."""
    if config.engine.max_model_len is not None:
        return config.engine.max_model_len
    try:
        model = json.loads((config.model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"model: {config.model} is not a model folder: {error}") from error
    return min(int(model.get("max_position_embeddings", DEFAULT_CONTEXT)), DEFAULT_CONTEXT)


def _learner(
    config: RunConfig, store: RunStore, placement: Placement, cores: frozenset[int]
) -> ProcessLearner:
    return ProcessLearner(
        config.learner,
        model_path=config.model,
        scratch=store.directory / "scratch",
        log=store.logs / "learner.log",
        iterations=config.iterations,
        seed=config.seed,
        temperature=config.rollouts.temperature,
        stages=stages_of(config),
        longest_row=context_limit(config),
        placement=placement,
        cores=cores,
    )


def _art_learner(config: RunConfig, store: RunStore) -> ArtLearner:
    return ArtLearner(
        config,
        folder=store.directory / "art",
        scratch=store.directory / "scratch",
        log=store.logs / "learner.log",
        longest_row=context_limit(config),
    )


def _sandboxes(config: RunConfig, stack: AsyncExitStack, *, run: str = "") -> SandboxProvider:
    provider = make_provider(config.sandbox, run=run)
    provider.check()
    stack.push_async_callback(provider.close)
    return provider


async def _served_model(
    config: RunConfig, stack: AsyncExitStack, logs: Path, *, learns: bool = False
) -> tuple[Publisher, SessionDoor]:
    if config.gateway.socket is not None:
        remote = RemoteGateway(config.model, config.engine, config.gateway)
        stack.push_async_callback(remote.stop)
        await remote.start()
        placement = place(config, remote.kind, count_gpus(), learns=learns)
        return Publisher(remote, config.engine.publish, sleeper=remote if placement.turns else None), remote
    return await _own_gateway(config, stack, logs, learns=learns)


async def _own_gateway(
    config: RunConfig,
    stack: AsyncExitStack,
    logs: Path,
    *,
    server: Server | None = None,
    learns: bool = False,
) -> tuple[Publisher, Gateway]:
    """In this process, whatever `gateway.socket` says. `server`: of `build_engine`."""
    kind = VllmEngine.kind if server is not None else choose_engine(config.engine)[0]
    placement = place(config, kind, count_gpus(), learns=learns)
    engine = build_engine(_placed(config.engine, placement), config.model, logs, server=server)
    stack.push_async_callback(engine.stop)
    await engine.start()
    gateway = Gateway(engine, Renderer.from_path(config.model), config.gateway)
    stack.push_async_callback(gateway.stop)
    await gateway.start()
    sleeper = engine if isinstance(engine, VllmEngine) and placement.turns else None
    return Publisher(engine, config.engine.publish, sleeper=sleeper), gateway


def _placed(engine: EngineSection, placement: Placement) -> EngineSection:
    """The section with what `auto` and nothing said came to on this machine."""
    vllm = engine.vllm.model_copy(update={"gpus": placement.engine})
    return engine.model_copy(update={"time_sharing": "on" if placement.turns else "off", "vllm": vllm})


async def _office(
    config: RunConfig,
    packages: Sequence[Package],
    gateway: SessionDoor | None,
    stack: AsyncExitStack,
    log: Path | None,
) -> Office | None:
    """Started; None where no package needs the company's services."""
    if not any(package.services for package in packages):
        return None
    return await _start_office(config, gateway, stack, log)


async def _start_office(
    config: RunConfig, gateway: SessionDoor | None, stack: AsyncExitStack, log: Path | None
) -> Office:
    base_model = None
    if gateway is not None and config.office.colleagues.mind == "engine":
        base_model = await gateway.base_endpoint(context_limit=context_limit(config))
    office = build_office(
        config.office, log=log, runtime_dir=config.sandbox.runtime_dir, base_model=base_model
    )
    stack.push_async_callback(office.stop)
    await office.start()
    return office


async def _rewarder(
    config: RunConfig, store: RunStore, gateway: SessionDoor, stack: AsyncExitStack
) -> Rewarder:
    settings = config.rewards.ruler
    ruler = None
    if settings.mode != "off":
        context = context_limit(config)
        base_model = await gateway.base_endpoint(context_limit=context)
        ruler = await build_ruler(settings, base_model, own_context=context, own_count=gateway.count_tokens)
    if ruler is not None:
        stack.callback(ruler.close)
    return Rewarder(settings, ruler, store, config.seed)


def _judge_name(config: RunConfig) -> str | None:
    ruler = config.rewards.ruler
    if ruler.mode == "off":
        return None
    return f"{ruler.mode}: {ruler.judge.model or 'the base model, on the engine of the run'}"


async def _workshop(
    config: RunConfig,
    provider: SandboxProvider,
    gateway: SessionDoor | None,
    office: Office | None,
    stack: AsyncExitStack,
    agent_log: Path | None,
) -> Workshop:
    make = await stack.enter_async_context(
        agent_maker(config.agent, log=agent_log, runtime_dir=config.sandbox.runtime_dir)
    )

    return Workshop(
        sandboxes=provider,
        sandbox_limits=make_limits(config.sandbox),
        agent_for=lambda package: make(_oracle(package)),
        gateway=gateway,
        context_limit=context_limit(config) if gateway is not None else DEFAULT_CONTEXT,
        office=office,
        equipment=equipment_of(config.agent),
        record_changes=config.office.record_changes,
    )


def _oracle(package: Package | None) -> Demonstrator | None:
    return oracle_of(package) if isinstance(package, TaskPackage) else None


def adapter_of(run: Path, version: int | None) -> tuple[Path | None, int]:
    """The adapter directory of a run's version; the newest where `version` is None."""
    if version == BASE_VERSION:
        return None, BASE_VERSION
    with RunReader(run) as reader:
        versions = {v.version: v.path for v in reader.versions()}
    if not versions and version is None:
        return None, BASE_VERSION
    number = max(versions) if version is None else version
    path = versions.get(number)
    if path is None or not path.is_dir():
        kept = sorted(v for v, folder in versions.items() if folder.is_dir())
        raise RunError(f"{run}: version {number} is not there (kept: {', '.join(map(str, kept)) or 'none'})")
    return path, number
