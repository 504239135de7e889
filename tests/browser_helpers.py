"""A real browser in a real sandbox for tests, driven without an agent."""

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tac_rl.agents.factory import equipment_of
from tac_rl.agents.openhands import browser as browsers
from tac_rl.agents.openhands.worker.browser import Browser
from tac_rl.config.agent import AgentSection, OpenHandsSection
from tac_rl.sandboxes.base import Sandbox, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider

ROOMY = SandboxLimits(memory_mb=1024, processes=160)
"""Enough for any browser that this machine may have."""
CONFIG = AgentSection(name="openhands", openhands=OpenHandsSection(profile="full"))


def chromiums() -> list[str]:
    """Those of this machine; skips the test where there is none."""
    found = [path for name in browsers._PROGRAMS if (path := shutil.which(name))]
    found += [path for path in browsers._PLACES if Path(path).is_file()]
    if not found:
        pytest.skip("there is no Chromium on this machine: ./setup.sh --dev installs one")
    return found


@dataclass
class LocalAttempt:
    """Runs the browser's commands in a sandbox, as the trainer does for a worker."""

    sandbox: Sandbox
    loop: asyncio.AbstractEventLoop

    def ask(self, op: str, *, command: str, **rest: Any) -> dict[str, Any]:
        assert op == "exec"
        result = asyncio.run_coroutine_threadsafe(self.sandbox.exec(command), self.loop).result(60)
        return {"output": result.output, "exit_code": result.exit_code}


class Desk:
    """A browser in a sandbox, without an agent."""

    def __init__(self, attempt: LocalAttempt, browser: Browser) -> None:
        self._attempt = attempt
        self.browser = browser

    def run(self, command: str) -> str:
        return str(self._attempt.ask("exec", command=command)["output"])

    def do(self, action: str, *arguments: Any) -> str:
        """What the model would be told."""
        self.browser.begin()
        text = getattr(self.browser, action)(*arguments)
        return "\n".join([text, *self.browser.news()])

    def show(self, html: str) -> None:
        self._attempt.ask("exec", command=f"mkdir -p /tmp/www; cat > /tmp/www/i.html <<'E'\n{html}\nE")
        self.do("navigate", "file:///tmp/www/i.html", False)

    def state(self) -> dict[str, Any]:
        return json.loads(self.do("state"))  # type: ignore[no-any-return]

    def find(self, **wanted: Any) -> int:
        """The index of the first element that has these properties."""
        elements = self.state()["interactive_elements"]
        return next(e["index"] for e in elements if wanted.items() <= e.items())  # type: ignore[no-any-return]


@contextmanager
def a_desk() -> Iterator[Desk]:
    chromiums()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    provider = BubblewrapProvider()
    try:
        sandbox = run(provider.start(SandboxSpec("desk", ROOMY).equipped(equipment_of(CONFIG))))
        found = run(browsers.find(sandbox, CONFIG))
        assert found is not None
        browser = Browser(LocalAttempt(sandbox, loop), found.program, found.listener.dup())  # type: ignore[arg-type]
        try:
            yield Desk(LocalAttempt(sandbox, loop), browser)
        finally:
            browser.drop()
            browser._listener.close()
    finally:
        run(provider.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
