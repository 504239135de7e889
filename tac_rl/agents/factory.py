"""From an agent's name in the config or on the command line to the agent."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tac_rl.agents.base import Agent
from tac_rl.agents.openai_agents import OpenAIAgentsAgent
from tac_rl.agents.openhands import browser
from tac_rl.agents.openhands.agent import OpenHandsAgent
from tac_rl.agents.openhands.container.agent import ContainerAgent
from tac_rl.agents.scripted import Demonstrator, NopAgent, OracleAgent, script_demonstrator
from tac_rl.agents.toolcall import ToolCallAgent
from tac_rl.config.agent import AgentSection
from tac_rl.errors import ConfigError
from tac_rl.sandboxes.base import NO_EQUIPMENT, Equipment

AGENTS = ("toolcall", "openhands", "openai-agents", "oracle", "nop", "script:FILE")


@asynccontextmanager
async def agent_maker(
    config: AgentSection, *, log: Path | None = None, runtime_dir: Path | None = None
) -> AsyncIterator[Callable[[Demonstrator | None], Agent]]:
    """What makes the configured agent for a package, given its demonstrator.

    An agent that holds processes is started once, serves every package, and is stopped at the end. `log`: for
    messages of such processes; `runtime_dir`: as in the section `sandbox`.
    """
    if config.name != "openhands" or config.openhands.placement == "container":
        yield lambda demonstrator: make_agent(config.name, config, demonstrator=demonstrator)
        return
    agent = OpenHandsAgent(config, log=log, runtime_dir=runtime_dir)
    try:
        await agent.start()
        yield lambda demonstrator: agent
    finally:
        await agent.stop()


def equipment_of(config: AgentSection) -> Equipment:
    """What the configured agent needs in its sandbox."""
    if config.name != "openhands":
        return NO_EQUIPMENT
    if config.openhands.placement == "container":
        return ContainerAgent(config).equipment
    return browser.equipment_of(config)


def make_agent(
    spec: str, config: AgentSection | None = None, *, demonstrator: Demonstrator | None = None
) -> Agent:
    """The agent that `spec` names (one of `AGENTS`); for `openhands`, which holds processes, see `agent_maker`.

    `demonstrator` is what `oracle` runs; an agent serves any number of rollouts, so give the oracle of one
    package its own. Raises `ConfigError` for an unknown name, an unreadable script, an oracle without one.
    """
    if spec == "toolcall":
        return ToolCallAgent(call_timeout_s=(config or AgentSection()).call_timeout_s)
    if spec == "openhands":
        config = config or AgentSection(name=spec)
        return ContainerAgent(config) if config.openhands.placement == "container" else OpenHandsAgent(config)
    if spec == "openai-agents":
        return OpenAIAgentsAgent(call_timeout_s=(config or AgentSection()).call_timeout_s)
    if spec == "nop":
        return NopAgent()
    if spec == "oracle":
        if demonstrator is None:
            raise ConfigError("agent oracle: this task package has no demonstrator to run")
        return OracleAgent(demonstrator)
    if spec.startswith("script:"):
        return OracleAgent(script_demonstrator(_commands(Path(spec.removeprefix("script:")))), name=spec)
    raise ConfigError(f"agent: there is no {spec!r}; use one of {', '.join(AGENTS)}")


def _commands(path: Path) -> list[str]:
    """The commands in a script file, one a line; empty lines are skipped."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"agent script:{path}: can't read the file: {error}") from error
    return [line for line in lines if line.strip()]
