"""`python -m tac_rl.office import`: read a running stack and keep it as an overlay or a snapshot."""

import argparse
import asyncio
import sys
from typing import Any

from tac_rl.errors import ConfigError
from tac_rl.office import base
from tac_rl.office.base import PASSWORD
from tac_rl.office.importing.chat import import_chat
from tac_rl.office.importing.drive import import_drive
from tac_rl.office.importing.forge import import_forge
from tac_rl.office.importing.people import People
from tac_rl.office.importing.saving import save
from tac_rl.office.importing.tracker import import_tracker
from tac_rl.office.overlay import Overlay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The import's options. Accounts and tokens are TAC's unless others are given."""
    for name, port in base.PORTS.items():
        if name is not base.ServiceName.CONTROL:
            parser.add_argument(f"--{name}", metavar="URL", help=f"such as http://localhost:{port}")
    parser.add_argument(
        "--out", metavar="FILE.yaml|SNAPSHOT", required=True, help="an overlay, or a snapshot's name"
    )
    parser.add_argument(
        "--user", default=base.AGENT_CHAT, help="account of chat and drive (default: %(default)s)"
    )
    parser.add_argument("--password", default=PASSWORD, help="of the accounts in chat, forge and drive")
    parser.add_argument("--forge-token", default=base.FORGE_TOKEN, help="an administrator's (default: TAC's)")
    parser.add_argument("--tracker-key", default=base.TRACKER_KEY, help="API key (default: TAC's)")
    parser.add_argument(
        "--workspace", default=base.TRACKER_WORKSPACE, help="of the tracker (default: %(default)s)"
    )
    parser.add_argument(
        "--projects", nargs="*", metavar="GROUP/NAME", help="only these of the forge (default: all)"
    )
    parser.add_argument(
        "--commits", type=int, default=500, help="newest commits of a project; 1 joins the rest"
    )
    parser.add_argument(
        "--most-mb", type=float, default=20.0, help="larger files are left out (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """0, or an error of the office's vocabulary."""
    overlay = asyncio.run(import_stack(args))
    print(f"saved as {save(overlay, args.out)}")
    return 0


async def import_stack(args: argparse.Namespace) -> Overlay:
    """What the given services hold. People come from the first service that knows them."""
    if not any((args.chat, args.forge, args.tracker, args.drive)):
        raise ConfigError("import: name at least one service: --chat, --forge, --tracker or --drive")
    people = People()
    sections: dict[str, Any] = {}
    most = int(args.most_mb * 1e6)
    if args.chat:
        _tell(f"reading the chat at {args.chat}")
        sections["chat"] = await import_chat(
            args.chat, people, _tell, username=args.user, password=args.password
        )
    if args.tracker:
        _tell(f"reading the tracker at {args.tracker}")
        sections["tracker"] = await import_tracker(
            args.tracker, people, _tell, key=args.tracker_key, workspace=args.workspace
        )
    if args.forge:
        _tell(f"reading the forge at {args.forge}")
        sections["forge"] = await import_forge(
            args.forge, people, _tell, token=args.forge_token, password=args.password,
            only=args.projects, most_commits=args.commits, most_bytes=most,
        )  # fmt: skip
    if args.drive:
        _tell(f"reading the drive at {args.drive}")
        sections["drive"] = await import_drive(
            args.drive, _tell, username=args.user, password=args.password, most_bytes=most
        )
    return Overlay.model_validate({"people": people.overlays(), **sections})


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
