"""Starts a Chromium in the sandbox, by a command there, and meets it at a port whose listening socket is ours."""

import shlex
import socket

from tac_rl.agents.openhands.worker.attempt import Attempt
from tac_rl.agents.openhands.worker.cdp import BrowserGone, Cdp, OnEvent

_FLAGS = (
    "--headless=new",
    # Chromium's own sandbox needs namespaces of its own, which commands can't make: what isolates it is the sandbox
    # that it runs in, as all that the model starts.
    "--no-sandbox",
    "--remote-debugging-pipe",
    # One process for all but the pages: a sandbox counts threads, and pays for each process's memory.
    "--in-process-gpu",
    "--no-zygote",
    "--renderer-process-limit=1",
    "--enable-features=NetworkServiceInProcess2",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm is small in a container
    # Nothing but pages is asked for: no component updates, reports, guesses at names or proxies.
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-pings",
    "--no-proxy-server",
    "--disable-features=HttpsUpgrades,MediaRouter,OptimizationHints,Translate",
    "--no-default-browser-check",
    "--no-first-run",
    "--mute-audio",
    "--password-store=basic",
    "--disk-cache-size=1048576",
    "--force-color-profile=srgb",
    "--lang=en-US",
    "--window-size=1280,1024",
)
# Run by the sandbox's Python: descriptors 3 and 4 are where a browser expects its pipe. Two processors are enough, and
# Chromium would start threads for all that it may use.
_START = """
import os, random, socket, sys, tempfile
port, program = int(sys.argv[1]), sys.argv[2]
may = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, random.sample(may, min(2, len(may))))
folder = tempfile.mkdtemp(prefix=".browser-")
pipe = socket.create_connection(("127.0.0.1", port), 10)
pipe.settimeout(None)
pipe.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
kept = os.dup(pipe.fileno())
for number in (3, 4):
    os.dup2(kept, number)
    os.set_inheritable(number, True)
os.closerange(5, 64)
os.execv(program, [program, "--user-data-dir=" + folder, *sys.argv[3:], "about:blank"])
"""
_LOG = "/tmp/.browser.log"


def start(attempt: Attempt, program: str, listener: socket.socket, on_event: OnEvent, seconds: float) -> Cdp:
    """A connection to a new browser, whose first action has begun; `BrowserGone` where none comes.

    `seconds`: for that action, the start included.
    """
    arguments = shlex.join([str(listener.getsockname()[1]), program, *_FLAGS])
    # What waits there by now is no browser that was just started.
    while (stale := _accepted(listener, 0.0)) is not None:
        stale.close()
    # In a session of its own: what a command's end does to its jobs is no affair of the browser's.
    command = f"(cd / && setsid python3 -IS -c {shlex.quote(_START)} {arguments} </dev/null >{_LOG} 2>&1 &)"
    attempt.ask("exec", command=command, quiet=True, seconds=seconds)
    if (stream := _accepted(listener, seconds / 2)) is None:
        raise BrowserGone(f"it did not start{last_words(attempt)}")
    connection = Cdp(stream, on_event)
    connection.begin(seconds)
    return connection


def last_words(attempt: Attempt) -> str:
    """The end of the newest browser's log, to follow an error message."""
    said = attempt.ask("exec", command=f"(tail -n 3 {_LOG})", quiet=True)["output"].strip()
    return f"; its log ends: {said[-600:]}" if said else ""


def _accepted(listener: socket.socket, seconds: float) -> socket.socket | None:
    listener.settimeout(seconds)
    try:
        return listener.accept()[0]
    except (TimeoutError, BlockingIOError):
        return None
