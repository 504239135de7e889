"""The `agent` section: who works, and how long."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from tac_rl.config.base import Section

SERVER_MB, SERVER_PROCESSES = 1024, 128
"""Least memory, and processes with threads, of a sandbox that holds an agent-server and what it runs."""

BROWSER_MB, BROWSER_PROCESSES = 512, 64
"""Least memory, and processes with threads, of a sandbox in which a browser can be used: a headless shell takes some
200 MB and 50 threads of them."""
WHOLE_BROWSER_MB, WHOLE_BROWSER_PROCESSES = 1024, 160
"""The same for a Chromium that has windows too: some 430 MB and 100 threads."""


class OpenHandsSection(Section):
    """What `agent.name: openhands` needs besides."""

    python: Path | None = None
    """The interpreter of an environment with openhands-sdk and openhands-tools; unset: the one that
    `./setup.sh --openhands` made."""
    placement: Literal["worker", "container"] = "worker"
    """`worker`: the agent is a process of ours outside, and only its tools act in the sandbox: quick, nothing of it
    is in the model's reach. `container`: the stock arrangement, OpenHands' own agent-server with its own tools inside
    each rollout's container; needs `sandbox.kind: docker`, `profile: full`, and half a minute for every start."""
    profile: Literal["compact", "full"] = "compact"
    """`compact`: one system sentence, a shell tool and `finish`, as the built-in agent has them, for small models.
    `full`: OpenHands' stock prompt, terminal and file editor, and its browser tools as `browser` says."""
    browser: Literal["auto", "on", "off"] = "auto"
    """For `profile: full` with `placement: worker`. `auto`: the browser tools are there in sandboxes that have a
    Chromium (below /usr on this machine, or in the image) and the memory and processes for it; it is started in the
    sandbox by their first use. `on`: a sandbox without one fails the attempt, with the reason. `off`: never."""
    workers: int = Field(default_factory=lambda: min(2, os.cpu_count() or 1), ge=1, le=16)
    """Processes that drive the conversations, any number each; one does 80 to 100 turns a second. As many as there
    are cores, at most two, where nothing is said."""
    start_seconds: float = Field(default=180.0, gt=0)
    """Longest wait for a worker, or an agent-server in a container, to import OpenHands (ten seconds on an idle
    machine)."""
    libraries: Path | None = None
    """For `placement: container`: the folder with the agent-server's libraries; unset: the one that
    `./setup.sh --openhands --docker` made."""


class AgentSection(Section):
    """The agent and its limits."""

    name: str = "toolcall"
    """`toolcall`, `openhands`, `openai-agents`, `oracle`, `nop` or `script:FILE`; training needs one that uses the
    model (the first three)."""
    max_turns: int = Field(default=12, ge=1)
    """Model calls of one attempt; a package's metadata may set its own."""
    seconds: float = Field(default=120.0, gt=0)
    """Wall-clock time of one attempt."""
    max_malformed: int = Field(default=3, ge=1)
    """Malformed tool calls in a row after which the agent has failed."""
    call_timeout_s: float = Field(default=330.0, gt=0)
    """Longest wait for one model call; longer than the gateway's own limit, so that its error arrives."""
    openhands: OpenHandsSection = OpenHandsSection()
