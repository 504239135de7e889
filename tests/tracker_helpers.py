"""An office of which only the tracker and control are served; their applications are made once for all tests."""

from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

from office_helpers import ServedOffice, served_office

from tac_rl.office.base import ServiceName
from tac_rl.office.doors import Applications

SERVICES = (ServiceName.TRACKER, ServiceName.CONTROL)


@lru_cache(1)
def _applications() -> Applications:
    return Applications(SERVICES)


def served_tracker(
    folder: Path, overlay: dict[str, Any] | None = None
) -> AbstractContextManager[ServedOffice]:
    return served_office(folder, overlay, services=SERVICES, applications=_applications())
