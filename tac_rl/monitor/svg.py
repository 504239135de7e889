"""Inline SVG plots for the report: lines with bands, outcome strips, stacked bars and heat maps.

Colours are CSS classes and variables of `assets.STYLE`, so a plot follows the page's light or dark. It draws what the
report needs and is no plotting library.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tac_rl.monitor.text import escaped, number

_LEFT, _RIGHT, _TOP, _BOTTOM = 50.0, 12.0, 10.0, 24.0


@dataclass(frozen=True)
class Series:
    """One line: points (x, y) in order of x; points that are not finite are left out."""

    name: str
    points: Sequence[tuple[float, float | None]]
    band: Sequence[tuple[float, float]] = field(default=())
    """(low, high) for each point, or empty."""

    def finite(self) -> list[tuple[float, float]]:
        return [(x, y) for x, y in self.points if y is not None and math.isfinite(y)]


def line_plot(
    series: Sequence[Series],
    *,
    label: str,
    share: bool = False,
    width: int = 370,
    height: int = 176,
    markers: bool = False,
) -> str:
    """Lines over iterations. `share`: the y axis is 0 to 100 %. A note stands in where there is nothing to draw."""
    points = [p for s in series for p in s.finite()]
    if not points:
        return '<p class="none">nothing recorded yet</p>'
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    x_high = x_high if x_high > x_low else x_low + 1
    ticks = (
        [0.0, 0.25, 0.5, 0.75, 1.0] if share else _ticks(min(y for _, y in points), max(y for _, y in points))
    )
    y_low, y_high = ticks[0], ticks[-1]

    def px(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (width - _LEFT - _RIGHT)

    def py(y: float) -> float:
        y = min(y_high, max(y_low, y))
        return _TOP + (1 - (y - y_low) / (y_high - y_low)) * (height - _TOP - _BOTTOM)

    parts = [f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(label)}">']
    for tick in ticks:
        text = f"{100 * tick:.0f}%" if share else number(tick)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{py(tick):.1f}" y2="{py(tick):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{_LEFT - 6}" y="{py(tick) + 3.5:.1f}" text-anchor="end">{text}</text>'
        )
    for tick in _whole_ticks(x_low, x_high):
        parts.append(
            f'<text class="tick" x="{px(tick):.1f}" y="{height - 7}" text-anchor="middle">{tick}</text>'
        )
    for n, one in enumerate(series):
        if one.band:
            pairs = [(x, b) for (x, _), b in zip(one.points, one.band, strict=True)]
            outline = [f"{px(x):.1f},{py(high):.1f}" for x, (_, high) in pairs]
            outline += [f"{px(x):.1f},{py(low):.1f}" for x, (low, _) in reversed(pairs)]
            parts.append(f'<polygon class="band s{n}" points="{" ".join(outline)}"/>')
        finite = one.finite()
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in finite)
        parts.append(f'<polyline class="line s{n}" points="{path}"/>')
        for x, y in finite:
            shown = f"{100 * y:.1f}%" if share else number(y)
            visible = " dot" if markers or len(finite) == 1 else ""
            parts.append(
                f'<circle class="hit{visible} s{n}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="{3.2 if visible else 7}">'
                f"<title>{escaped(one.name)}, iteration {x:g}: {shown}</title></circle>"
            )
    parts.append("</svg>")
    return "".join(parts) + (_legend([s.name for s in series]) if len(series) > 1 else "")


def stacked_bar(shares: dict[str, float], seconds: dict[str, float]) -> str:
    """One bar of shares that add up to 1, with its legend."""
    x, parts = 0.0, ['<svg class="stack" viewBox="0 0 1000 26" preserveAspectRatio="none" role="img">']
    for n, (phase, share) in enumerate(shares.items()):
        title = f"{escaped(phase)}: {100 * share:.1f}%, {seconds[phase]:.1f} s"
        parts.append(
            f'<rect class="fill s{n % 8}" x="{1000 * x:.1f}" width="{max(0.0, 1000 * share - 1.5):.1f}" height="26">'
            f"<title>{title}</title></rect>"
        )
        x += share
    return "".join(parts) + "</svg>" + _legend([f"{p} {100 * s:.1f}%" for p, s in shares.items()])


def strip(marks: Sequence[tuple[float | None, str]]) -> str:
    """Attempts as columns: (height 0 to 1 or None for a failure of ours, tooltip)."""
    step, height = 7, 20
    parts = [f'<svg class="strip" width="{step * len(marks) or 1}" height="{height}" role="img">']
    for n, (share, title) in enumerate(marks):
        kind = "ours" if share is None else "full" if share >= 1 else "part" if share > 0 else "zero"
        tall = height if share is None else max(3.0, share * height)
        parts.append(
            f'<rect class="{kind}" x="{n * step}" y="{height - tall:.1f}" width="{step - 2}" height="{tall:.1f}">'
            f"<title>{escaped(title)}</title></rect>"
        )
    return "".join(parts) + "</svg>"


def heat_map(rows: dict[str, dict[int, float]], columns: Sequence[int]) -> str:
    """Rows by columns, darker where larger; each row is named at its left."""
    top = max((v for row in rows.values() for v in row.values() if math.isfinite(v)), default=0.0) or 1.0
    name_width, cell_height = 190, 18
    cell = max(3.0, min(26.0, 700 / max(1, len(columns))))
    width, height = name_width + cell * len(columns) + 4, cell_height * len(rows) + 22
    parts = [f'<svg class="heat" width="{width:.0f}" viewBox="0 0 {width:.0f} {height}" role="img">']
    for y, (name, row) in enumerate(rows.items()):
        parts.append(
            f'<text class="tick" x="{name_width - 8}" y="{y * cell_height + 13}" text-anchor="end">'
            f"{escaped(name)}</text>"
        )
        for x, column in enumerate(columns):
            value = row.get(column)
            if value is None or not math.isfinite(value):
                continue
            parts.append(
                f'<rect class="fill s0" x="{name_width + x * cell:.1f}" y="{y * cell_height + 1}" '
                f'width="{cell - 1:.1f}" height="{cell_height - 2}" '
                f'fill-opacity="{0.06 + 0.94 * max(0.0, value) / top:.3f}">'
                f"<title>{escaped(name)}, iteration {column}: {number(value)}</title></rect>"
            )
    every = max(1, math.ceil(len(columns) / 12))
    for x, column in enumerate(columns):
        if x % every == 0:
            middle = name_width + (x + 0.5) * cell
            parts.append(
                f'<text class="tick" x="{middle:.1f}" y="{height - 6}" text-anchor="middle">{column}</text>'
            )
    return "".join(parts) + "</svg>"


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<span><i class="key s{n % 8}"></i>{escaped(name)}</span>' for n, name in enumerate(names)
    )
    return f'<div class="legend">{items}</div>'


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that enclose [low, high]."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    if 0 < low < 0.5 * high:
        low = 0.0  # a scale from 0 is more honest where it costs little
    raw = (high - low) / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def _whole_ticks(low: float, high: float) -> list[int]:
    step = max(1, math.ceil((high - low) / 8))
    step = next(s for s in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, step) if s >= step)
    return list(range(math.ceil(low / step) * step, math.floor(high) + 1, step))
