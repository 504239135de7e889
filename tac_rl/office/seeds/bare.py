"""The people and one channel: an office for quick tests and small policies."""

from datetime import UTC, datetime, timedelta

from tac_rl.office.overlay import ChannelOverlay, ChatOverlay, MessageOverlay, Overlay
from tac_rl.office.seeds.people import person_overlays

_GREETINGS = (
    ("sarah_johnson", "Good morning everybody! A new week."),
    ("chen_xinyi", "Good morning! Lunch on Thursday comes at twelve, as always."),
    ("sarah_johnson", "@theagentcompany helps us from today on. Be kind, and say clearly what you need."),
)


def bare(seed: int = 1) -> Overlay:
    """Everybody, and #general with a greeting; the same for every seed, since there is nothing to draw."""
    del seed
    start = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    messages = tuple(
        MessageOverlay.model_validate({"from": author, "text": text, "at": start + timedelta(minutes=5 * n)})
        for n, (author, text) in enumerate(_GREETINGS)
    )
    general = ChannelOverlay(
        name="general", topic="Everything for everybody", members="everyone", messages=messages
    )
    return Overlay(people=person_overlays(), chat=ChatOverlay(channels=(general,)))
