"""The stories of the repositories: what was written, in which order (`data/repositories/*.txt`).

== message of a commit | key=KEY mr=BRANCH     KEY: the issue it closes; BRANCH: where it was written
-- path                                        what follows is added to the end of the file
-~ path                                        what follows replaces parts of it: <<<< old ==== new >>>>
"""

import re
from dataclasses import dataclass
from importlib import resources

_REPLACEMENT = re.compile(r"<<<<\n(.*?)\n====\n(.*?)\n>>>>\n?", re.DOTALL)


@dataclass(frozen=True)
class Edit:
    """A change to one file."""

    path: str
    added: str = ""
    replaced: tuple[tuple[str, str], ...] = ()

    def apply(self, text: str) -> str:
        """The file's text after this change."""
        for old, new in self.replaced:
            if text.count(old) != 1:
                raise ValueError(f"{self.path}: {text.count(old)} places for the change of {old!r}")
            text = text.replace(old, new)
        if not self.added:
            return text
        gap = "\n\n" if self.path.endswith(".py") and text else "\n" if text else ""
        return f"{text}{gap}{self.added}"


@dataclass(frozen=True)
class Step:
    """One commit of a story."""

    message: str
    edits: tuple[Edit, ...]
    key: str = ""
    branch: str = ""


def read_story(path: str) -> tuple[Step, ...]:
    """The story of the repository at `path`."""
    file = resources.files(__package__) / "data" / "repositories" / f"{path}.txt"
    text = file.read_text(encoding="utf-8")
    return tuple(_step(part) for part in re.split(r"^== ", text, flags=re.MULTILINE)[1:])


def _step(part: str) -> Step:
    head, _, body = part.partition("\n")
    message, _, options = head.partition(" | ")
    given = dict(option.split("=") for option in options.split())
    edits = []
    for piece in re.split(r"^(?=-[-~] \S+$)", body, flags=re.MULTILINE)[1:]:
        mark, _, rest = piece.partition(" ")
        path, _, content = rest.partition("\n")
        content = content.strip("\n") + "\n"
        if mark == "-~":
            pairs = tuple((m[1], m[2]) for m in _REPLACEMENT.finditer(content))
            edits.append(Edit(path, replaced=pairs))
        else:
            edits.append(Edit(path, added=content))
    return Step(message, tuple(edits), given.get("key", ""), given.get("mr", ""))
