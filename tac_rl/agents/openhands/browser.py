"""The browser of a sandbox, from the trainer's side: whether there is one, and what a sandbox must have for it.

It runs in the sandbox and nowhere else. The sandbox listens at a port of its own loopback, and the listening socket
goes to the worker; the browser, once started, connects there with its DevTools pipe (`worker/browser.py`).
"""

import shlex
import socket
from dataclasses import dataclass

from tac_rl.config.agent import (
    BROWSER_MB,
    BROWSER_PROCESSES,
    WHOLE_BROWSER_MB,
    WHOLE_BROWSER_PROCESSES,
    AgentSection,
)
from tac_rl.errors import AgentWorkerError
from tac_rl.sandboxes.base import NO_EQUIPMENT, Equipment, Sandbox, SandboxLimits

PORT = 4020
"""In sandboxes, where their browser meets the worker."""

_PROGRAMS = (
    # The lighter first: a headless shell is a Chromium without windows.
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
)
_PLACES = (
    # Programs behind the launchers of Debian, Arch and Fedora, which want more of /etc than a sandbox may have.
    "/usr/lib/chromium/chromium",
    "/usr/lib64/chromium-browser/chromium-browser",
    # Where Playwright's own images have theirs; other folders of its are in homes, which sandboxes have empty.
    "/ms-playwright/chromium_headless_shell-*/*/*shell",
    "/ms-playwright/chromium-*/*/chrome",
)
# One that only says how to install it (a snap's stub) doesn't count, so each is asked for its version.
_LOOK = (
    "(for program in $(command -v {programs}) {places}; do "
    'if [ -x "$program" ] && timeout 10 "$program" --version >/dev/null 2>&1; then echo "$program"; break; fi; '
    "done; true)"
)
_LOOK_SECONDS = 60.0


@dataclass(frozen=True)
class SandboxBrowser:
    """A browser that can be started in a sandbox."""

    program: str
    listener: socket.socket
    """Where it connects, once started; the sandbox's own."""


def equipment_of(config: AgentSection) -> Equipment:
    """What a sandbox must have for its browser, if any."""
    section = config.openhands
    wanted = section.placement == "worker" and section.profile == "full" and section.browser != "off"
    return Equipment(ports=(PORT,)) if wanted else NO_EQUIPMENT


async def find(sandbox: Sandbox, config: AgentSection) -> SandboxBrowser | None:
    """The sandbox's browser; None where it has none, or too little memory or too few processes for one.

    `AgentWorkerError` where the config demands one. Call it before the model's first turn: it believes the shell.
    """
    if not equipment_of(config).ports:
        return None
    listener = sandbox.listeners.get(PORT)
    program = await _look(sandbox)
    if listener is None:
        why = f"has no port {PORT}: start it with the agent's equipment"
    elif program is None:
        why = f"has no Chromium: install one of {', '.join(_PROGRAMS)} in its image"
        why += " (bubblewrap: on this machine, below /usr)"
    elif too_little := _too_little(program, sandbox.spec.limits):
        why = f"gives {program} too little: set {too_little}"
    else:
        return SandboxBrowser(program, listener)
    if config.openhands.browser == "on":
        raise AgentWorkerError(
            f"agent.openhands.browser is on, but sandbox {sandbox.spec.name} {why}; or set it to auto or off"
        )
    return None


def _too_little(program: str, limits: SandboxLimits) -> str:
    """What must be set for a browser to have room; empty where it has."""
    shell = "headless" in program.rpartition("/")[2]
    memory_mb, processes = (
        (BROWSER_MB, BROWSER_PROCESSES) if shell else (WHOLE_BROWSER_MB, WHOLE_BROWSER_PROCESSES)
    )
    if limits.memory_mb >= memory_mb and limits.processes >= processes:
        return ""
    return f"sandbox.memory_mb to {memory_mb} and sandbox.processes to {processes} or more"


async def _look(sandbox: Sandbox) -> str | None:
    names = " ".join(map(shlex.quote, _PROGRAMS))
    command = _LOOK.format(programs=names, places=" ".join(_PLACES))
    found = (await sandbox.exec(command, timeout_s=_LOOK_SECONDS)).output.split()
    return found[0] if found else None
