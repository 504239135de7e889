"""The control service has no state of its own."""

from tac_rl.office.overlay import Overlay
from tac_rl.office.tenant import Tenant


def lay(tenant: Tenant, overlay: Overlay) -> None:
    """Nothing: an overlay has no section for it."""
