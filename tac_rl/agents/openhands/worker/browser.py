"""A Chromium in the sandbox, driven from here: tabs, clicks, typing, and what its pages have.

Nothing of it runs on this side: it is started in the sandbox (`chromium.py`) and asked over a socket (`cdp.py`), and
its pages are read by a script that runs in them (`page.js`). What comes back is text and numbers, which are checked for
being that; no file is written or read here. It ends when the connection does.
"""

import json
import socket
import time
from pathlib import Path
from typing import Any

from tac_rl.agents.openhands.worker import chromium
from tac_rl.agents.openhands.worker.attempt import Attempt
from tac_rl.agents.openhands.worker.cdp import BrowserGone, Cdp, CdpError, field

ACTION_SECONDS = 30.0
"""Longest that one action may take, the browser's start included."""
DOWNLOADS = "/home/agent/Downloads"
"""In the sandbox."""

_SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
_WORLD = "office"
_MOST_ELEMENTS = 300
_MOST_TABS = 30
_SCROLL_PIXELS = 500
_LOAD_SECONDS = 12.0
# A page counts as done when nothing has changed for 80 ms; one that never rests is taken as it is.
_STILL_MS, _RESTLESS_MS = 80, 1500
_BEGIN_SECONDS = 0.05
"""A click's navigation has begun by then."""


