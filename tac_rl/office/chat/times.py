"""Times as the chat keeps them: milliseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

from tac_rl.office.chat.refusals import Refused
from tac_rl.office.tenant import Tenant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

FOUNDED = (datetime(2026, 3, 2, 9, 0, tzinfo=UTC) - _EPOCH) // _MILLISECOND
"""When nothing came before."""
MINUTE = 60_000
DAY = 24 * 60 * MINUTE


def to_ms(when: datetime) -> int:
    """UTC is meant where no zone is given."""
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - _EPOCH) // _MILLISECOND


def now_ms(tenant: Tenant) -> int:
    return to_ms(tenant.now())


def iso(ms: int) -> str:
    """`2026-03-02T09:00:00.000Z`, as Rocket.Chat's REST API gives every time."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_ms(text: str, parameter: str) -> int:
    """A time in a request: ISO 8601, or milliseconds since 1970; refused when it is neither."""
    if text.isdecimal() and 10 <= len(text) <= 14:
        return int(text)
    for spelling in (text, text.replace(" ", "+")):  # a + that was not escaped arrives as a space
        try:
            return to_ms(datetime.fromisoformat(spelling))
        except (ValueError, OverflowError):
            continue
    raise Refused("error-invalid-date", f'The "{parameter}" parameter must be a valid date.')
