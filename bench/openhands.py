"""What a turn of OpenHands costs besides the model: worker, gateway, sandbox, with an engine that takes no time.

`turns`: the compact profile, one conversation at a time and 8 at once, through the real gateway and in real
bubblewrap sandboxes; the built-in agent and the full profile for comparison. A turn is a model call and one
command (`cat notes.txt | sort > out.txt`). `start`: until a worker is ready. Prints one JSON line per
measurement. `python bench/openhands.py [--workers N]`; needs ./setup.sh --openhands.

`--placement container`: the stock arrangement beside ours, each in a Docker container: from the attempt's begin to
its first turn, a turn, and the memory of the container's processes; needs ./setup.sh --openhands --docker.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import Sequence

import docker
from gateway import TINY, InstantFakeEngine, ms

from tac_rl.agents.base import Agent, AgentLimits, AgentStep, Ending, Workplace
from tac_rl.agents.openhands.agent import OpenHandsAgent
from tac_rl.agents.openhands.container.agent import ContainerAgent
from tac_rl.agents.toolcall import ToolCallAgent
from tac_rl.config.agent import SERVER_MB, SERVER_PROCESSES, AgentSection, OpenHandsSection
from tac_rl.config.sandbox import DockerSection
from tac_rl.gateway.renderer import Renderer
from tac_rl.gateway.server import Gateway
from tac_rl.sandboxes.base import NO_EQUIPMENT, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.sandboxes.docker.provider import DockerProvider, DockerSandbox
from tac_rl.serving.base import Completion, Sampling

TURNS, ROUNDS, AT_ONCE = 20, 10, 8


class InstantTerminalEngine(InstantFakeEngine):
    """The fake that answers at once, calling the full profile's terminal; never twice the same, which is "stuck"."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__(renderer)
        self._renderer = renderer
        self._numbers = itertools.count()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        command = f"cat notes.txt | sort > out.{next(self._numbers)}"
        text = json.dumps({"name": "terminal", "arguments": {"command": command}})
        ids = self._renderer.text_ids(f"<tool_call>\n{text}\n</tool_call>")
        ids.append(self._renderer.stop_token_ids[0])
        return Completion(tuple(ids), (-0.1,) * len(ids), "stop")


