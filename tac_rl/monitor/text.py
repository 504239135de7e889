"""Model-written text made harmless for a terminal or a page: nothing in it can act, all of it can be seen."""

import html
import math
import re

# Escape sequences would drive the terminal; direction marks make text read as something else.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


def plain(text: str) -> str:
    """`text` with control characters as visible pictures; line ends and tabs stay."""
    return _CONTROLS.sub(_visible, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`text` on one line, harmless for a terminal."""
    return " ".join(plain(text).split())


def escaped(text: str, limit: int | None = None) -> str:
    """`text` harmless inside HTML, also as an attribute's value; beyond `limit` its middle is left out."""
    if limit is not None and len(text) > limit:
        cut = len(text) - limit
        text = f"{text[: limit // 2]}\n... {cut} characters left out ...\n{text[len(text) - limit // 2 :]}"
    return html.escape(plain(text), quote=True)


def percent(share: float | None) -> str:
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.0f}%"


def number(value: float | None) -> str:
    """Three significant digits, without exponents where a person would not write one."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}".replace("e-0", "e-")


def duration(seconds: float) -> str:
    """Such as `8s`, `3m12s`, `2h05m`."""
    total = max(0, round(seconds))
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m{total % 60:02d}s"
    return f"{total // 3600}h{total % 3600 // 60:02d}m"
