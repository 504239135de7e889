"""The validation itself: looks, tries, and gathers the lines."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tac_rl.memory_plan.card import Card
from tac_rl.serving.card import Gpu, ask_nvidia_smi, find_cards, this_cpu, total_memory
from tac_rl.validation import cards, machine, models, versions
from tac_rl.validation.lines import Line, Verdict

if TYPE_CHECKING:
    from tac_rl.config.run import RunConfig
    from tac_rl.memory_plan.plan import MemoryPlan

ROOT = Path(__file__).resolve().parents[2]
SECONDS = {"look": 120, "speed": 180, "train": 300, "vllm": 600}
NEEDED_TO_PLAN = ("pydantic", "yaml")
WITHOUT_GPU = "configs/tiny_cpu.yaml"


@dataclass
class Report:
    """What was found."""

    lines: list[Line] = field(default_factory=list)
    config: str = ""
    """The config to use, or that was asked about."""
    chosen: bool = True
    """Whether the validation chose it."""
    memory: dict[str, Any] | None = None
    speed: dict[str, Any] | None = None
    seconds_per_iteration: dict[str, float] | None = None
    can_run: list[str] = field(default_factory=list)
    """Configs whose plan fits this machine."""

    @property
    def usable(self) -> bool:
        return all(line.verdict is not Verdict.FAIL for line in self.lines)

    def document(self) -> dict[str, Any]:
        return {
            "usable": self.usable,
            "config": self.config,
            "config_chosen": self.chosen,
            "can_run": self.can_run,
            "seconds_per_iteration": self.seconds_per_iteration,
            "memory": self.memory,
            "speed": self.speed,
            "lines": [line.document() for line in self.lines],
        }


def validate(
    config_file: Path | None, adapter: Path | None, *, quick: bool, say: Callable[[str], None]
) -> Report:
    """Look at everything. `say` is told what is being tried. Raises `ConfigError` for a config that can't be read."""
    report = Report(chosen=config_file is None)
    found = versions.installed()
    gpus, problem = ask_nvidia_smi()
    say("asking torch what it sees")
    torch = _torch(found)
    machine_cards = find_cards()
    can_plan = all(importlib.util.find_spec(name) for name in NEEDED_TO_PLAN)
    config, plan = None, None
    if can_plan:
        config, plan = _choose(report, config_file, machine_cards)
    else:
        report.config = str(config_file or WITHOUT_GPU)
    needs_gpu = plan is not None and plan.engine_kind == "vllm" and config is not None
    report.lines.append(machine.python_line((sys.version_info[0], sys.version_info[1], sys.version_info[2])))
    agent = config.agent.name if config else ""
    other = machine.other_python_line(
        (sys.version_info[0], sys.version_info[1], sys.version_info[2]), agent == "openhands"
    )
    report.lines += [other] if other else []
    report.lines += versions.version_lines(found, needs=_needs(config, plan))
    report.lines += cards.gpu_lines(gpus, problem, torch, wanted=needs_gpu)
    _machine(report, config, plan)
    if config is not None:
        if config.learner.kind == "art":
            report.lines.append(_art_line(config))
        report.lines.append(models.model_line(config.model))
        if adapter is not None:
            report.lines.append(models.adapter_line(adapter, config.model))
    if not quick and torch.version is not None:
        _tries(report, config, plan, found, gpus, say)
    elif quick:
        report.lines.append(Line("trials", Verdict.NOTE, "left out (--quick): speed, training step, generation"))
    return report


def _choose(report: Report, config_file: Path | None, found: list[Card]) -> "tuple[RunConfig, MemoryPlan]":
    """The config asked about, or the largest whose plan fits. `found`: the machine's cards."""
    from tac_rl.errors import ConfigError
    from tac_rl.validation.estimate import CANDIDATES

    fitting: dict[str, tuple[RunConfig, MemoryPlan]] = {}
    for name in (*CANDIDATES, WITHOUT_GPU):
        if (ROOT / name).is_file():
            with contextlib.suppress(ConfigError):  # It wants a GPU more than there is.
                config, plan = _planned(ROOT / name, found)
                on_gpu = plan.card.kind == "cuda" and plan.card.bfloat16
                if plan.fits and (plan.engine_kind != "vllm" or on_gpu):
                    fitting[name] = (config, plan)
    report.can_run = list(fitting)
    if config_file is not None:
        report.config = str(config_file)
        return _planned(config_file, found)
    on_cpu = found[0].kind == "cpu" or WITHOUT_GPU not in fitting or len(fitting) == 1
    report.config = WITHOUT_GPU if on_cpu else next(iter(fitting))
    return fitting.get(report.config) or _planned(ROOT / report.config, found)


def _planned(file: Path, found: list[Card]) -> "tuple[RunConfig, MemoryPlan]":
    from tac_rl.config.loading import load_config
    from tac_rl.config.run import RunConfig
    from tac_rl.memory_plan.placement import place
    from tac_rl.memory_plan.plan import make_plan
    from tac_rl.memory_plan.shape import read_shape

    config = load_config(RunConfig, file)
    if not config.model.is_absolute():  # As the doors see it from the repository's folder.
        config = config.model_copy(update={"model": _shown(ROOT / config.model)})
    kind = config.engine.kind
    if kind == "auto":
        kind = "vllm" if found[0].kind == "cuda" and found[0].bfloat16 else "transformers"
    placement = place(config, kind, sum(card.kind == "cuda" for card in found))
    return config, make_plan(config, read_shape(config.model), kind, found, placement, cpu=this_cpu())


