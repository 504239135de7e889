"""Times as the forge stores and shows them."""

from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)
EPOCH = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""When things happened that an overlay gives no time, and nothing came before."""


def stamp(moment: datetime) -> str:
    """`2026-03-02T09:00:00.000Z`; a time without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        moment = moment.replace(tzinfo=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z".rjust(24, "0")


def moment_of(text: str) -> datetime:
    """The reverse of `stamp`."""
    return datetime.fromisoformat(text)
