"""The first part of a push in git's protocol: which references shall become what. And how a push is refused."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

RESULT_TYPE = "application/x-git-receive-pack-result"
_ZERO = "0" * 40
_BAND = 65000
"""Bytes of one packet, at most."""


class PushError(Exception):
    """What the client sent isn't a push."""


@dataclass(frozen=True)
class Command:
    """One reference's change; None: it isn't there."""

    ref: str
    old: str | None
    new: str | None

    @property
    def deletes(self) -> bool:
        return self.new is None


@dataclass(frozen=True)
class Commands:
    refs: list[Command]
    capabilities: frozenset[str]


async def read_commands(body: AsyncIterator[bytes], largest: int) -> tuple[Commands, bytes]:
    """The commands, and all bytes that were read of the body (more than the commands, perhaps)."""
    read = b""
    at = 0
    lines: list[bytes] = []
    while True:
        while len(read) < at + 4:
            read += await _more(body, len(read), largest)
        length = _length(read[at : at + 4])
        if length == 0:
            return _parse(lines), read
        while len(read) < at + length:
            read += await _more(body, len(read), largest)
        lines.append(read[at + 4 : at + length])
        at += length


async def _more(body: AsyncIterator[bytes], size: int, largest: int) -> bytes:
    if size > largest:
        raise PushError("The push names too many references")
    async for chunk in body:
        return chunk
    raise PushError("The push ends before its list of references does")


def _length(digits: bytes) -> int:
    try:
        length = int(digits, 16)
    except ValueError as error:
        raise PushError("The push is malformed") from error
    if length != 0 and length < 5:
        raise PushError("The push is malformed")
    return length


def _parse(lines: list[bytes]) -> Commands:
    refs: list[Command] = []
    capabilities: frozenset[str] = frozenset()
    for line in lines:
        text, _, offered = line.rstrip(b"\n").partition(b"\0")
        if text.startswith((b"shallow ", b"push-cert")):
            if text.startswith(b"push-cert"):
                raise PushError("Signed pushes aren't taken here")
            continue
        if offered:
            capabilities = frozenset(offered.decode(errors="replace").split())
        try:
            old, new, ref = text.decode().split(" ", 2)
        except ValueError as error:  # UnicodeDecodeError is one too
            raise PushError("The push names a reference that isn't UTF-8") from error
        refs.append(Command(ref, None if old == _ZERO else old, None if new == _ZERO else new))
    return Commands(refs, capabilities)


def refusal(commands: Commands, reason: str) -> bytes:
    """An answer that refuses all of a push, as a pre-receive hook of GitLab would."""
    report = b""
    if commands.capabilities & {"report-status", "report-status-v2"}:
        report = _packet(b"unpack ok\n")
        for command in commands.refs:
            report += _packet(f"ng {command.ref} pre-receive hook declined\n".encode())
        report += b"0000"
    if not commands.capabilities & {"side-band-64k", "side-band"}:
        return report
    size = _BAND if "side-band-64k" in commands.capabilities else 990
    bands = _packet(b"\x02" + f"GitLab: {reason}\n".encode())
    for start in range(0, len(report), size):
        bands += _packet(b"\x01" + report[start : start + size])
    return bands + b"0000"


def remark(commands: Commands, text: str) -> bytes:
    """A text for the person who pushes, to be sent before git's own answer; nothing if the client can't show it."""
    if "side-band-64k" not in commands.capabilities:
        return b""
    return _packet(b"\x02" + text.encode()[:_BAND])


def _packet(content: bytes) -> bytes:
    return f"{len(content) + 4:04x}".encode() + content
