"""OpenHands' browser tools on a browser in the sandbox: names, schemas and descriptions are the SDK's, the rest ours.

The SDK's own executor would start a Chromium beside the worker and drive it with browser-use, which reads files, writes
downloads and trusts what the browser says. Here the browser is in the model's reach.
"""

import json
import time
from typing import Any

from openhands.sdk.tool import ToolExecutor, register_tool
from openhands.tools.browser_use.definition import (
    BrowserClickAction,
    BrowserCloseTabAction,
    BrowserGetContentAction,
    BrowserGetStateAction,
    BrowserGetStorageAction,
    BrowserGoBackAction,
    BrowserListTabsAction,
    BrowserNavigateAction,
    BrowserObservation,
    BrowserScrollAction,
    BrowserSetStorageAction,
    BrowserStartRecordingAction,
    BrowserStopRecordingAction,
    BrowserSwitchTabAction,
    BrowserToolSet,
    BrowserTypeAction,
)

from tac_rl.agents.openhands.worker.attempt import Attempt
from tac_rl.agents.openhands.worker.browser import Browser
from tac_rl.agents.openhands.worker.cdp import BrowserGone, CdpError

BROWSER = "sandbox_browser"
"""Name of the tool specification; to the model its tools are `browser_navigate` and so on."""

_NO_RECORDING = (  # the SDK's own words: its recorder comes from the network
    "Error: Unable to start recording. The rrweb library failed to load from CDN. Please check network connectivity "
    "and try again."
)
_NOT_RECORDING = "Error: Not recording. Call browser_start_recording first."


class _Executor(ToolExecutor[Any, BrowserObservation]):
    def __call__(self, action: Any, conversation: Any = None) -> BrowserObservation:
        attempt: Attempt = conversation.agent.attempt
        browser: Browser = conversation.agent.browser
        begun = time.monotonic()
        try:
            browser.begin()
            text, failed = _done(browser, action), False
        except CdpError as error:
            text, failed = f"Browser operation failed: {error}", True
        except BrowserGone as error:
            browser.drop()
            text, failed = f"Browser operation failed: {error}. The next action finds a new browser.", True
        text = "\n".join([text, *(f"[{what}]" for what in browser.news())])
        arguments = json.dumps(action.model_dump(exclude={"kind"}, exclude_none=True), ensure_ascii=False)
        attempt.tell(
            tool=_name(action),
            arguments=arguments,
            result={"output": text, "failed": failed, "seconds": time.monotonic() - begun},
        )
        return BrowserObservation.from_text(text=text, is_error=failed)


def _done(browser: Browser, action: Any) -> str:
    """What came of an action."""
    match action:
        case BrowserNavigateAction():
            return browser.navigate(action.url, action.new_tab)
        case BrowserClickAction():
            return browser.click(action.index, action.new_tab)
        case BrowserTypeAction():
            return browser.type(action.index, action.text)
        case BrowserGetStateAction():  # without a picture: no model of ours is sent one
            return browser.state()
        case BrowserGetContentAction():
            return browser.content(action.extract_links, action.start_from_char)
        case BrowserScrollAction():
            return browser.scroll(action.direction)
        case BrowserGoBackAction():
            return browser.back()
        case BrowserListTabsAction():
            return browser.list_tabs()
        case BrowserSwitchTabAction():
            return browser.switch_tab(action.tab_id)
        case BrowserCloseTabAction():
            return browser.close_tab(action.tab_id)
        case BrowserGetStorageAction():
            return browser.get_storage()
        case BrowserSetStorageAction():
            return browser.set_storage(action.storage_state)
        case BrowserStartRecordingAction():
            return _NO_RECORDING
        case BrowserStopRecordingAction():
            return _NOT_RECORDING
    raise CdpError(f"Unsupported action type: {type(action).__name__}")


def _name(action: Any) -> str:
    """`BrowserGoBackAction` -> `browser_go_back`."""
    name = type(action).__name__.removesuffix("Action")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class SandboxBrowserTools(BrowserToolSet):
    """The SDK's set, with our executor."""

    @classmethod
    def _get_or_create_shared_executor(cls, conv_state: Any, **executor_config: Any) -> Any:
        return _Executor()  # Nothing is shared: each conversation's agent has its own browser.


register_tool(BROWSER, SandboxBrowserTools)
