"""Charts as inline SVG: they take the page's fonts and colours (light, dark, print) and stay sharp at any size.

Every function returns finished markup; all text that comes from data is escaped. Colours are classes that the page's
style sheet defines (``.train``, ``.val``, ``.off0`` ...).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from prebake.report.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    TOP,
    WIDTH,
    Floats,
    Frame,
    across,
    horizontal,
    nice_ticks,
    svg,
    text,
    through,
    upwards,
)

__all__ = ["Line", "curves", "interval_scale", "strip"]

LABEL_ROOM = 80
MAX_POINTS = 4000


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Parameters
    ----------
    name
        Stands at its end; ``""`` for none.
    style
        The style class that it takes.
    values
        (N,), NaN where there are none.
    best
        Where a dot marks its best epoch: the number of the value.
    """

    name: str
    style: str
    values: Floats
    best: int | None = None


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
    ends = (first - 0.5, last + 0.5) if first == last else (float(first), float(last))
    frame = Frame(ends, (heights[0], heights[-1]), LABEL_ROOM if any(line.name for line in lines) else 12)
    parts = [horizontal(frame, heights), _epoch_axis(frame, epochs)]
    if best is not None and first <= best <= last:
        x = frame.px(best)
        parts.append(Markup('<path class="best" d="M{:.1f} {}V{}"/>').format(x, TOP, HEIGHT - BOTTOM))
        side = "end" if best > (first + last) / 2 and first != last else "start"
        shift = -5 if side == "end" else 5
        parts.append(text(x + shift, TOP + 4, f"best: {best}", anchor=side, style="small"))
    parts += [_polyline(frame, epochs, line) for line in lines]
    parts += _names_at_the_end(frame, lines)
    return svg(parts, title)


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
    frame = Frame((-0.5, classes - 0.5), (low, high), 12)
    parts = [horizontal(frame, [], base=low)]
    right = WIDTH - 12
    cut_line = Markup('<path class="cut" d="M{} {:.1f}H{}"/>')
    parts += [cut_line.format(LEFT, frame.py(cut), right) for cut in thresholds]
    edges = [low, *thresholds, high]
    for number in range(len(thresholds) + 1):
        middle = (max(edges[number], number - 1.0) + min(edges[number + 1], number + 1.0)) / 2
        parts.append(text(LEFT - 10, frame.py(middle) + 4, str(number), anchor="end"))
    parts += [across(frame, range(classes), [str(k) for k in range(classes)], "label"), upwards("graded as")]
    grades = np.searchsorted(np.asarray(thresholds), raw, side="right")
    misses = np.minimum(np.abs(grades - labels), 2).astype(int)
    spread = labels + _scatter(labels, raw)
    for miss in (0, 1, 2):
        chosen = misses == miss
        dots = "".join(
            f"M{frame.px(x):.1f} {frame.py(y):.1f}h0" for x, y in zip(spread[chosen], raw[chosen], strict=True)
        )
        parts.append(Markup('<path class="dots off{}" d="{}"/>').format(miss, dots))
    for number in range(classes):
        values = raw[labels == number]
        if values.size:
            y = frame.py(float(np.median(values)))
            ends = frame.px(number - 0.36), frame.px(number + 0.36)
            parts.append(Markup('<path class="median" d="M{:.1f} {:.1f}H{:.1f}"/>').format(ends[0], y, ends[1]))
    return svg(parts, title, style="many" if len(raw) > 250 else "")


def interval_scale(value: float, low: float, high: float, *, title: str, marks: Sequence[float] = ()) -> Markup:
    """Draw a number with its interval on a scale from 0 (or the lowest of what is drawn) to 1; ``marks`` are dots."""
    start = min(0.0, *(math.floor(each * 5) / 5 for each in (low, value, *marks) if math.isfinite(each)))
    height, y = 58, 20

    def px(number: float) -> float:
        return 12 + (number - start) / (1 - start) * (WIDTH - 24)

    parts = [Markup('<path class="rail" d="M{:.1f} {}H{:.1f}"/>').format(px(start), y, px(1))]
    for tick in nice_ticks(start, 1.0):
        parts.append(Markup('<path class="tick" d="M{:.1f} {}v6"/>').format(px(tick), y + 7))
        parts.append(text(px(tick), y + 29, f"{tick:.1f}".replace("-", "\N{MINUS SIGN}"), anchor="middle"))
    if math.isfinite(low) and math.isfinite(high):
        parts.append(Markup('<path class="band" d="M{:.1f} {}H{:.1f}"/>').format(px(low), y, px(high)))
    dot = Markup('<circle class="each" cx="{:.1f}" cy="{}" r="3.5"/>')
    parts += [dot.format(px(mark), y) for mark in marks if math.isfinite(mark)]
    parts.append(
        Markup('<rect class="point" x="{:.1f}" y="{}" width="7" height="26" rx="3.5"/>').format(px(value) - 3.5, y - 13)
    )
    return svg(parts, title, height=height)


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


def _polyline(frame: Frame, epochs: Sequence[int], line: Line) -> Markup:
    """Draw a line over epochs, with a dot at its end or at its best epoch."""
    known = np.flatnonzero(np.isfinite(line.values))
    if not known.size:
        return Markup("")
    dot = known[-1] if line.best is None else line.best
    drawn = through(frame, np.asarray(epochs, dtype=np.float64), line.values, f"line {line.style}")
    if not math.isfinite(line.values[dot]):
        return drawn
    place = frame.px(epochs[dot]), frame.py(float(line.values[dot]))
    return drawn + Markup('<circle class="end {}" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(
        line.style, *place, 3.5 if line.best is None else 4.5
    )


def _names_at_the_end(frame: Frame, lines: Sequence[Line]) -> list[Markup]:
    """Name lines at their right end, pushed apart where they would lie on each other."""
    ends = []
    for line in lines:
        known = line.values[np.isfinite(line.values)]
        if known.size and line.name:
            ends.append((frame.py(float(known[-1])), line))
    ends.sort(key=lambda end: end[0])
    parts, floor = [], -math.inf
    for end, line in ends:
        y = max(end, floor)
        floor = y + 16
        parts.append(text(WIDTH - LABEL_ROOM + 9, y + 4, line.name, style=f"name {line.style}"))
    return parts


def _epoch_axis(frame: Frame, epochs: Sequence[int]) -> Markup:
    step = max(1, math.ceil(len(epochs) / 8))
    shown = [epoch for index, epoch in enumerate(epochs) if index % step == 0]
    if shown[-1] != epochs[-1]:
        shown = [epoch for epoch in shown if epochs[-1] - epoch >= step] + [epochs[-1]]
    return across(frame, shown, [str(epoch) for epoch in shown], "epoch")
