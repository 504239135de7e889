"""The `agent` section: who works, and how long."""

from pydantic import Field

from tac_rl.config.base import Section


class AgentSection(Section):
    """The agent and its limits."""

    name: str = "toolcall"
    """`toolcall`, `oracle`, `nop` or `script:FILE`; training needs one that uses the model (`toolcall`)."""
    max_turns: int = Field(default=12, ge=1)
    """Model calls of one attempt; a package's metadata may set its own."""
    seconds: float = Field(default=120.0, gt=0)
    """Wall-clock time of one attempt."""
    max_malformed: int = Field(default=3, ge=1)
    """Malformed tool calls in a row after which the agent has failed."""
    call_timeout_s: float = Field(default=330.0, gt=0)
    """Longest wait for one model call; longer than the gateway's own limit, so that its error arrives."""
