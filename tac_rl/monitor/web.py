"""The monitor as a small web page: a run's report as it stands, and its snapshot as JSON.

    /                the newest run's report        /runs/NAME           a run's report
    /status.json     the newest run's snapshot      /runs/NAME.json      a run's snapshot      /health

It reads run directories and changes nothing. Only requests that name this machine itself are answered, so that no
web page can read along by way of a name that leads here (DNS rebinding).
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path

from aiohttp import web

from tac_rl.errors import ConfigError, RunError
from tac_rl.monitor.health import PROGRESS_SECONDS
from tac_rl.monitor.report import render
from tac_rl.monitor.snapshot import take_snapshot
from tac_rl.runs.reader import find_run

_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(runs_dir: Path, *, progress_seconds: float = PROGRESS_SECONDS) -> web.Application:
    """The application over the runs in a folder."""

    async def report(request: web.Request) -> web.Response:
        page = await asyncio.to_thread(lambda: render(find_run(runs_dir, request.match_info.get("run"))))
        return web.Response(text=page, content_type="text/html", headers=_HEADERS)

    async def status(request: web.Request) -> web.Response:
        def look() -> dict[str, object]:
            directory = find_run(runs_dir, request.match_info.get("run"))
            return take_snapshot(directory, progress_seconds=progress_seconds, tasks=False).to_json()

        return web.json_response(await asyncio.to_thread(look), headers=_HEADERS)

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}, headers=_HEADERS)

    app = web.Application(middlewares=[_refuse])
    app.router.add_get("/", report)
    app.router.add_get("/status.json", status)
    app.router.add_get("/runs/{run}.json", status)
    app.router.add_get("/runs/{run}", report)
    app.router.add_get("/health", health)
    return app


@web.middleware
async def _refuse(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Requests by a foreign name get nothing; a run that is not there is a 404 with its reason."""
    if request.host.rpartition(":")[0] not in _NAMES and request.host not in _NAMES:
        return web.Response(status=421, text="ask for localhost\n", headers=_HEADERS)
    try:
        return await handler(request)
    except RunError as error:
        if request.path.endswith(".json"):
            return web.json_response({"error": str(error)}, status=404, headers=_HEADERS)
        page = f"<!doctype html><title>TAC-RL</title><p>{escape(str(error))}</p>\n"
        return web.Response(status=404, text=page, content_type="text/html", headers=_HEADERS)


def serve(runs_dir: Path, address: str, progress_seconds: float) -> None:
    """Until Ctrl-C or SIGTERM; `ConfigError` where the address can't be listened on."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"--serve {address}: write it as HOST:PORT, such as 127.0.0.1:8080")
    asyncio.run(_serve(make_app(runs_dir, progress_seconds=progress_seconds), host.strip("[]"), int(port)))


async def _serve(app: web.Application, host: str, port: int) -> None:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigError(f"--serve {host}:{port}: can't be listened on ({error.strerror})") from error
        print(f"http://{host}:{runner.addresses[0][1]}", flush=True)
        await ended.wait()
    finally:
        await runner.cleanup()
