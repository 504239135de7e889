"""GPUs: what is found, whether it will do, and what its datasheet promises."""

from collections.abc import Sequence
from dataclasses import dataclass

from tac_rl.serving.card import BF16_SINCE, Gpu
from tac_rl.validation.lines import Line, Verdict
from tac_rl.validation.versions import cuda_problem

SMALLEST_GIB = 7.0
"""Below this not even the 0.5B model's engine and learner are together on a card."""
BUSY_SHARE = 0.15
"""Of the memory in use by somebody else: said, because the plan counts on all of it."""
SLOW_SHARE = 0.5
"""Of the datasheet's rate below which something holds the card back."""


@dataclass(frozen=True)
class Datasheet:
    """Dense bfloat16 products with float32 sums, and the memory's bandwidth."""

    match: str
    tflops: float
    gb_per_s: float


DATASHEETS: tuple[Datasheet, ...] = (
    Datasheet("B200", 2250, 8000),
    Datasheet("H200", 989, 4800),
    Datasheet("H100 PCIe", 756, 2000),
    Datasheet("H100", 989, 3350),
    Datasheet("A100-SXM4-80GB", 312, 2039),
    Datasheet("A100 80GB", 312, 1935),
    Datasheet("A100", 312, 1555),
    Datasheet("L40S", 362, 864),
    Datasheet("L40", 181, 864),
    Datasheet("L4", 121, 300),
    Datasheet("RTX 6000 Ada", 364, 960),
    Datasheet("RTX A6000", 155, 768),
    Datasheet("RTX A5000", 111, 768),
    Datasheet("RTX A4000", 77, 448),
    Datasheet("A10", 125, 600),
    Datasheet("RTX 5090", 209, 1792),
    Datasheet("RTX 4090", 165, 1008),
    Datasheet("RTX 4080", 97, 717),
    Datasheet("RTX 4060 Ti", 44, 288),
    Datasheet("RTX 3090", 71, 936),
    Datasheet("RTX 3080", 59, 760),
    Datasheet("RTX 3060", 25, 360),
)
"""In the order of matching. Rates are the makers', without sparsity."""


@dataclass(frozen=True)
class Torch:
    """What torch says about itself in a process of its own; `version` None where it can't be imported."""

    version: str | None = None
    cuda: str | None = None
    """The CUDA it was built with."""
    sees_gpu: bool = False
    mps: bool = False
    problem: str = ""
    """The last line of what importing or initialising it said."""


def datasheet_of(name: str) -> Datasheet | None:
    return next((sheet for sheet in DATASHEETS if sheet.match.lower() in name.lower()), None)


def gpu_lines(gpus: Sequence[Gpu], problem: str, torch: Torch, *, wanted: bool) -> list[Line]:
    """`problem`: what nvidia-smi complained of; `wanted`: whether the chosen config needs a GPU."""
    if problem:
        return [
            Line(
                "GPU driver",
                Verdict.FAIL,
                problem,
                "install the driver again and reboot (after a kernel update it must be built anew); in a container, "
                "start it with --gpus all",
            )
        ]
    if not gpus:
        return [_no_gpu(torch, wanted)]
    lines = []
    for gpu in gpus:
        lines += _one(gpu, wanted)
    return lines + _torch_lines(gpus[0], torch)


def _no_gpu(torch: Torch, wanted: bool) -> Line:
    if torch.mps:
        return Line("GPU", Verdict.NOTE, "Apple's (mps): configs/qwen_2_5_0_5b.yaml and tiny_cpu.yaml run here")
    if wanted:
        return Line(
            "GPU",
            Verdict.FAIL,
            "none, and this config needs one",
            "use configs/tiny_cpu.yaml here, or a machine with an NVIDIA card (docs/gpu.md)",
        )
    return Line("GPU", Verdict.NOTE, "none. That is no failure: configs/tiny_cpu.yaml trains on this machine")


def _one(gpu: Gpu, wanted: bool) -> list[Line]:
    part = f"GPU {gpu.index}"
    bad = Verdict.FAIL if wanted else Verdict.WARN
    gib = gpu.total / 2**30
    capability = ".".join(map(str, gpu.capability))
    text = f"{gpu.name}, {gib:.1f} GiB, compute capability {capability}, driver {gpu.driver}"
    lines = []
    if gpu.capability == (0, 0):
        lines.append(Line(part, bad, f"{text}: the driver is too old to tell", "install driver 535 or newer"))
    elif gpu.capability < BF16_SINCE:
        lines.append(
            Line(
                part,
                bad,
                f"{text}: too old, no bfloat16 (from 8.0 on: RTX 30, A100 and newer)",
                "use a newer card; tiny_cpu.yaml runs on the CPU (engine.kind: transformers, device: cpu)",
            )
        )
    elif gib < SMALLEST_GIB:
        lines.append(
            Line(
                part,
                bad,
                f"{text}: too small for any of the GPU configs",
                "use a card of 8 GB or more, or tiny_cpu.yaml with engine.device and learner.device: cpu",
            )
        )
    else:
        lines.append(Line(part, Verdict.OK, text))
    if gpu.used > BUSY_SHARE * gpu.total:
        lines.append(
            Line(
                f"{part} memory",
                Verdict.WARN,
                f"{gpu.used / 2**30:.1f} GiB are in use by other programs",
                "end them (nvidia-smi lists them), or lower engine.vllm.gpu_memory_utilization",
            )
        )
    return lines


def _torch_lines(gpu: Gpu, torch: Torch) -> list[Line]:
    if torch.version is None:
        return []  # The libraries' lines say so.
    problem = cuda_problem(gpu.driver, torch.cuda)
    if problem:
        fix = (
            "pip install --force-reinstall 'torch>=2.8,<3' (the plain build, not +cpu)"
            if torch.cuda is None
            else "update the driver, or install a torch built with an older CUDA (pytorch.org, --index-url .../cu126)"
        )
        return [Line("CUDA and torch", Verdict.FAIL, problem, fix)]
    if not torch.sees_gpu:
        return [
            Line(
                "CUDA and torch",
                Verdict.FAIL,
                f"torch {torch.version} (CUDA {torch.cuda}) sees no GPU: {torch.problem or 'no reason given'}",
                "check CUDA_VISIBLE_DEVICES; in a container check --gpus all; else reboot after the driver's update",
            )
        ]
    return [Line("CUDA and torch", Verdict.OK, f"torch {torch.version}, CUDA {torch.cuda}, driver {gpu.driver}")]


def speed_line(name: str, tflops: float, gb_per_s: float) -> Line:
    """Measured products and copies beside the card's class."""
    text = f"products {_rate(tflops)} TFLOPS, copies {_rate(gb_per_s)} GB/s"
    sheet = datasheet_of(name)
    if sheet is None:
        return Line("speed", Verdict.OK, text)
    shares = tflops / sheet.tflops, gb_per_s / sheet.gb_per_s
    text += f": {shares[0]:.0%} and {shares[1]:.0%} of the datasheet's {sheet.tflops:g} and {sheet.gb_per_s:g}"
    if min(shares) < SLOW_SHARE:
        fix = "look at nvidia-smi -q -d PERFORMANCE: heat, a power limit, or another program hold it back"
        return Line("speed", Verdict.WARN, text, fix)
    return Line("speed", Verdict.OK, text)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
