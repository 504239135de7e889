"""Named snapshots, built by code. Importing this makes nothing: the generators are imported when they are called."""

from collections.abc import Callable, Mapping

from tac_rl.office.overlay import Overlay


def _bare() -> Overlay:
    from tac_rl.office.seeds.bare import bare

    return bare()


def _company() -> Overlay:
    from tac_rl.office.seeds.company import company

    return company()


SNAPSHOTS: Mapping[str, Callable[[], Overlay]] = {"bare": _bare, "company": _company}
"""Name -> what is laid over an empty office to make it."""
