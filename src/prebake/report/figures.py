"""Charts as inline SVG: they take the page's fonts and colours (light, dark, print) and stay sharp at any size.

Every function returns finished markup; all text that comes from data is escaped. Colours are classes that the page's
style sheet defines (``.train``, ``.val``, ``.off0`` ...).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

__all__ = ["Line", "curves", "interval_scale", "nice_ticks", "strip"]

WIDTH, HEIGHT = 380, 260
LEFT, TOP, BOTTOM = 38, 16, 42
LABEL_ROOM = 80
MAX_POINTS = 4000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One line of a chart: its name, the style class it takes, and (N,) values, NaN where there are none."""

    name: str
    style: str
    values: Floats


@dataclass(frozen=True)
class _Frame:
    """Maps data to the drawing; ``x`` and ``y`` are the data ranges, ``right`` the room kept free on the right."""

    x: tuple[float, float]
    y: tuple[float, float]
    right: float

    def px(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + share * (WIDTH - LEFT - self.right)

    def py(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about ``count`` round numbers (steps of 1, 2 or 5 times a power of ten) that cover ``low..high``.

    Examples
    --------
    >>> nice_ticks(0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low or abs(high) or 1.0
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def curves(
    epochs: Sequence[int], lines: Sequence[Line], *, title: str, best: int | None, ticks: Sequence[float] | None = None
) -> Markup:
    """Draw lines over epochs, each named at its end; the best epoch is marked.

    Parameters
    ----------
    epochs
        The N epochs, increasing.
    lines
        What to draw; values that are NaN leave a gap.
    title
        What the chart shows, for readers who do not see it.
    best
        The epoch to mark.
    ticks
        Of the vertical axis; round numbers from 0 to the largest value without it.
    """
    known = np.concatenate([line.values[np.isfinite(line.values)] for line in lines])
    heights = list(ticks) if ticks is not None else nice_ticks(0.0, float(known.max()) if known.size else 1.0)
    first, last = epochs[0], epochs[-1]
    across = (first - 0.5, last + 0.5) if first == last else (float(first), float(last))
    frame = _Frame(across, (heights[0], heights[-1]), LABEL_ROOM)
    parts = [_horizontal(frame, heights), _epoch_axis(frame, epochs)]
    if best is not None and first <= best <= last:
        x = frame.px(best)
        parts.append(Markup('<path class="best" d="M{:.1f} {}V{}"/>').format(x, TOP, HEIGHT - BOTTOM))
        side = "end" if best > (first + last) / 2 and first != last else "start"
        shift = -5 if side == "end" else 5
        parts.append(_text(x + shift, TOP + 4, f"best: {best}", anchor=side, style="small"))
    parts += [_polyline(frame, epochs, line) for line in lines]
    parts += _names_at_the_end(frame, lines)
    return _svg(parts, title)


def strip(labels: Floats, raw: Floats, thresholds: Sequence[float], *, title: str) -> Markup:
    """Draw every photograph as a dot: its label across, its raw value upwards, coloured by how far off its grade is.

    Parameters
    ----------
    labels
        (N,) whole numbers from 0.
    raw
        (N,) raw values.
    thresholds
        Where raw values are cut into grades; drawn as lines, the grades are named between them.
    title
        What the chart shows, for readers who do not see it.
    """
    labels, raw = labels[:: _stride(len(raw))], raw[:: _stride(len(raw))]
    classes = max(len(thresholds) + 1, int(labels.max()) + 1)
    low, high = min(thresholds[0] - 1.0, float(raw.min()) - 0.1), max(thresholds[-1] + 1.0, float(raw.max()) + 0.1)
    frame = _Frame((-0.5, classes - 0.5), (low, high), 12)
    parts = [_horizontal(frame, [], base=low)]
    right = WIDTH - 12
    cut_line = Markup('<path class="cut" d="M{} {:.1f}H{}"/>')
    parts += [cut_line.format(LEFT, frame.py(cut), right) for cut in thresholds]
    edges = [low, *thresholds, high]
    for number in range(len(thresholds) + 1):
        middle = (max(edges[number], number - 1.0) + min(edges[number + 1], number + 1.0)) / 2
        parts.append(_text(LEFT - 10, frame.py(middle) + 4, str(number), anchor="end"))
    parts += [_text(frame.px(k), HEIGHT - BOTTOM + 18, str(k), anchor="middle") for k in range(classes)]
    parts.append(_text((LEFT + right) / 2, HEIGHT - 6, "label", anchor="middle"))
    parts.append(_text(0, TOP - 4, "graded as", style="small"))
    grades = np.searchsorted(np.asarray(thresholds), raw, side="right")
    misses = np.minimum(np.abs(grades - labels), 2).astype(int)
    across = labels + _scatter(labels, raw)
    for miss in (0, 1, 2):
        chosen = misses == miss
        dots = "".join(
            f"M{frame.px(x):.1f} {frame.py(y):.1f}h0" for x, y in zip(across[chosen], raw[chosen], strict=True)
        )
        parts.append(Markup('<path class="dots off{}" d="{}"/>').format(miss, dots))
    for number in range(classes):
        values = raw[labels == number]
        if values.size:
            y = frame.py(float(np.median(values)))
            ends = frame.px(number - 0.36), frame.px(number + 0.36)
            parts.append(Markup('<path class="median" d="M{:.1f} {:.1f}H{:.1f}"/>').format(ends[0], y, ends[1]))
    return _svg(parts, title, style="many" if len(raw) > 250 else "")


def interval_scale(value: float, low: float, high: float, *, title: str) -> Markup:
    """Draw a number with its interval on a scale from 0 (or the interval's lower end, when that is below) to 1."""
    start = min(0.0, math.floor(low * 5) / 5 if math.isfinite(low) else 0.0, math.floor(value * 5) / 5)
    height, y = 58, 20

    def px(number: float) -> float:
        return 12 + (number - start) / (1 - start) * (WIDTH - 24)

    parts = [Markup('<path class="rail" d="M{:.1f} {}H{:.1f}"/>').format(px(start), y, px(1))]
    for tick in nice_ticks(start, 1.0):
        parts.append(Markup('<path class="tick" d="M{:.1f} {}v6"/>').format(px(tick), y + 7))
        parts.append(_text(px(tick), y + 29, f"{tick:.1f}".replace("-", "\N{MINUS SIGN}"), anchor="middle"))
    if math.isfinite(low) and math.isfinite(high):
        parts.append(Markup('<path class="band" d="M{:.1f} {}H{:.1f}"/>').format(px(low), y, px(high)))
    parts.append(
        Markup('<rect class="point" x="{:.1f}" y="{}" width="7" height="26" rx="3.5"/>').format(px(value) - 3.5, y - 13)
    )
    return _svg(parts, title, height=height)


def _stride(count: int) -> int:
    return max(1, math.ceil(count / MAX_POINTS))


def _scatter(labels: Floats, raw: Floats) -> Floats:
    """Spread dots of one label sideways, evenly and always the same: golden-ratio steps in the order of their value."""
    offsets = np.zeros(len(raw))
    for number in np.unique(labels):
        rows = np.flatnonzero(labels == number)
        rows = rows[np.argsort(raw[rows], kind="stable")]
        room = 0.6 * min(1.0, 0.25 + len(rows) / 60)
        offsets[rows] = (np.modf(np.arange(1, len(rows) + 1) * 0.6180339887498949)[0] - 0.5) * room
    return offsets


def _polyline(frame: _Frame, epochs: Sequence[int], line: Line) -> Markup:
    steps, pen_down, last = [], False, (0.0, 0.0)
    for epoch, value in zip(epochs, line.values, strict=True):
        if math.isfinite(value):
            last = frame.px(epoch), frame.py(value)
            steps.append(f"{'L' if pen_down else 'M'}{last[0]:.1f} {last[1]:.1f}")
            if not pen_down:
                steps.append("h0")
        pen_down = math.isfinite(value)
    if not steps:
        return Markup("")
    drawn = Markup('<path class="line {}" d="{}"/>').format(line.style, "".join(steps))
    return drawn + Markup('<circle class="end {}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(line.style, *last)


def _names_at_the_end(frame: _Frame, lines: Sequence[Line]) -> list[Markup]:
    """Name lines at their right end, pushed apart where they would lie on each other."""
    ends = []
    for line in lines:
        known = line.values[np.isfinite(line.values)]
        if known.size:
            ends.append((frame.py(float(known[-1])), line))
    ends.sort(key=lambda end: end[0])
    parts, floor = [], -math.inf
    for end, line in ends:
        y = max(end, floor)
        floor = y + 16
        parts.append(_text(WIDTH - LABEL_ROOM + 9, y + 4, line.name, style=f"name {line.style}"))
    return parts


def _horizontal(frame: _Frame, ticks: Sequence[float], base: float | None = None) -> Markup:
    right = WIDTH - frame.right
    parts = []
    digits = max((len(f"{tick:g}".partition(".")[2]) for tick in ticks), default=0)
    for tick in ticks:
        y = frame.py(tick)
        style = "base" if tick == ticks[0] else "grid"
        parts.append(Markup('<path class="{}" d="M{} {:.1f}H{}"/>').format(style, LEFT, y, right))
        parts.append(_text(LEFT - 8, y + 4, f"{tick:.{digits}f}".replace("-", "\N{MINUS SIGN}"), anchor="end"))
    if base is not None:
        parts.append(Markup('<path class="base" d="M{} {:.1f}H{}"/>').format(LEFT, frame.py(base), right))
    return Markup("").join(parts)


def _epoch_axis(frame: _Frame, epochs: Sequence[int]) -> Markup:
    step = max(1, math.ceil(len(epochs) / 8))
    shown = [epoch for index, epoch in enumerate(epochs) if index % step == 0]
    if shown[-1] != epochs[-1]:
        shown = [epoch for epoch in shown if epochs[-1] - epoch >= step] + [epochs[-1]]
    parts = [_text(frame.px(epoch), HEIGHT - BOTTOM + 18, str(epoch), anchor="middle") for epoch in shown]
    middle = (LEFT + WIDTH - frame.right) / 2
    parts.append(_text(middle, HEIGHT - 6, "epoch", anchor="middle"))
    return Markup("").join(parts)


def _text(x: float, y: float, words: str, *, anchor: str = "start", style: str = "") -> Markup:
    markup = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>')
    return markup.format(x, y, anchor, style, words)


def _svg(parts: Sequence[Markup], title: str, *, height: int = HEIGHT, style: str = "") -> Markup:
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="{}">')
    return opening.format(WIDTH, height, title, style) + Markup("").join(parts) + Markup("</svg>")
