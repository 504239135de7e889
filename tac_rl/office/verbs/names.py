"""How names are recognised: of rooms, people, projects, states.

Whoever types need not get case, spaces and hyphens right; where nothing fits, the error tells the nearest.
"""

from __future__ import annotations

from .http import Missing, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    T = TypeVar("T")

_SHOWN = 8
"""How many names an error tells where none is near."""


def plain(name: str) -> str:
    """How names are compared: case, and hyphens, underscores, dots for spaces, don't count."""
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").replace(".", " ").split())


def pick(wanted: str, what: str, named: Iterable[tuple[str, T]]) -> T:
    """What is called `wanted`: exactly, else as `plain` compares. `Problem` tells the nearest names.

    Something may be named several times, by different names.
    """
    pairs = list(named)
    for name, item in pairs:
        if name == wanted:
            return item
    found = {id(item): (name, item) for name, item in pairs if plain(name) == plain(wanted)}
    if len(found) == 1:
        return next(iter(found.values()))[1]
    if found:
        raise Problem(f"{wanted!r} may be any of: {', '.join(name for name, _ in found.values())}")
    raise NoSuchName(what, wanted, [name for name, _ in pairs])


def pick_person(wanted: str, people: list[tuple[str, str]]) -> str:
    """The username of whoever `wanted` names, of (username, full name) pairs; a unique first name does."""
    wanted = wanted.lstrip("@")
    first = {username for username, name in people if name.casefold().partition(" ")[0] == wanted.casefold()}
    if len(first) == 1 and wanted not in (username for username, _ in people):
        return first.pop()
    try:
        return pick(wanted, "person", [(name, pair[0]) for pair in people for name in pair if name])
    except NoSuchName:
        raise NoSuchName("person", wanted, first or [username for username, _ in people]) from None


class NoSuchName(Missing):
    """Nothing is called that."""

    def __init__(self, what: str, wanted: str, names: Iterable[str]) -> None:
        super().__init__(f"there is no {what} {wanted!r}; {_hint(wanted, list(dict.fromkeys(names)))}")


def _hint(wanted: str, names: list[str]) -> str:
    near = nearest(wanted, names)
    if near:
        return f"nearest: {', '.join(near)}"
    if not names:
        return "there is none at all"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there {'is' if len(names) == 1 else 'are'}: {', '.join(names[:_SHOWN])}{more}"


def nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """Up to five names that look like what was wanted."""
    from difflib import get_close_matches

    by_plain = {plain(name): name for name in names}
    key = plain(wanted)
    inside = [name for text, name in by_plain.items() if key and (key in text or text in key)]
    close = [by_plain[text] for text in get_close_matches(key, by_plain, 5, 0.6)]
    return list(dict.fromkeys(close + inside))[:5]


def first_line(text: str | None, width: int = 100) -> str:
    """For lists: a text's first line, cut."""
    line = next(iter((text or "").strip().splitlines()), "")
    return line if len(line) <= width else line[: width - 1] + "…"
