"""A real Chromium in a real sandbox, driven as the worker drives it; what the whole agent does with one is in the tests
of its full profile."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browser_helpers import Desk, a_desk

from tac_rl.agents.factory import equipment_of
from tac_rl.agents.openhands import browser as browsers
from tac_rl.agents.openhands.worker import browser as browser_module
from tac_rl.agents.openhands.worker.cdp import (
    MOST_ACTION_BYTES,
    MOST_MESSAGE_BYTES,
    BrowserGone,
    Cdp,
    CdpError,
)
from tac_rl.config.agent import AgentSection, OpenHandsSection
from tac_rl.config.run import RunConfig


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with a_desk() as made:
        yield made


FORM = """<title>Form</title><h1>An <em>order</em></h1>
<form onsubmit="document.title = new URLSearchParams(new FormData(this)).toString(); return false">
<label>Name <input name=name></label> <input name=day type=date> <input name=ok type=checkbox>
<input type=hidden name=h value=1> <input name=gone style="display: none">
<select name=size><option value=s>Small<option value=l>Large size</select>
<textarea name=note>old</textarea><button>Send</button></form>
<table><tr><th>A<th>B</tr><tr><td>1<td>2|3</tr></table><ul><li>one<li>two <a href="/x">link</a></ul>"""


def test_forms_are_read_filled_in_and_sent(desk: Desk) -> None:
    desk.show(FORM)
    state = desk.state()
    tags = [element["tag"] for element in state["interactive_elements"]]
    assert tags == ["label", "input", "input", "input", "select", "textarea", "button", "a"]
    assert state["interactive_elements"][4]["options"] == ["Small", "Large size"]
    typed = desk.do("type", desk.find(label="Name"), "Häßlich & 世界")
    assert typed == "Typed 'Häßlich & 世界' into element 2"
    desk.do("type", desk.find(type="date"), "2026-11-27")
    desk.do("click", desk.find(type="checkbox"), False)
    desk.do("type", desk.find(tag="select"), "large SIZE")
    desk.do("type", desk.find(tag="textarea"), "two\nlines")
    assert desk.do("click", desk.find(tag="button"), False) == "Clicked element 7"
    title = desk.state()["title"]
    assert title == (
        "name=H%C3%A4%C3%9Flich+%26+%E4%B8%96%E7%95%8C&day=2026-11-27&ok=on&h=1&gone=&size=l&note=two%0Alines"
    )
    desk.do("type", desk.find(label="Name"), "by return\n")
    assert desk.state()["title"].startswith("name=by+return&")
    with pytest.raises(CdpError, match="it has the options Small, Large size"):
        desk.do("type", desk.find(tag="select"), "huge")
    with pytest.raises(CdpError, match="of type checkbox"):
        desk.do("type", desk.find(type="checkbox"), "x")
    assert desk.do("click", 99, False) == "Element with index 99 not found"
    content = desk.do("content", True, 0)
    assert "# An *order*\n" in content and "| A | B |\n| --- | --- |\n| 1 | 2\\|3 |" in content
    assert "- one\n- two [link](/x)" in content


def test_dialogs_tabs_and_downloads_are_told(desk: Desk) -> None:
    desk.show(
        """<a href="data:text/html,<title>other</title>there" target=_blank>away</a>
        <button onclick="document.title = confirm('Sure?')">ask</button>
        <a href="data:application/octet-stream,abc" download="a.bin">fetch</a>
        <div style="height: 3000px"></div><a href="#">far down</a>"""
    )
    told = desk.do("click", desk.find(text="ask"), False)
    assert told.endswith("The page asked (confirm), and was answered yes: Sure?")
    assert desk.state()["title"] == "true"
    texts = [element["text"] for element in desk.state()["interactive_elements"]]
    assert texts == ["away", "ask", "fetch"]
    told = desk.do("click", desk.find(text="fetch"), False)
    assert told.endswith("Downloaded to /home/agent/Downloads: a.bin")
    for _ in range(5):
        desk.do("scroll", "down")
    assert [element["text"] for element in desk.state()["interactive_elements"]] == ["far down"]
    for _ in range(5):
        desk.do("scroll", "up")
    deadline = time.monotonic() + 10
    while "abc" not in desk.run("cat ~/Downloads/a.bin 2>/dev/null"):
        assert time.monotonic() < deadline
    link = desk.find(text="away")
    first = desk.state()["url"]
    desk.do("navigate", "about:blank", True)
    assert [tab["url"] for tab in json.loads(desk.do("list_tabs"))] == [first, "about:blank"]
    other, blank = (tab["tab_id"] for tab in json.loads(desk.do("list_tabs")))
    assert desk.do("switch_tab", other) == f"Switched to tab {other}: {first}"
    assert desk.do("close_tab", blank) == f"Closed tab # {blank}, now on {first}"
    assert desk.do("click", link, True).startswith(f"Clicked element {link} and opened in new tab data:")
    assert desk.state()["title"] == "other"
    desk.do("close_tab", json.loads(desk.do("list_tabs"))[1]["tab_id"])
    assert desk.state()["url"] == first
    desk.show("<a href=/tmp/www/i.html?new target=_blank>a tab of its own</a>")
    desk.do("click", desk.find(tag="a"), False)
    assert desk.state()["url"].endswith("?new") and len(desk.state()["tabs"]) == 2


def test_storage_is_set_and_shown(desk: Desk) -> None:
    desk.run("(cd /tmp/www && python3 -m http.server 8000 >/dev/null 2>&1 &)")
    desk.run("until (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null; do sleep 0.05; done")
    desk.do("navigate", "127.0.0.1:8000/i.html", False)
    origin = "http://127.0.0.1:8000"
    state = {
        "cookies": [{"name": "c", "value": "1", "domain": "127.0.0.1", "path": "/"}],
        "origins": [{"origin": origin, "localStorage": [{"name": "k", "value": "v"}]}],
    }
    assert desk.do("set_storage", state) == "Storage set successfully"
    stored = json.loads(desk.do("get_storage"))
    assert [(cookie["name"], cookie["value"]) for cookie in stored["cookies"]] == [("c", "1")]
    assert stored["origins"] == [
        {"origin": origin, "localStorage": [{"name": "k", "value": "v"}], "sessionStorage": []}
    ]
    for wrong in ({"origins": 1}, {"origins": [1]}, {"origins": [{"origin": origin, "localStorage": ["k"]}]}):
        with pytest.raises(CdpError, match="must have the form"):
            desk.do("set_storage", wrong)


def test_a_browser_that_is_killed_or_hangs_is_replaced(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.show("<title>First</title>")
    desk.run("pkill -9 -f remote-debugging-pipe")
    with pytest.raises(BrowserGone):
        desk.browser._cdp.pump(20.0)  # type: ignore[union-attr]
    told = desk.do("navigate", "data:text/html,<title>Second</title>", False)
    assert told.endswith("The browser had ended. This is a new one.")
    assert desk.state()["title"] == "Second"
    desk.show("<title>Loop</title><button onclick='while (true) {}'>go</button>")
    button = desk.find(text="go")
    monkeypatch.setattr(browser_module, "ACTION_SECONDS", 2.0)
    with pytest.raises(BrowserGone, match="did not answer to"):
        desk.do("click", button, False)
    monkeypatch.undo()
    desk.browser.drop()
    assert desk.state()["url"] == "about:blank"
    deadline = time.monotonic() + 10
    folders = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -o '/tmp/.browser-.*' | sort -u | wc -l"
    while desk.run(folders).strip() != "1":
        assert time.monotonic() < deadline, "the browser that hung is still there"


class _Counting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the host's secret")

    def log_message(self, *arguments: Any) -> None: ...


def test_a_page_reaches_neither_the_hosts_network_nor_its_files(desk: Desk, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("the host's canary")
    tmp_path.chmod(0o755)
    canary.chmod(0o644)
    with ThreadingHTTPServer(("0.0.0.0", 0), _Counting) as server:
        server.seen = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        addresses = {"127.0.0.1", "localhost", socket.gethostbyname(socket.gethostname())}
        urls = [f"http://{address}:{server.server_port}/" for address in addresses]
        fetches = ", ".join(f"fetch('{url}', {{mode: 'no-cors'}})" for url in urls)
        say = "() => document.title = 'reached', () => document.title = 'no'"
        desk.show(f"<script>Promise.any([{fetches}]).then({say})</script>")
        deadline = time.monotonic() + 20
        while not (title := desk.state()["title"]):
            assert time.monotonic() < deadline
        assert title == "no"
        for url in urls:
            with pytest.raises(CdpError, match="Navigation failed: net::ERR_"):
                desk.do("navigate", url, False)
        server.shutdown()
        assert server.seen == []  # type: ignore[attr-defined]
    for path in (canary, Path(browsers.__file__)):
        with pytest.raises(CdpError, match="ERR_FILE_NOT_FOUND"):
            desk.do("navigate", path.as_uri(), False)


# The other end of the pipe, as a command in the sandbox might be it.


def peer(say: Callable[[socket.socket], None]) -> None:
    """Ask something of a peer that says that."""
    ours, theirs = _pair()
    thread = threading.Thread(target=_quietly, args=(say, theirs), daemon=True)
    thread.start()
    cdp = Cdp(ours, lambda *event: None)
    try:
        cdp.begin(1.0)
        cdp.call("Browser.getVersion")
    finally:
        cdp.close()
        theirs.close()
        thread.join(30)


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname(), 5)
        return ours, server.accept()[0]


def _quietly(say: Callable[[socket.socket], None], stream: socket.socket) -> None:
    with suppress(OSError):
        say(stream)


def _flood(stream: socket.socket) -> None:
    event = b'{"method": "x", "params": {"a": "%s"}}\0' % (b"x" * 100_000)
    for _ in range(2 * MOST_ACTION_BYTES // len(event)):
        stream.sendall(event)


@pytest.mark.parametrize(
    ("say", "why"),
    [
        (lambda s: s.sendall(b"x" * (MOST_MESSAGE_BYTES + (1 << 20))), "a message of more than"),
        (_flood, "MB for one action"),
        (lambda s: s.sendall(b"GET / HTTP/1.1\r\n\0"), "does not speak the protocol"),
        (lambda s: s.sendall(b"[" * 1_000_000 + b"\0"), "does not speak the protocol"),
        (lambda s: s.sendall(b"[1]\0"), "does not speak the protocol"),
        (lambda s: s.sendall(b'{"id": 1, "result": []}\0'), "no proper 'result'"),
        (lambda s: s.sendall(b'{"method": {}}\0'), "no proper 'method'"),
        (lambda s: s.sendall(b'{"method": "x", "params": 1}\0'), "does not speak the protocol"),
        (lambda s: s.shutdown(socket.SHUT_RDWR), "it has ended"),
        (lambda s: time.sleep(1.5), "did not answer to Browser.getVersion in time"),
    ],
)
def test_a_peer_that_is_no_browser_is_refused(say: Callable[[socket.socket], None], why: str) -> None:
    with pytest.raises(BrowserGone, match=why):
        peer(say)


def test_a_browser_is_equipment_only_where_one_may_be_used() -> None:
    def ports(**section: Any) -> tuple[int, ...]:
        return equipment_of(AgentSection(name="openhands", openhands=OpenHandsSection(**section))).ports

    assert ports(profile="full") == (browsers.PORT,)
    assert ports(profile="full", browser="off") == ports(profile="compact") == ()
    with pytest.raises(ValueError, match=r"browser: on needs agent\.openhands\.profile: full"):
        RunConfig.model_validate({"agent": {"name": "openhands", "openhands": {"browser": "on"}}})
    with pytest.raises(ValueError, match=r"sandbox\.memory_mb: a browser"):
        RunConfig.model_validate(
            {
                "agent": {"name": "openhands", "openhands": {"browser": "on", "profile": "full"}},
                "sandbox": {"memory_mb": 256},
            }
        )
