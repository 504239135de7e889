"""What the office's registry knows of this service."""

from tac_rl.office.base import Service, ServiceName
from tac_rl.office.chat.api import make_app
from tac_rl.office.chat.lay import lay
from tac_rl.office.chat.schema import SCHEMA

CHAT = Service(name=ServiceName.CHAT, schema=SCHEMA, folders=("chat",), make_app=make_app, lay=lay)
