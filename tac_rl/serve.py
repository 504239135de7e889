"""The door to a trained policy at work: `python tac_rl/serve.py --run NAME --port 8000 --api-key-file KEYS`."""

import argparse
import asyncio
import ipaddress
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tac_rl.agents.base import AgentLimits
from tac_rl.assembly import Served, serving
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.doors import run_door
from tac_rl.errors import ConfigError, EngineError
from tac_rl.runs.reader import find_run
from tac_rl.service.app import Service, listening
from tac_rl.service.keys import read_keys
from tac_rl.service.metrics import Metrics
from tac_rl.service.solve import Solver
from tac_rl.serving.base import BASE_VERSION, Sampling

_WATCH_S = 2.0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="serve.py", description="Serve what a run trained.")
    parser.add_argument("--run", required=True, help="a run's name or directory")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where --run looks for names")
    parser.add_argument("--version", type=int, help="policy version (default: the newest; 0: the base model)")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--api-key-file", type=Path, required=True, help="file with the keys that are let in, one a line"
    )
    parser.add_argument("--office", action="store_true", help="let tasks of /solve work in a company")
    parser.add_argument(
        "--max-solving", type=int, default=4, help="tasks worked on at once (default: %(default)s)"
    )
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.FIELD=VALUE")
    args = parser.parse_args(arguments)
    if args.max_solving < 1 or not 0 <= args.port <= 65535:
        parser.error("--max-solving must be at least 1, and --port from 0 to 65535")
    return args


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    keys = read_keys(args.api_key_file)
    run = find_run(args.runs_dir, args.run)
    config = load_config(RunConfig, run / "config.yaml", args.overrides)
    asyncio.run(serve(config, run, args, keys))
    return 0


async def serve(config: RunConfig, run: Path, args: argparse.Namespace, keys: Sequence[str]) -> None:
    """Until SIGINT or SIGTERM; then what is being worked on is ended and everything taken down."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serving(config, run, args.version, with_office=args.office) as served:
        metrics = Metrics(run=run.name, version=served.version)
        service = make_service(config, run, served, keys, metrics, max_solving=args.max_solving)
        watching = asyncio.create_task(_keep_the_engine(served, metrics))
        try:
            async with listening(service, args.host, args.port) as port:
                shown = f"[{args.host}]" if ":" in args.host else args.host
                print(f"{run.name} version {served.version} at http://{shown}:{port}/v1", flush=True)
                if not _is_loopback(args.host):
                    print(
                        "warning: reachable from other machines, without TLS; put a proxy with TLS before it"
                    )
                await ended.wait()
        except OSError as error:
            raise ConfigError(
                f"--port: {args.host}:{args.port} can't be listened on ({error.strerror}); choose another"
            ) from error
        finally:
            watching.cancel()


def make_service(
    config: RunConfig, run: Path, served: Served, keys: Sequence[str], metrics: Metrics, *, max_solving: int
) -> Service:
    """The HTTP application over what `assembly.serving` started."""
    limit = served.workshop.context_limit
    names = {f"{run.name}-v{served.version}": served.version, "base": BASE_VERSION}
    agent, rollouts = config.agent, config.rollouts
    solver = Solver(
        workshop=served.workshop,
        gateway=served.gateway,
        agent=served.workshop.agent_for(None),
        limits=AgentLimits(agent.max_turns, agent.seconds, agent.max_malformed),
        version=served.version,
        sampling=Sampling(top_p=rollouts.top_p, max_tokens=rollouts.max_tokens),
    )
    return Service(
        served.publisher.engine,
        [served.gateway.plain_model(version, name, context_limit=limit) for name, version in names.items()],
        solver,
        keys=keys,
        metrics=metrics,
        max_solving=max_solving,
        max_request_mb=config.gateway.max_request_mb,
    )


async def _keep_the_engine(served: Served, metrics: Metrics) -> None:
    """An engine that dies is replaced; requests are answered 503 meanwhile."""
    while True:
        await asyncio.sleep(_WATCH_S)
        try:
            reason = await served.publisher.revive(served.adapter, served.version)
        except EngineError as error:
            print(f"the engine could not be started again: {error}", file=sys.stderr)
            continue
        if reason:
            metrics.engine_restarts.inc()
            print(f"the engine was started again: {reason}", file=sys.stderr)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(run_door(main))
