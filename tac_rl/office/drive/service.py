"""What the office's registry knows of this service."""

from tac_rl.office.base import Service, ServiceName
from tac_rl.office.drive.api import make_app
from tac_rl.office.drive.files import FOLDER, clone_drive
from tac_rl.office.drive.lay import lay
from tac_rl.office.drive.schema import SCHEMA

DRIVE = Service(
    name=ServiceName.DRIVE, schema=SCHEMA, folders=(FOLDER,), make_app=make_app, lay=lay, clone=clone_drive
)
