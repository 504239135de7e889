"""What a TAC package's Dockerfile asks for: enough of the format for files that build on TAC's base image."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tac_rl.errors import TaskError

_HARMLESS = re.compile(r"(set -e|chmod \S+ /(utils|workspace|instruction)\S*)")
_APT_HOUSEKEEPING = re.compile(r"apt(-get)?\s+(-\S+\s+)*(update|clean)|rm\s+-rf\s+/var/lib/apt/lists\S*")


@dataclass(frozen=True)
class Copy:
    """`COPY source... target`, as written."""

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Dockerfile:
    """The parts of a Dockerfile."""

    base: str
    copies: tuple[Copy, ...] = ()
    pip: tuple[str, ...] = ()
    """Requirements that it installs with pip."""
    apt: tuple[str, ...] = ()
    """Packages that it installs with apt."""
    others: tuple[str, ...] = ()
    """Instructions that only a container can follow."""


def read_dockerfile(path: Path) -> Dockerfile:
    """Read and parse; `TaskError` names the file and the line that is no Dockerfile's."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: could not be read: {error}") from None
    return parse_dockerfile(text, str(path))


def parse_dockerfile(text: str, source: str) -> Dockerfile:
    """The parts of the Dockerfile `text`; `source` names it in errors."""
    bases: list[str] = []
    copies: list[Copy] = []
    pip: list[str] = []
    apt: list[str] = []
    others: list[str] = []
    for instruction, rest in _instructions(text, source):
        if instruction == "FROM":
            bases.append(rest.split()[0])
        elif instruction == "COPY" and (copy := _copy(rest)) is not None:
            copies.append(copy)
        elif instruction == "RUN" and (installs := _installs(rest)) is not None:
            pip += installs[0]
            apt += installs[1]
        else:
            others.append(f"{instruction} {rest}")
    if len(bases) != 1:
        raise TaskError(f"{source}: must have exactly one FROM, it has {len(bases)}")
    return Dockerfile(bases[0], tuple(copies), tuple(pip), tuple(apt), tuple(others))


def _instructions(text: str, source: str) -> list[tuple[str, str]]:
    """Name and arguments of each instruction; comments gone, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    found = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        if not re.fullmatch(r"[A-Za-z]+", name) or not rest.strip():
            raise TaskError(f"{source}: {line[:80]!r} is no instruction of a Dockerfile")
        found.append((name.upper(), " ".join(rest.split())))
    return found


def _copy(rest: str) -> Copy | None:
    """None for a form that this module doesn't know (options, JSON)."""
    if rest.startswith(("[", "--")) or len(words := rest.split()) < 2:
        return None
    return Copy(tuple(words[:-1]), words[-1])


def _installs(command: str) -> tuple[list[str], list[str]] | None:
    """What a RUN installs with pip and with apt; None where it does anything else too."""
    pip: list[str] = []
    apt: list[str] = []
    for part in (part.strip() for part in command.split("&&")):
        if _HARMLESS.fullmatch(part) or _APT_HOUSEKEEPING.fullmatch(part):
            continue
        words = _words(part)
        if words is None or "install" not in words[1:]:
            return None
        tool, arguments = words[0], words[1:]
        names = [word for word in arguments if not word.startswith("-") and word != "install"]
        if tool == "pip":
            pip += names
        elif tool in ("apt-get", "apt"):
            apt += names
        else:
            return None
    return pip, apt


def _words(command: str) -> list[str] | None:
    """A plain command's words without the variables before it; None where the shell would do more than run it."""
    lexer = shlex.shlex(re.sub(r"^([A-Z_]+=\S+\s+)*", "", command), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return None
    special = any(set(word) <= set("();<>|&") or word.startswith(("$", "`")) for word in words)
    return None if special or not words else words
