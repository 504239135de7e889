"""Lay this service's section of an overlay over a tenant."""

from tac_rl.office.overlay import TrackerOverlay
from tac_rl.office.tenant import Tenant


def lay(tenant: Tenant, overlay: TrackerOverlay) -> None:
    """Add what the overlay names."""
