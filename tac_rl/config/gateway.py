"""The `gateway` section: the endpoint between every agent and the engine."""

from pathlib import Path

from pydantic import Field

from tac_rl.config.base import Section


class GatewaySection(Section):
    """The OpenAI-compatible server on the loopback address."""

    socket: Path | None = None
    """Unix socket of a gateway that runs as a service (`tac-rl serve-part gateway`), which then has the engine and
    says where its HTTP door is; None: in the trainer's process."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port on 127.0.0.1; 0 takes a free one."""
    call_timeout_s: float = Field(default=300.0, gt=0)
    """Longest time the engine may take for one call; after that the rollout has an infrastructure failure."""
    max_calls: int = Field(default=500, ge=1)
    """Model calls one rollout may make, whatever its agent's own limit is."""
    max_request_mb: int = Field(default=32, ge=1)
    """Largest request body in MiB."""
