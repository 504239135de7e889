"""What the office's registry knows of this service."""

from tac_rl.office.base import Service, ServiceName
from tac_rl.office.tracker.api import make_app
from tac_rl.office.tracker.attachments import FOLDER
from tac_rl.office.tracker.lay import lay
from tac_rl.office.tracker.schema import SCHEMA

TRACKER = Service(name=ServiceName.TRACKER, schema=SCHEMA, folders=(FOLDER,), make_app=make_app, lay=lay)
