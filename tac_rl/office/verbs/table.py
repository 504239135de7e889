"""What a verb is: its name, its parameters, its help and what it does.

The command line, its help and the MCP server's schemas all come from the same tables of verbs
(`chat_verbs.VERBS` and so on), so that each verb is written down once.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Printed = str | bytes | list[str]


class UsageError(Exception):
    """A command that isn't one; the message says how it goes."""


class Parameter:
    """`NAME`, `[NAME]` (may be left out) or `NAME...` (the rest of the line). `N` is a number."""

    def __init__(self, written: str) -> None:
        name = written.strip("[]")
        self.required = written == name
        self.rest = name.endswith("...")
        self.name = name.removesuffix("...")
        self.number = self.name == "N"

    def __str__(self) -> str:
        text = self.name + ("..." if self.rest else "")
        return text if self.required else f"[{text}]"


class Verb:
    """One thing that can be done. `run(client, *values)` gets None for what was left out."""

    def __init__(self, usage: str, help: str, run: Callable[..., Printed]) -> None:
        self.name, *parameters = usage.split()
        self.parameters = [Parameter(written) for written in parameters]
        self.help = help
        self.run = run

    @property
    def usage(self) -> str:
        return " ".join([self.name, *map(str, self.parameters)])

    def values(self, words: list[str]) -> list[Any]:
        """The parameters' values from the words of a command; `UsageError` where they don't fit."""
        values: list[Any] = []
        left = list(words)
        for parameter in self.parameters:
            if parameter.rest and left:
                values.append(" ".join(left))
                left = []
            elif left:
                values.append(as_number(left.pop(0)) if parameter.number else left.pop(0))
            elif parameter.required:
                raise UsageError(f"{parameter.name} is missing")
            else:
                values.append(None)
        if left:
            raise UsageError(f"{' '.join(left)!r} is too much")
        if any(value is not None and not str(value).strip() for value in values):
            raise UsageError("a word is empty")
        return values

    def values_by_name(self, given: Mapping[str, Any]) -> list[Any]:
        """The parameters' values from a document with their names in lower case, as the MCP server gets it."""
        names = [parameter.name.lower() for parameter in self.parameters]
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise UsageError(f"there is no parameter {unknown[0]!r}; there are: {', '.join(names) or 'none'}")
        return [_given(parameter, given.get(parameter.name.lower())) for parameter in self.parameters]


class Verbs:
    """The verbs of one service, in the order of its help."""

    def __init__(
        self, service: str, about: str, meanings: Mapping[str, str], open: Callable[[], Any]
    ) -> None:
        self.service = service
        self.about = about
        self.meanings = meanings
        """What each parameter stands for, by its name."""
        self.open = open
        """Makes the service's client with the addresses and accounts of the environment."""
        self.by_name: dict[str, Verb] = {}

    def verb(self, usage: str, help: str) -> Callable[[Callable[..., Printed]], Callable[..., Printed]]:
        """Decorator: the function does what the usage and the help say."""

        def add(run: Callable[..., Printed]) -> Callable[..., Printed]:
            verb = Verb(usage, help, run)
            self.by_name[verb.name] = verb
            return run

        return add


def as_number(word: str) -> int:
    """`12`, `#12` or `!12`."""
    digits = word.lstrip("#!")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise UsageError(f"N must be a number, not {word!r}")
    return int(digits)


def _given(parameter: Parameter, value: Any) -> Any:
    if value is None and not parameter.required:
        return None
    name = parameter.name.lower()
    if value is None:
        raise UsageError(f"{name} is missing")
    if parameter.number:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise UsageError(f"{name} must be a number")
    elif not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name} must be a text")
    return value
