"""OpenHands' own Python environment: made by `setup.sh --openhands`, found by the config or at its usual place.

It is apart from ours because its SDK needs Python 3.12, and a litellm that other parts of ours can't share.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tac_rl.errors import ConfigError
from tac_rl.tac.environment import find_python as find_newer_python

REQUIREMENTS = ("openhands-sdk>=1.58,<1.59", "openhands-tools>=1.58,<1.59")
"""One minor version: the worker overrides how the SDK's agent reads replies and how its LLM reaches the model, and
those are methods that the SDK doesn't promise to keep. Patch releases are welcome."""

_INSTALL_SECONDS = 3600
_PROBE_SECONDS = 60


def default_folder() -> Path:
    """`.venv-openhands`, beside the environment that runs this."""
    return Path(sys.prefix).parent / ".venv-openhands"


def find_python(configured: Path | None) -> Path:
    """The interpreter of OpenHands' environment; `ConfigError` with the fix where there is none."""
    python = configured or default_folder() / "bin" / "python"
    if not python.is_file():
        raise ConfigError(
            f"agent.openhands.python: there is no {python}: make OpenHands' environment with ./setup.sh --openhands, "
            "or name the interpreter of one that has openhands-sdk and openhands-tools"
        )
    return python


def make(folder: Path, say: Callable[[str], None]) -> None:
    """Make the environment where it is missing or holds other versions; `ConfigError` where that can't be done."""
    stamp = folder / "tac-rl-requirements"
    wanted = "\n".join(REQUIREMENTS)
    if (folder / "bin" / "python").is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise ConfigError(f"{folder}: holds something else; name a new folder")
    python = find_newer_python()
    say(f"creating {folder} with {python}")
    shutil.rmtree(folder, ignore_errors=True)
    run_install([python, "-m", "venv", str(folder)], "make the environment")
    say("installing OpenHands (half a gigabyte)")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run_install([*pip, *REQUIREMENTS], "install OpenHands")
    stamp.write_text(wanted)


def run_install(command: list[str], purpose: str) -> None:
    """Run a step of an installation; `ConfigError` says what could not be done, and why."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"could not {purpose}: {error}") from error
    if done.returncode != 0:
        raise ConfigError(
            f"could not {purpose} (exit status {done.returncode}): {done.stderr.strip()[-800:]}"
        )


if __name__ == "__main__":
    try:
        make(default_folder(), lambda text: print(f"setup: {text}", flush=True))
    except ConfigError as error:
        sys.exit(f"setup: {error}")
