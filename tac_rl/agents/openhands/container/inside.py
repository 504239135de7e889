"""Runs in the sandbox, as the commands' user: starts the agent-server, waits for the conversation's end, ends it.

`python3 -IS -c (this file's text) start|wait|stop [SECONDS]`; answers with one line of JSON. Standard library of
Python 3.9 only. What it needs to know is in the file `order.json`, what it leaves for the next call in `state.json`.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

FOLDER = "/tmp/.openhands"
WORKSPACE = "/workspace"
POLL_SECONDS = 0.1
REQUEST_SECONDS = 30
OVER = ("finished", "error", "stuck", "paused", "deleting")
# -S and this keep the image's own packages out, and PYTHONPATH out of the commands' environment.
RUN = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1));"
    "runpy.run_module('openhands.agent_server', run_name='__main__', alter_sys=True)"
)


def ask(port: int, method: str, path: str, document: Any = None) -> Any:
    """What the server answers to one request."""
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}, method=method
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=REQUEST_SECONDS) as answer:
        return json.loads(answer.read() or b"null")


def last_line() -> str:
    """The server's last words."""
    with contextlib.suppress(OSError):
        text = Path(FOLDER, "log").read_text(encoding="utf-8", errors="replace")
        return (text[-4000:].strip().splitlines() or [""])[-1][:500]
    return ""


def start(seconds: float) -> dict[str, Any]:
    """Start the server and the conversation."""
    deadline = time.monotonic() + seconds
    order = json.loads(Path(FOLDER, "order.json").read_text(encoding="utf-8"))
    here = "{}.{}".format(*sys.version_info[:2])
    if here != order["python"]:
        return {"error": f"the image's python3 is {here}; the libraries are made for {order['python']}"}
    port = order["port"]
    address = ("--host", "127.0.0.1", "--port", str(port))
    with Path(FOLDER, "log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-IS", "-c", RUN, order["libraries"], *address],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=FOLDER,
            env={**os.environ, **order["env"]},
            start_new_session=True,
        )
    keep({"pid": server.pid, "port": port, "conversation": ""})
    while True:
        try:
            ask(port, "GET", "/health")
            break
        except (OSError, ValueError):
            if server.poll() is not None:
                return {"error": f"the agent-server ended with status {server.returncode}: {last_line()}"}
            if time.monotonic() > deadline:
                return {"error": f"the agent-server was not ready within {seconds:g} s"}
            time.sleep(POLL_SECONDS)
    had_repository = os.path.lexists(f"{WORKSPACE}/.git")
    try:
        conversation = ask(port, "POST", "/api/conversations", order["conversation"])["id"]
        if not had_repository:  # The server makes one for its user interface; the task didn't ask for it.
            shutil.rmtree(f"{WORKSPACE}/.git", ignore_errors=True)
        keep({"pid": server.pid, "port": port, "conversation": conversation})
        # Not with the conversation: it would run at once, before its repository is gone.
        ask(port, "POST", f"/api/conversations/{conversation}/events", order["message"])
    except urllib.error.HTTPError as error:
        said = error.read()[:500].decode("utf-8", "replace")
        return {"error": f"the agent-server answered {error.code}: {said}"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"error": f"the agent-server: {type(error).__name__}: {error}"}
    return {"conversation": conversation}


def wait(seconds: float) -> dict[str, Any]:
    """Until the conversation is over, or the time is."""
    deadline = time.monotonic() + seconds
    state = kept()
    path = f"/api/conversations/{state['conversation']}"
    status = "running"
    while time.monotonic() < deadline:
        try:
            status = str(ask(state["port"], "GET", path)["execution_status"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if not alive(state["pid"]):
                return {"status": "gone", "detail": last_line()}
            if isinstance(error, urllib.error.HTTPError) and error.code == 404:
                return {"status": "gone", "detail": "its conversation was deleted"}
        if status in OVER:
            return {"status": status, "detail": reason(state["port"], path) if status == "error" else ""}
        time.sleep(POLL_SECONDS)
    return {"status": "running", "detail": ""}


def reason(port: int, path: str) -> str:
    """Why a conversation failed, as the server has it."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        events = ask(port, "GET", f"{path}/events/search?limit=20&sort_order=TIMESTAMP_DESC")["items"]
        for event in events:
            if event.get("kind") == "ConversationErrorEvent":
                return f"{event.get('code')}: {event.get('detail')}"[:500]
    return ""


def stop(seconds: float) -> dict[str, Any]:
    """Kill the server and wait until it is gone."""
    deadline = time.monotonic() + seconds
    state = kept()
    with contextlib.suppress(OSError):
        os.killpg(state["pid"], signal.SIGKILL)
    while alive(state["pid"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return {"stopped": not alive(state["pid"])}


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def keep(state: dict[str, Any]) -> None:
    Path(FOLDER, "state.json").write_text(json.dumps(state), encoding="utf-8")


def kept() -> dict[str, Any]:
    state: dict[str, Any] = json.loads(Path(FOLDER, "state.json").read_text(encoding="utf-8"))
    return state


if __name__ == "__main__":
    print(json.dumps({"start": start, "wait": wait, "stop": stop}[sys.argv[1]](float(sys.argv[2]))))
