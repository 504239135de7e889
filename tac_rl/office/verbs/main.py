"""The command line: `chat read general 5`, `forge --help`. Parses by the table of verbs.

Exit status: 0; 1 where it couldn't be done (one line on stderr names the fix); 2 for a command that isn't one.
"""

from __future__ import annotations

import os
import sys

from .http import Problem
from .names import nearest
from .table import UsageError, Verb, Verbs

SERVICES = ("chat", "forge", "tracker", "drive")


def verbs_of(service: str) -> Verbs:
    """The table of a service, whose module alone is imported."""
    if service == "chat":
        from .chat_verbs import VERBS
    elif service == "forge":
        from .forge_code_verbs import VERBS
    elif service == "tracker":
        from .tracker_verbs import VERBS
    elif service == "drive":
        from .drive_verbs import VERBS
    else:
        raise UsageError(f"{service!r} is not one of {', '.join(SERVICES)}")
    return VERBS


def main(service: str, arguments: list[str]) -> int:
    """Do what the words after the command's name say; the exit status."""
    # Bytes that aren't UTF-8 would otherwise travel as lone surrogates, which no service takes.
    words = [word.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for word in arguments]
    verb = None
    try:
        verbs = verbs_of(service)
        if not words or words[0] in ("--help", "-h", "help"):
            return _print(overview(verbs))
        verb = _verb(verbs, words[0])
        if words[1:2] in (["--help"], ["-h"]):
            return _print(explanation(verbs, verb))
        values = verb.values(words[1:])
        return _print(verb.run(verbs.open(), *values))
    except UsageError as error:
        how = f"usage: {service} {verb.usage}" if verb else f"see {service} --help"
        return _fail(service, f"{error}; {how}", 2)
    except Problem as problem:
        return _fail(service, str(problem), 1)
    except KeyboardInterrupt:
        return 130


def overview(verbs: Verbs) -> list[str]:
    """What `--help` prints."""
    width = max(len(verb.usage) for verb in verbs.by_name.values())
    lines = [f"{verbs.service} {verb.usage:<{width}}  {verb.help}" for verb in verbs.by_name.values()]
    return [verbs.about, *lines]


def explanation(verbs: Verbs, verb: Verb) -> list[str]:
    """What `VERB --help` prints."""
    lines = [f"{verbs.service} {verb.usage}", verb.help]
    return lines + [f"{p.name}: {verbs.meanings[p.name]}" for p in verb.parameters]


def _verb(verbs: Verbs, name: str) -> Verb:
    verb = verbs.by_name.get(name.lower().replace("_", "-"))
    if verb is None:
        near = nearest(name, verbs.by_name)
        raise UsageError(f"there is no verb {name!r}" + (f" (did you mean {near[0]}?)" if near else ""))
    return verb


def _print(printed: str | bytes | list[str]) -> int:
    if isinstance(printed, list):
        printed = "\n".join(printed)
    if isinstance(printed, str):
        printed = (printed + "\n" if printed and not printed.endswith("\n") else printed).encode(
            "utf-8", "replace"
        )
    try:
        sys.stdout.buffer.write(printed)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read has read enough (`| head`). Nothing is to be flushed to them at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _fail(service: str, message: str, status: int) -> int:
    sys.stderr.buffer.write(f"{service}: {' '.join(message.split())}\n".encode("utf-8", "replace"))
    return status
