"""API keys as clients send them: `Authorization: Bearer KEY`."""

import hmac
from collections.abc import Iterable


def accepts(keys: Iterable[str], authorization: str) -> bool:
    """Whether the header carries one of the keys. Every key is compared, each in constant time."""
    given = authorization.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(given, f"Bearer {key}".encode()) for key in keys]
    return True in matches
