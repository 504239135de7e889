"""How the small agents (`toolcall`, OpenHands' compact profile) read the model's calls, and what they answer to
calls that can't be run. The tiny policy is trained on exactly these texts. Imports nothing but `json`: the
OpenHands worker, which runs in an environment of its own, reads calls with it too.
"""

import json

CUT = "error: the reply was cut at the token limit"
NOT_JSON = "error: the tool call is not valid JSON"
NO_CALL = "a reply without a tool call"
"""How an attempt ends whose last reply was plain text."""


class Malformed(Exception):
    """A call that can't be run; the message says why."""


def unreadable(text: str, *, cut: bool) -> str:
    """What is wrong with a reply whose text is `text`, empty where nothing is.

    Calls that the endpoint could not read are still in the text.
    """
    return CUT if cut else NOT_JSON if "<tool_call>" in text else ""


def too_many(malformed: int, why: str) -> str:
    """How an attempt ends that had `malformed` malformed calls in a row, `why` being wrong with the last."""
    return f"{malformed} malformed calls in a row, the last: {why}"


def command_of(name: str, raw: str, *, cut: bool = False) -> str | None:
    """The shell command of a call, None for `finish`; raises `Malformed`."""
    if cut:
        raise Malformed(CUT)
    if name not in ("bash", "finish"):
        raise Malformed(f"error: there is no tool {name[:40]!r}; use bash or finish")
    try:
        arguments = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed(NOT_JSON) from None
    if not isinstance(arguments, dict):
        raise Malformed("error: arguments must be an object")
    if name == "finish":
        return None
    if "command" not in arguments:
        raise Malformed("error: bash needs the argument command")
    command = arguments["command"]
    if not isinstance(command, str):
        raise Malformed("error: command must be a string")
    if "\0" in command or any("\ud800" <= letter <= "\udfff" for letter in command):
        raise Malformed("error: command must be plain text")
    return command
