"""What the office's registry knows of this service."""

from tac_rl.office.base import Service, ServiceName
from tac_rl.office.forge.api import make_app
from tac_rl.office.forge.lay import lay
from tac_rl.office.forge.repositories import clone_repositories, pack_repositories
from tac_rl.office.forge.schema import SCHEMA

FORGE = Service(
    name=ServiceName.FORGE,
    schema=SCHEMA,
    folders=("repositories",),
    make_app=make_app,
    lay=lay,
    clone=clone_repositories,
    compact=pack_repositories,
)
