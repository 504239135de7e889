"""git as a child process: an environment in which no configuration but ours counts, and time limits."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tac_rl.errors import OfficeError

SECONDS = 120.0
"""Longest time for one git process."""

_SETTINGS = {
    "safe.directory": "*",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.alternateRefsCommand": "true",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "receive.autogc": "false",
    "protocol.allow": "never",
}


def git_environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """For a git process; `settings` are configuration that outranks every file's."""
    configured = {**_SETTINGS, **(settings or {})}
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CONFIG_COUNT": str(len(configured)),
    }
    for index, (key, value) in enumerate(configured.items()):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    return environment


def run_git(arguments: list[str], repository: Path) -> bytes:
    """What a git command says on its output; `OfficeError` when it fails or takes too long."""
    try:
        done = subprocess.run(
            ["git", f"--git-dir={repository}", *arguments],
            env=git_environment(),
            cwd=repository,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OfficeError(f"git {arguments[0]} in {repository.name}: {error}") from error
    if done.returncode != 0:
        raise OfficeError(f"git {arguments[0]} in {repository.name}: {done.stderr.decode(errors='replace')}")
    return done.stdout
