"""Lay this service's section of an overlay over a tenant."""

from tac_rl.office.overlay import DriveOverlay
from tac_rl.office.tenant import Tenant


def lay(tenant: Tenant, overlay: DriveOverlay) -> None:
    """Add what the overlay names."""
