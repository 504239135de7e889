"""The browser of a sandbox, from the trainer's side: whether there is one, and what a sandbox must have for it.

It runs in the sandbox and nowhere else. The sandbox listens at a port of its own loopback, and the listening socket
goes to the worker; the browser, once started, connects there with its DevTools pipe (`worker/browser.py`).
"""

import shlex
import socket
from dataclasses import dataclass

from tac_rl.config.agent import BROWSER_MB, BROWSER_PROCESSES, AgentSection
from tac_rl.errors import AgentWorkerError
from tac_rl.sandboxes.base import NO_EQUIPMENT, Equipment, Sandbox

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
_PLAYWRIGHT = (
    "/ms-playwright/chromium_headless_shell-*/*/*shell",
    "/ms-playwright/chromium-*/*/chrome",
)
"""Where Playwright's own images have theirs; other folders of its are in homes, which sandboxes have empty."""
# One that only says how to install it (a snap's stub) doesn't count, so each is asked for its version.
_LOOK = (
    "(for program in $(command -v {programs}) {patterns}; do "
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
    limits, listener = sandbox.spec.limits, sandbox.listeners.get(PORT)
    if listener is None:
        why = f"has no port {PORT}: start it with the agent's equipment"
    elif limits.memory_mb < BROWSER_MB or limits.processes < BROWSER_PROCESSES:
        why = f"may use {limits.memory_mb} MB and {limits.processes} processes: set sandbox.memory_mb to {BROWSER_MB}"
        why += f" and sandbox.processes to {BROWSER_PROCESSES} or more"
    elif (program := await _look(sandbox)) is not None:
        return SandboxBrowser(program, listener)
    else:
        why = f"has no Chromium: install one of {', '.join(_PROGRAMS)} in its image"
        why += " (bubblewrap: on this machine, below /usr)"
    if config.openhands.browser == "on":
        raise AgentWorkerError(
            f"agent.openhands.browser is on, but sandbox {sandbox.spec.name} {why}; or set it to auto or off"
        )
    return None


async def _look(sandbox: Sandbox) -> str | None:
    names = " ".join(map(shlex.quote, _PROGRAMS))
    command = _LOOK.format(programs=names, patterns=" ".join(_PLAYWRIGHT))
    found = (await sandbox.exec(command, timeout_s=_LOOK_SECONDS)).output.split()
    return found[0] if found else None
