"""What the office's registry knows of this service."""

from tac_rl.office.base import Service, ServiceName
from tac_rl.office.control.api import make_app
from tac_rl.office.control.lay import lay
from tac_rl.office.control.schema import SCHEMA

CONTROL = Service(name=ServiceName.CONTROL, schema=SCHEMA, folders=(), make_app=make_app, lay=lay)
