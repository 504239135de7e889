"""The contract of a gateway, for whoever runs rollouts: in this process, or a service's."""

from typing import Protocol

from tac_rl.gateway.recording import Recording
from tac_rl.serving.base import Sampling
from tac_rl.serving.endpoint import Endpoint


class OpenSession(Protocol):
    """One rollout's endpoint, and what is recorded there."""

    id: str
    endpoint: Endpoint

    async def close(self) -> Recording: ...


class SessionDoor(Protocol):
    """Gives every rollout an endpoint of its own. Raises `InfrastructureError` where the gateway fails."""

    async def open(
        self,
        rollout_id: str,
        *,
        version: int,
        sampling: Sampling,
        context_limit: int,
        max_calls: int | None = None,
    ) -> OpenSession:
        """See `tac_rl.gateway.server.Gateway.open`."""
        ...

    async def close(self, session: OpenSession) -> Recording:
        """End a session (calls in flight are given up) and hand out what it recorded."""
        ...

    async def base_endpoint(self, *, context_limit: int) -> Endpoint:
        """Where the base model answers whoever is no rollout."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text for the engine's model."""
        ...