class Browser:
    """One conversation's. Started by the first action, and again after it has ended; `drop` it in the end.

    Actions return what the model is told. They raise `CdpError` for what can't be done, `BrowserGone` (the next one
    then finds a new browser), and `Over` as the attempt does.
    """

    def __init__(self, attempt: Attempt, program: str, listener: socket.socket) -> None:
        self._attempt = attempt
        self._program = program
        self._listener = listener
        self._cdp: Cdp | None = None
        self._target = ""
        """The tab that actions are about."""
        self._sessions: dict[str, str] = {}
        """Tab -> session."""
        self._order: list[str] = []
        """Tabs, oldest first."""
        self._loading: set[str] = set()
        """Sessions whose page is being loaded."""
        self._said: list[str] = []
        """What pages said in dialogs, and what was downloaded, until the model is told."""

    def begin(self) -> None:
        """A new action: a running browser, and time for it."""
        if self._cdp is None:
            self._start()
            return
        self._cdp.begin(ACTION_SECONDS)
        try:
            self._cdp.pump(0.0)  # Notices an end, and lets pages go on that ask something.
        except BrowserGone:
            self.drop()
            self._start()
            self._say("The browser had ended. This is a new one.")

    def news(self) -> list[str]:
        """What has happened besides, once."""
        said, self._said = self._said, []
        return said

    def drop(self) -> None:
        """Hang up; a Chromium then ends."""
        if self._cdp is not None:
            self._cdp.close()
        self._cdp = None
        self._sessions.clear()
        self._loading.clear()

    # Actions

    def navigate(self, url: str, new_tab: bool) -> str:
        url = url if "://" in url or url.startswith(("about:", "data:")) else f"http://{url}"
        if new_tab:
            self._open("about:blank")
        self._go(url)
        return f"Opened new tab with URL: {url}" if new_tab else f"Navigated to: {url}"

    def click(self, index: int, new_tab: bool) -> str:
        if new_tab:
            found = self._page("link", index)
            if found.get("missing"):
                return _not_found(index)
            if href := found.get("href"):
                self._open("about:blank")
                self._go(str(href))
                return f"Clicked element {index} and opened in new tab {str(href)[:20]}..."
        tabs = {tab["targetId"] for tab in self._tabs()}
        found = self._page("click", index)
        if found.get("missing"):
            return _not_found(index)
        if "x" in found:
            x, y = _number(found, "x"), _number(found, "y")
            for what in ("mouseMoved", "mousePressed", "mouseReleased"):
                self._call("Input.dispatchMouseEvent", type=what, x=x, y=y, button="left", clickCount=1)
        self._settle()
        opened = [tab["targetId"] for tab in self._tabs() if tab["targetId"] not in tabs]
        if opened:
            self._attend(opened[-1])
            self._settle()
        return f"Clicked element {index}" + (
            " (new tab not supported for non-link elements)" if new_tab else ""
        )

    def type(self, index: int, text: str) -> str:
        found = self._page("type", index, text.rstrip("\n"))
        if found.get("missing"):
            return _not_found(index)
        if why := found.get("refused"):
            raise CdpError(f"Can't type into element {index}: {str(why)[:2000]}")
        if found.get("insert"):
            written = text if found.get("lines") else text.rstrip("\n").replace("\n", " ")
            if written:
                self._call("Input.insertText", text=written)
            else:
                self._press("Delete", 46)
            if text.endswith("\n") and not found.get("lines"):
                self._press("Enter", 13, "\r")
        self._settle()
        return f"Typed '{text}' into element {index}"

    def state(self) -> str:
        found = self._page("state", _MOST_ELEMENTS)
        tabs = [{"url": _text(tab, "url"), "title": _text(tab, "title")} for tab in self._tabs()]
        url = next((_text(tab, "url") for tab in self._tabs() if tab["targetId"] == self._target), "")
        return json.dumps({"url": url, "title": found.pop("title", ""), "tabs": tabs, **found}, indent=2)

    def content(self, links: bool, start: int) -> str:
        found = self._page("content", links)
        text = field(found, "text", str)
        most, whole = 30_000, len(text)
        if start > 0 and start >= whole:
            return (
                f"start_from_char ({start}) exceeds content length ({whole}). "
                f"Content has {whole} characters after filtering."
            )
        text = text[start:]
        stats = f"Content processed: {int(_number(found, 'html')):,} HTML chars → {whole:,} filtered markdown"
        if start > 0:
            stats += f" (started from char {start:,})"
        if len(text) > most:
            cut = text.rfind("\n", most - 500, most)
            text = text[: cut if cut > 0 else most]
            stats += f" → {len(text):,} final chars (truncated, use start_from_char={start + len(text)} to continue)"
        return (
            f"<url>\n{self._url()}\n</url>\n<content>\n<content_stats>\n{stats}\n</content_stats>\n\n"
            f"<webpage_content>\n{text}\n</webpage_content>\n</content>"
        )

    def scroll(self, direction: str) -> str:
        self._page("scroll", _SCROLL_PIXELS if direction == "down" else -_SCROLL_PIXELS)
        self._settle()
        return f"Scrolled {direction}"

    def back(self) -> str:
        history = self._call("Page.getNavigationHistory")
        entries, at = field(history, "entries", list), field(history, "currentIndex", int)
        if not 0 < at <= len(entries):
            raise CdpError("There is no page to go back to")
        self._loading.add(self._session())
        self._call("Page.navigateToHistoryEntry", entryId=field(entries[at - 1], "id", int))
        self._settle()
        return "Navigated back"

    def list_tabs(self) -> str:
        shown = [
            {"tab_id": _text(tab, "targetId")[-4:], "url": _text(tab, "url"), "title": _text(tab, "title")}
            for tab in self._tabs()
        ]
        return json.dumps(shown, indent=2)

    def switch_tab(self, tab_id: str) -> str:
        self._attend(self._tab(tab_id))
        self._settle()
        return f"Switched to tab {tab_id}: {self._url()}"

    def close_tab(self, tab_id: str) -> str:
        closed = self._tab(tab_id)
        self._browser("Target.closeTarget", targetId=closed)
        self._sessions.pop(closed, None)
        if closed == self._target:
            self._attend_any()
        return f"Closed tab # {tab_id}, now on {self._url()}"

    def get_storage(self) -> str:
        cookies = field(self._browser("Storage.getCookies"), "cookies", list)
        origin = self._page("stored")
        return json.dumps({"cookies": cookies, "origins": [origin] if origin else []}, indent=2)

    def set_storage(self, state: dict[str, Any]) -> str:
        if cookies := state.get("cookies"):
            self._browser("Storage.setCookies", cookies=cookies)
        self._call("DOMStorage.enable")
        try:
            for origin in state.get("origins") or []:
                for kind, local in (("localStorage", True), ("sessionStorage", False)):
                    storage = {"securityOrigin": origin["origin"], "isLocalStorage": local}
                    for item in origin.get(kind) or []:
                        key, value = item.get("key") or item.get("name"), item["value"]
                        self._call("DOMStorage.setDOMStorageItem", storageId=storage, key=key, value=value)
        except (AttributeError, LookupError, TypeError):
            raise CdpError("storage_state must have the form that browser_get_storage shows") from None
        return "Storage set successfully"

    # The browser

    def _start(self) -> None:
        self._said.clear()
        self._cdp = chromium.start(self._attempt, self._program, self._listener, self._note, ACTION_SECONDS)
        try:
            self._browser(
                "Browser.setDownloadBehavior", behavior="allow", downloadPath=DOWNLOADS, eventsEnabled=True
            )
            self._attend_any()
        except (BrowserGone, CdpError) as error:
            raise BrowserGone(f"{error}{chromium.last_words(self._attempt)}") from None

    def _note(self, method: str, session: str, parameters: dict[str, Any]) -> None:
        assert self._cdp is not None
        match method:
            case "Page.frameStartedLoading" | "Page.frameStoppedLoading":
                if (
                    self._sessions.get(str(parameters.get("frameId"))) == session
                ):  # A tab's id is its main frame's.
                    started = method == "Page.frameStartedLoading"
                    (self._loading.add if started else self._loading.discard)(session)
            case "Page.javascriptDialogOpening":
                self._cdp.send("Page.handleJavaScriptDialog", session, accept=True)
                kind, message = _text(parameters, "type"), _text(parameters, "message")
                self._say(f"The page asked ({kind}), and was answered yes: {message}")
            case "Browser.downloadWillBegin":
                self._say(f"Downloaded to {DOWNLOADS}: {_text(parameters, 'suggestedFilename')}")
            case "Inspector.targetCrashed":
                raise BrowserGone("the page has crashed it")

    def _say(self, what: str) -> None:
        if len(self._said) < 10:
            self._said.append(what[:1000])

    def _browser(self, method: str, **parameters: Any) -> dict[str, Any]:
        assert self._cdp is not None
        return self._cdp.call(method, **parameters)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the current tab."""
        assert self._cdp is not None
        return self._cdp.call(method, self._session(), **parameters)

    def _session(self) -> str:
        if (session := self._sessions.get(self._target)) is None:
            found = self._browser("Target.attachToTarget", targetId=self._target, flatten=True)
            session = self._sessions[self._target] = field(found, "sessionId", str)
            self._call("Page.enable")
            self._call("Inspector.enable")
        return session

    def _tabs(self) -> list[dict[str, Any]]:
        targets = field(self._browser("Target.getTargets"), "targetInfos", list)
        pages = [t for t in targets if isinstance(t, dict) and t.get("type") == "page"]
        pages = [page for page in pages if isinstance(page.get("targetId"), str)][:_MOST_TABS]
        ids = [page["targetId"] for page in pages]
        # Chromium names them in no order: here it is that in which they were first seen.
        self._order = [tab for tab in self._order if tab in ids]
        self._order += [tab for tab in ids if tab not in self._order]
        return sorted(pages, key=lambda page: self._order.index(page["targetId"]))

    def _tab(self, tab_id: str) -> str:
        for tab in self._tabs():
            if tab_id and tab["targetId"].endswith(tab_id):
                return str(tab["targetId"])
        raise CdpError(f"No tab found with tab_id: {tab_id}")

    def _attend(self, target: str) -> None:
        self._target = target
        self._browser("Target.activateTarget", targetId=target)
        self._session()

    def _attend_any(self) -> None:
        """Make a tab that is open the current one; a new one where none is."""
        tabs = self._tabs()
        if tabs:
            self._attend(str(tabs[0]["targetId"]))
        else:
            self._open("about:blank")

    def _open(self, url: str) -> None:
        self._attend(field(self._browser("Target.createTarget", url=url), "targetId", str))

    def _url(self) -> str:
        return next((_text(tab, "url") for tab in self._tabs() if tab["targetId"] == self._target), "")

    def _go(self, url: str) -> None:
        answer = self._call("Page.navigate", url=url)
        why = answer.get("errorText")
        if why and not answer.get("isDownload"):
            raise CdpError(f"Navigation failed: {str(why)[:200]}: {url}")
        if "loaderId" in answer:  # else it was only to another part of the page
            self._loading.add(self._session())
        self._settle()

    def _settle(self) -> None:
        """Wait until the page is loaded and at rest, or for as long as that is reasonable."""
        assert self._cdp is not None
        until = time.monotonic() + _LOAD_SECONDS
        self._cdp.pump(_BEGIN_SECONDS)
        while time.monotonic() < until:
            if self._session() in self._loading:
                self._cdp.pump(0.02)
                continue
            try:
                self._page("quiet", _STILL_MS, _RESTLESS_MS)
            except CdpError:  # Another page came meanwhile.
                self._cdp.pump(_BEGIN_SECONDS)
                continue
            if self._session() not in self._loading:
                return
        self._loading.discard(self._session())

    def _page(self, function: str, *arguments: Any) -> dict[str, Any]:
        """What a function of `page.js` finds on the current page."""
        if self._target not in (tab["targetId"] for tab in self._tabs()):
            self._attend_any()  # It has closed itself.
        world = self._call("Page.createIsolatedWorld", frameId=self._target, worldName=_WORLD)
        answer = self._call(
            "Runtime.evaluate",
            expression=f"{_SCRIPT}.{function}({', '.join(json.dumps(argument) for argument in arguments)})",
            contextId=field(world, "executionContextId", int),
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise CdpError("the page can't be read")
        return field(field(answer, "result", dict), "value", dict)

    def _press(self, key: str, code: int, text: str = "") -> None:
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)


def _not_found(index: int) -> str:
    return f"Element with index {index} not found"


def _text(document: dict[str, Any], name: str) -> str:
    """A text of an answer, shortened; empty where it is none."""
    value = document.get(name)
    return value[:2000] if isinstance(value, str) else ""


def _number(document: dict[str, Any], name: str) -> float:
    value = document.get(name)
    if not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise BrowserGone(f"its answer has no proper {name!r}")
    return value
