"""What `python -m tac_rl.office` and `tac-rl office` do."""

import argparse
import asyncio
import signal
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tac_rl.config.office import ColleaguesSection
from tac_rl.errors import OfficeError
from tac_rl.office import base
from tac_rl.office.base import PASSWORD, PORTS, ServiceName
from tac_rl.office.importing import cli as importing
from tac_rl.office.overlay_file import read_overlay
from tac_rl.office.server import OfficeServer
from tac_rl.office.snapshots import Snapshots
from tac_rl.office.tenants import Origin, TenantStore
from tac_rl.office.verbs import mcp_server

TENANT = "company"
_LOGINS = {
    ServiceName.CHAT: f"{base.AGENT_CHAT} / {PASSWORD}",
    ServiceName.FORGE: f"{base.AGENT_FORGE} / {PASSWORD}",
    ServiceName.TRACKER: f"{base.AGENT_TRACKER} / {PASSWORD}",
    ServiceName.DRIVE: f"{base.AGENT_DRIVE} / {PASSWORD}",
    ServiceName.CONTROL: "",
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tac_rl.office", description="The company's services.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="serve a company on this machine, for a browser or curl")
    serve.add_argument("--snapshot", default="company", help="what it starts from (default: %(default)s)")
    serve.add_argument("--overlay", type=Path, action="append", default=[], help="YAML file laid over it")
    serve.add_argument("--seed", type=int, default=0)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument(
        "--port-base",
        type=int,
        help="listen on five ports from here on (default: TAC's own ports; 0: any free ones)",
    )
    serve.add_argument("--save", metavar="NAME", help="keep the company as a snapshot when it ends")
    verbs.add_parser("snapshots", help="list what tenants can be made of")
    importing.add_arguments(verbs.add_parser("import", help="read a running stack through its APIs"))
    mcp_server.add_arguments(verbs.add_parser("mcp", help="the command line's verbs as MCP tools, on stdio"))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    if args.verb == "snapshots":
        for name in Snapshots().names():
            print(name)
        return 0
    if args.verb == "import":
        return importing.run(args)
    if args.verb == "mcp":
        return mcp_server.run(args)
    return asyncio.run(_serve(args))


async def _serve(args: argparse.Namespace) -> int:
    """Until Ctrl-C or SIGTERM."""
    console = Console(highlight=False, soft_wrap=True)
    origin = Origin(args.snapshot, tuple(read_overlay(path) for path in args.overlay), args.seed)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with tempfile.TemporaryDirectory(prefix="tac-rl-office-") as folder:
        store = TenantStore(Path(folder))
        server = OfficeServer(store, ColleaguesSection())
        listeners = _listen(args.host, args.port_base)
        try:
            await server.make(TENANT, origin)
            await server.serve(TENANT, listeners)
            for port, listener in listeners.items():
                name = next(service for service, number in PORTS.items() if number == port)
                address = f"http://{args.host}:{listener.getsockname()[1]}"
                console.print(f"{name.value:8} {address:28} {_LOGINS[name]}", style=None)
            console.print("Ctrl-C ends it; nothing is kept" + (f" but {args.save}" if args.save else ""))
            await ended.wait()
            await server.shut(TENANT)
            if args.save:
                console.print(f"saved as {store.save(TENANT, args.save)}")
        finally:
            await server.close()
    return 0


def _listen(host: str, port_base: int | None) -> dict[int, socket.socket]:
    """A listener for each of TAC's ports; `OfficeError` names the one that is taken."""
    listeners: dict[int, socket.socket] = {}
    for offset, port in enumerate(PORTS.values()):
        wanted = port if port_base is None else port_base + offset if port_base else 0
        try:
            listeners[port] = socket.create_server((host, wanted))
        except OSError as error:
            for listener in listeners.values():
                listener.close()
            raise OfficeError(
                f"can't listen on {host}:{wanted} ({error.strerror}); choose other ports with --port-base"
            ) from None
    return listeners
