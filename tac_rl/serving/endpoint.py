"""Where a model answers, in OpenAI's protocol."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible chat endpoint: of one rollout, or of the base model."""

    base_url: str
    """Ends in `/v1`."""
    api_key: str
    model: str
