"""What a browser in a sandbox costs: its start, each kind of action on the company's pages, its memory and threads.

A browser is driven as the OpenHands worker drives it, in a bubblewrap sandbox with a company of its own: it signs in to
the forge and goes through issues. `at_once`: so many sandboxes with a browser each, one thread each; memory counts what
they share once. Prints one JSON line per measurement. `python bench/browser.py [--at-once N]`; needs a Chromium
(./setup.sh --dev).
"""

import argparse
import asyncio
import json
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tac_rl.agents.factory import equipment_of
from tac_rl.agents.openhands import browser as browsers
from tac_rl.agents.openhands.worker.browser import Browser
from tac_rl.config.agent import AgentSection, OpenHandsSection
from tac_rl.config.office import OfficeSection
from tac_rl.office.base import PASSWORD, PORTS
from tac_rl.office.build import build_office
from tac_rl.office.process import Office
from tac_rl.sandboxes.base import Sandbox, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider

FORGE = "http://the-agent-company.com:8929"
ISSUES = 8
CONFIG = AgentSection(name="openhands", openhands=OpenHandsSection(profile="full", browser="on"))
USE = (
    "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/{s+=$2} END{print int(s/1024)}'; "
    "cat /proc/[0-9]*/status 2>/dev/null | awk '/^Threads/{s+=$2} END{print s}'"
)


class LocalAttempt:
    """Runs the browser's commands in the sandbox, as the trainer does for a worker."""

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self._sandbox = sandbox
        self._loop = loop

    def ask(self, op: str, *, command: str, **rest: Any) -> dict[str, Any]:
        done = asyncio.run_coroutine_threadsafe(self._sandbox.exec(command), self._loop).result(60)
        return {"output": done.output}


def browse(browser: Browser) -> tuple[dict[str, list[float]], float]:
    """Seconds of each action by kind, and the processor seconds that this side took for all of them."""
    seconds: dict[str, list[float]] = defaultdict(list)
    used = time.thread_time()

    def do(kind: str, action: Callable[..., str], *arguments: Any) -> str:
        begun = time.perf_counter()
        browser.begin()
        text = action(*arguments)
        seconds[kind].append(time.perf_counter() - begun)
        return text

    def index_of(tag: str, text: str) -> int:
        elements = json.loads(do("get_state", browser.state))["interactive_elements"]
        found: int = next(e["index"] for e in elements if e["tag"] == tag and text in (e["text"], e.get("label")))
        return found

    do("first navigate, with the start", browser.navigate, f"{FORGE}/users/sign_in", False)
    do("type", browser.type, index_of("input", "Username or primary email"), "root")
    do("type", browser.type, index_of("input", "Password"), PASSWORD)
    do("click", browser.click, index_of("button", "Sign in"), False)
    for number in range(1, ISSUES + 1):
        do("navigate", browser.navigate, f"{FORGE}/root/tidewater/-/issues/{number}", False)
        do("get_content", browser.content, False, 0)
        do("click", browser.click, index_of("a", "Issues"), False)
        do("go_back", browser.back)
        do("scroll", browser.scroll, "down")
    return seconds, time.thread_time() - used


async def work(
    provider: BubblewrapProvider, office: Office, name: str
) -> tuple[dict[str, list[float]], float, str]:
    lease = await office.lease(name, "company", (), seed=1)
    spec = SandboxSpec(name, SandboxLimits(memory_mb=1024, processes=160), ports=tuple(PORTS.values()))
    sandbox = await provider.start(spec.equipped(equipment_of(CONFIG)))
    try:
        await lease.serve({port: sandbox.listeners[port] for port in PORTS.values()})
        begun = time.perf_counter()
        found = await browsers.find(sandbox, CONFIG)
        looked = time.perf_counter() - begun
        assert found is not None
        attempt: Any = LocalAttempt(sandbox, asyncio.get_running_loop())
        browser = Browser(attempt, found.program, found.listener.dup())
        try:
            seconds, used = await asyncio.to_thread(browse, browser)
            seconds["look for one"].append(looked)
            return seconds, used, (await sandbox.exec(USE)).output
        finally:
            browser.drop()
    finally:
        await sandbox.stop()
        await lease.close()


async def main(at_once: int) -> None:
    provider, office = BubblewrapProvider(), build_office(OfficeSection())
    try:
        await office.start()
        for number in (1, at_once):
            done = await asyncio.gather(
                *(work(provider, office, f"bench-{number}-{n}") for n in range(number))
            )
            for kind in done[0][0]:
                values = [value for seconds, _, _ in done for value in seconds[kind]]
                line = {"at_once": number, "action": kind, "n": len(values)}
                print(json.dumps({**line, "median_ms": round(statistics.median(values) * 1000, 1)}))
            actions = sum(len(values) for seconds, _, _ in done for values in seconds.values())
            longest = max(sum(map(sum, seconds.values())) for seconds, _, _ in done)
            memory, threads = (int(value) for value in re.findall(r"\d+", done[0][2])[:2])
            used = sum(used for _, used, _ in done) / actions * 1000
            line = {
                "at_once": number,
                "actions_per_s": round(actions / longest, 1),
                "our_cpu_ms_per_action": round(used, 2),
            }
            print(json.dumps({**line, "sandbox_mb": memory, "sandbox_threads": threads}))
    finally:
        await office.stop()
        await provider.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--at-once", type=int, default=4)
    asyncio.run(main(parser.parse_args().at_once))