class Bench:
    """The parts that all measurements share."""

    def __init__(self, gateway: Gateway, provider: BubblewrapProvider) -> None:
        self._gateway = gateway
        self._provider = provider
        self._number = 0

    async def attempt(self, agent: Agent) -> list[float]:
        """Seconds of each turn but the first, which makes the conversation."""
        self._number += 1
        name = f"bench-{self._number}"
        sandbox = await self._provider.start(SandboxSpec(name))
        await sandbox.exec("seq 9 > notes.txt")
        session = await self._gateway.open(name, version=0, sampling=Sampling(), context_limit=200_000)
        times: list[float] = []

        def watch(step: AgentStep) -> None:
            assert step.result is not None and step.result.exit_code == 0, step
            times.append(time.perf_counter())

        limits = AgentLimits(max_turns=TURNS, seconds=600)
        report = await agent.work("Sort the notes.", Workplace(sandbox), session.endpoint, limits, watch)
        recording = await self._gateway.close(session)
        await sandbox.stop()
        assert report.ending is Ending.OUT_OF_TURNS, report
        assert len(recording.rows) == 1, "continuity is broken"
        return [after - before for before, after in itertools.pairwise(times)]

    async def measure(self, agent: Agent, label: str) -> None:
        for _ in range(2):
            await self.attempt(agent)  # warming up
        turns = [turn for _ in range(ROUNDS) for turn in await self.attempt(agent)]
        cuts = statistics.quantiles(turns, n=100)
        tell("turn", agent=label, conversations=1, turns=len(turns), p50_ms=ms(cuts[49]), p99_ms=ms(cuts[98]))
        rates = []
        for _ in range(ROUNDS // 2):
            started = time.perf_counter()
            await asyncio.gather(*(self.attempt(agent) for _ in range(AT_ONCE)))
            rates.append(AT_ONCE * TURNS / (time.perf_counter() - started))
        tell(
            "turns_per_second",
            agent=label,
            conversations=AT_ONCE,
            median=round(statistics.median(rates), 1),
            rounds=[round(rate, 1) for rate in rates],
        )


def tell(measure: str, **numbers: object) -> None:
    print(json.dumps({"bench": "openhands", "measure": measure, **numbers}), flush=True)


async def run_all(workers: int) -> None:
    renderer = Renderer.from_path(TINY)
    provider = BubblewrapProvider()
    try:
        for profile, engine in (("compact", InstantFakeEngine), ("full", InstantTerminalEngine)):
            gateway = Gateway(engine(renderer), renderer)  # type: ignore[arg-type]
            await gateway.start()
            section = OpenHandsSection(profile=profile, workers=workers)
            agent = OpenHandsAgent(AgentSection(name="openhands", openhands=section))
            bench = Bench(gateway, provider)
            try:
                started = time.perf_counter()
                await agent.start()
                tell("start", workers=workers, seconds=round(time.perf_counter() - started, 1))
                if profile == "compact":
                    await bench.measure(ToolCallAgent(), "toolcall")
                await bench.measure(agent, f"openhands {profile}, {workers} worker(s)")
            finally:
                await agent.stop()
                await gateway.stop()
    finally:
        await provider.close()


async def watch_memory(container: str, memory: list[int]) -> None:
    """Note the memory of a container's processes every half second (control groups 1 and 2 name it differently)."""
    client = docker.from_env().api
    while True:
        stats = await asyncio.to_thread(client.stats, container, stream=False, one_shot=True)
        found = stats.get("memory_stats", {}).get("stats", {})
        memory.append(found.get("rss", found.get("anon", 0)))
        await asyncio.sleep(0.5)


async def run_placements() -> None:
    """One attempt of each placement after the other, in containers of the same kind."""
    renderer = Renderer.from_path(TINY)
    provider = DockerProvider(DockerSection(pool=0))
    gateway = Gateway(InstantTerminalEngine(renderer), renderer)  # type: ignore[arg-type]
    await gateway.start()
    outside = OpenHandsAgent(AgentSection(name="openhands", openhands=OpenHandsSection(profile="full")))
    section = OpenHandsSection(profile="full", placement="container", start_seconds=600)
    inside = ContainerAgent(AgentSection(name="openhands", openhands=section))
    try:
        await outside.start()
        for number in range(2):
            for label, agent, equipment in (
                ("worker", outside, NO_EQUIPMENT),
                ("container", inside, inside.equipment),
            ):
                spec = SandboxSpec(
                    f"bench-{label}-{number}", SandboxLimits(memory_mb=SERVER_MB, processes=SERVER_PROCESSES)
                )
                sandbox = await provider.start(spec.equipped(equipment))
                assert isinstance(sandbox, DockerSandbox)
                await sandbox.exec("seq 9 > notes.txt")
                session = await gateway.open(spec.name, version=0, sampling=Sampling(), context_limit=200_000)
                memory: list[int] = []
                watching = asyncio.create_task(watch_memory(sandbox.container, memory))
                begun = time.perf_counter()
                times: list[float] = []
                report = await agent.work(
                    "Sort the notes.",
                    Workplace(sandbox),
                    session.endpoint,
                    AgentLimits(max_turns=TURNS, seconds=600),
                    lambda step, times=times: times.append(time.perf_counter()),  # type: ignore[misc]
                )
                recording = await gateway.close(session)
                watching.cancel()
                await sandbox.stop()
                turns = [after - before for before, after in itertools.pairwise(times)]
                tell(
                    "placement",
                    placement=label,
                    ending=report.ending,
                    rows=len(recording.rows),
                    first_turn_done_s=round(times[0] - begun, 2),
                    turn_p50_ms=ms(statistics.median(turns)),
                    container_mb=max(memory, default=0) >> 20,
                    load=round(os.getloadavg()[0], 1),
                )
    finally:
        await outside.stop()
        await gateway.stop()
        await provider.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    usual = OpenHandsSection().workers
    parser.add_argument("--workers", type=int, default=usual, help="worker processes (default: %(default)s)")
    parser.add_argument(
        "--placement",
        choices=("worker", "container"),
        default="worker",
        help="container: both, in containers",
    )
    arguments = parser.parse_args()
    if arguments.placement == "container":
        asyncio.run(run_placements())
    else:
        asyncio.run(run_all(arguments.workers))


if __name__ == "__main__":
    main()
