"""Lay this service's section of an overlay over a tenant."""

from tac_rl.office.overlay import ForgeOverlay
from tac_rl.office.tenant import Tenant


def lay(tenant: Tenant, overlay: ForgeOverlay) -> None:
    """Add what the overlay names."""