def _shown(path: Path) -> Path:
    """Relative to the current folder where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _needs(config: "RunConfig | None", plan: "MemoryPlan | None") -> frozenset[str]:
    needs = set()
    if config is not None and plan is not None:
        served_here = config.engine.vllm.python is None and config.learner.kind == "own"
        if plan.engine_kind == "vllm" and served_here:
            needs.add("vllm")
        if config.learner.base_weights == "nf4":
            needs.add("bitsandbytes")
    return frozenset(needs)


def _machine(report: Report, config: "RunConfig | None", plan: "MemoryPlan | None") -> None:
    lines = report.lines
    to_download = 0
    if plan is not None and config is not None:
        report.memory = plan.document()
        from tac_rl.memory_plan.learner import weight_bytes

        lines.append(machine.memory_line(total_memory(), plan.host))
        if plan.on_gpu:
            lines.append(_plan_line(plan))
        if not config.model.is_dir():
            to_download = weight_bytes(plan.shape, "bfloat16")
    lines.append(machine.disk_line(Path.cwd(), to_download))
    kind = config.sandbox.kind if config is not None else "bubblewrap"
    if kind != "docker":
        lines.append(machine.isolation_line())
    lines.append(machine.docker_line(kind == "docker"))
    ports = {}
    if config is not None:
        ports = {"gateway.port": config.gateway.port, "engine.vllm.port": config.engine.vllm.port or 0}
    lines.append(machine.ports_line(ports))


def _art_line(config: "RunConfig") -> Line:
    """Whether ART's trainer and server can be had here."""
    from tac_rl.errors import ConfigError

    try:
        from tac_rl.learning.art_learner import check_art

        return Line("ART", Verdict.OK, f"Unsloth is installed; the server is {check_art(config)}")
    except ConfigError as error:
        found, _, fix = str(error).partition("; ")
        return Line("ART", Verdict.FAIL, found, fix)
    except ImportError as error:
        return Line("ART", Verdict.FAIL, str(error), "./setup.sh")


def _plan_line(plan: "MemoryPlan") -> Line:
    text = f"{plan.peak / 2**30:.1f} of {plan.usable / 2**30:.1f} GiB usable"
    if not plan.shared:
        sides = (plan.rollouts, plan.usable), (plan.step, plan.usable_by_learner)
        text = " and ".join(f"{need / 2**30:.1f} of {there / 2**30:.1f}" for need, there in sides) + " GiB usable"
    if plan.fits:
        return Line("memory plan", Verdict.OK, text)
    return Line("memory plan", Verdict.FAIL, text, "; ".join(plan.advice[:3]))


def _torch(found: dict[str, str]) -> cards.Torch:
    if "torch" not in found:
        return cards.Torch()
    answer, problem = attempt("look")
    if answer is None:
        return cards.Torch(version=found["torch"], problem=problem)
    return cards.Torch(**answer)


def _tries(
    report: Report,
    config: "RunConfig | None",
    plan: "MemoryPlan | None",
    found: dict[str, str],
    gpus: list[Gpu],
    say: Callable[[str], None],
) -> None:
    say("measuring products and copies")
    speed, problem = attempt("speed")
    if speed is None:
        report.lines.append(Line("speed", Verdict.FAIL, problem, "see the lines above; run it again with nothing else"))
    else:
        report.speed = speed
        name = gpus[0].name if gpus and speed["device"] == "cuda" else ""
        report.lines.append(cards.speed_line(name, speed["tflops"], speed["gb_per_s"]))
        if config is not None and plan is not None and speed["device"] == plan.load.device:
            from tac_rl.validation.estimate import seconds_per_iteration

            report.seconds_per_iteration = seconds_per_iteration(config, plan, speed["tflops"], speed["gb_per_s"])
    say("one step of training")
    trained, problem = attempt("train")
    if trained is None:
        report.lines.append(Line("training step", Verdict.FAIL, problem, "./setup.sh; then see docs/gpu.md"))
    else:
        kind = "bfloat16" if trained["bfloat16"] else "float32"
        text = f"on {trained['device']} in {kind}, gradient norm {trained['grad_norm']:.2g}"
        report.lines.append(Line("training step", Verdict.OK, text))
    _generation(report, config, plan, found, say)


def _generation(
    report: Report,
    config: "RunConfig | None",
    plan: "MemoryPlan | None",
    found: dict[str, str],
    say: Callable[[str], None],
) -> None:
    python = config.engine.vllm.python if config is not None else None
    wanted = plan is not None and plan.engine_kind == "vllm"
    if "vllm" not in found and python is None:
        return  # The libraries' lines say whether that matters.
    say("a vLLM server, started and asked (about a minute)")
    answer, problem = attempt("vllm", *([str(python)] if python else []))
    if answer is None:
        verdict = Verdict.FAIL if wanted else Verdict.WARN
        fix = "see docs/gpu.md, 'When something is wrong'" + ("" if wanted else "; this config doesn't use vLLM")
        report.lines.append(Line("vLLM", verdict, problem, fix))
    else:
        text = f"up after {answer['start_seconds']:.0f} s, generated {answer['tokens']} tokens"
        report.lines.append(Line("vLLM", Verdict.OK, text + ("" if wanted else " (not needed by this config)")))


def attempt(name: str, *arguments: str) -> tuple[dict[str, Any] | None, str]:
    """A trial's answer, or None and what went wrong."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "tac_rl.validation.trial", name, *arguments]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS[name], check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {SECONDS[name]} s"
    except OSError as error:
        return None, str(error)
    lines = said.stdout.strip().splitlines()
    if said.returncode == 0 and lines:
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer, ""
    last = [line.strip() for line in said.stderr.strip().splitlines() if line.strip()]
    return None, last[-1][:300] if last else f"ended with status {said.returncode}"
