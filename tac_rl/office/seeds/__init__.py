"""Named snapshots, built by code. Importing this makes nothing: the generators are imported when they are called."""

from collections.abc import Callable, Mapping

from tac_rl.office.overlay import ChannelOverlay, ChatOverlay, Overlay


def _bare() -> Overlay:
    from tac_rl.office.seeds.bare import bare

    return bare()


def _company() -> Overlay:
    from tac_rl.office.seeds.company import company

    return company()


def _quiet() -> Overlay:
    general = ChannelOverlay(name="general", owner="sarah_johnson", members="everyone")
    return _company().model_copy(update={"chat": ChatOverlay(channels=(general,))})


SNAPSHOTS: Mapping[str, Callable[[], Overlay]] = {"bare": _bare, "company": _company, "quiet": _quiet}
"""Name -> what is laid over an empty office to make it."""
