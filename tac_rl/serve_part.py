"""The door to parts as services: `python tac_rl/serve_part.py office --socket /run/tac-rl/office/s`.

Each part (engine, gateway, office) listens on a Unix socket and gives every trainer that connects a process of its
own; see `tac_rl/parts.py`. The trainer's config names the sockets.
"""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tac_rl.doors import run_door
from tac_rl.parts import Part, Service, ping


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="serve_part.py",
        description="Run one part of the system as a service; the trainer's config names it.",
    )
    parser.add_argument("part", choices=("engine", "gateway", "office"))
    parser.add_argument(
        "--socket", type=Path, required=True, help="the Unix socket that the trainer connects to"
    )
    parser.add_argument("--check", action="store_true", help="ask whether the service answers, and end")
    http = parser.add_argument_group("the gateway's HTTP door, for agents")
    http.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    http.add_argument("--port", type=int, default=0, help="port (default: any free one)")
    http.add_argument("--url", help="how agents reach it, such as http://gateway:8000 (default: the address)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    if args.check:
        print(json.dumps(ping(args.socket)))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    return asyncio.run(_serve(Service(_part(args), args.socket)))


def _part(args: argparse.Namespace) -> Part:
    # Imported here, so that --check takes a tenth of a second.
    from tac_rl.gateway.remote import gateway_part
    from tac_rl.office.build import tenants_folder
    from tac_rl.serving.links import engine_environment

    if args.part == "engine":
        return Part("tac_rl.serving.worker", environment=engine_environment)
    if args.part == "gateway":
        return gateway_part(host=args.host, port=args.port, url=args.url)
    return Part("tac_rl.office.server", prepare=tenants_folder)


async def _serve(service: Service) -> int:
    """Until Ctrl-C or SIGTERM."""
    serving = asyncio.create_task(service.serve())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()
    return 0


if __name__ == "__main__":
    sys.exit(run_door(main))
