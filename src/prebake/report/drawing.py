"""What every chart is drawn with: the mapping from data to the drawing, axes, text, the SVG element.

Every function returns finished markup; all text that comes from data is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

__all__ = [
    "BOTTOM",
    "HEIGHT",
    "LEFT",
    "ROOM",
    "TOP",
    "WIDTH",
    "Floats",
    "Frame",
    "across",
    "between",
    "horizontal",
    "nice_ticks",
    "svg",
    "text",
    "through",
    "upwards",
]

WIDTH, HEIGHT = 380, 260
LEFT, TOP, BOTTOM = 38, 16, 42
ROOM = 30  # above an axis whose name stands over its highest number

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """Maps data to the drawing.

    Parameters
    ----------
    x, y
        The data ranges.
    right
        Room kept free on the right.
    height
        Of the whole drawing.
    top
        Room kept free above.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    right: float
    height: float = HEIGHT
    top: float = TOP

    @property
    def base(self) -> float:
        """Where the lower axis lies."""
        return self.height - BOTTOM

    def px(self, value: float) -> float:
        """Return the place of a value across."""
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + share * (WIDTH - LEFT - self.right)

    def py(self, value: float) -> float:
        """Return the height of a value."""
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return self.base - share * (self.height - self.top - BOTTOM)


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


def horizontal(frame: Frame, ticks: Sequence[float], base: float | None = None) -> Markup:
    """Draw the lines of the vertical axis with their numbers; or only a line at ``base``."""
    right = WIDTH - frame.right
    parts = []
    digits = max((len(f"{tick:g}".partition(".")[2]) for tick in ticks), default=0)
    for tick in ticks:
        y = frame.py(tick)
        style = "base" if tick == ticks[0] else "grid"
        parts.append(Markup('<path class="{}" d="M{} {:.1f}H{}"/>').format(style, LEFT, y, right))
        parts.append(text(LEFT - 8, y + 4, f"{tick:.{digits}f}".replace("-", "\N{MINUS SIGN}"), anchor="end"))
    if base is not None:
        parts.append(Markup('<path class="base" d="M{} {:.1f}H{}"/>').format(LEFT, frame.py(base), right))
    return Markup("").join(parts)


def across(frame: Frame, ticks: Sequence[float], words: Sequence[str], name: str) -> Markup:
    """Write the numbers of the horizontal axis and, in the middle below them, what it is."""
    parts = [
        text(frame.px(tick), frame.base + 18, word, anchor="middle") for tick, word in zip(ticks, words, strict=True)
    ]
    middle = (LEFT + WIDTH - frame.right) / 2
    parts.append(text(middle, frame.height - 6, name, anchor="middle"))
    return Markup("").join(parts)


def upwards(name: str) -> Markup:
    """Write above the vertical axis what it is; an axis with a number at its top needs :data:`ROOM` there."""
    return text(0, TOP - 4, name, style="small")


def through(frame: Frame, x: Floats, y: Floats, style: str) -> Markup:
    """Draw a line through points; those that are NaN leave a gap."""
    steps, pen_down = [], False
    for one, other in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(other):
            steps.append(f"{'L' if pen_down else 'M'}{frame.px(one):.1f} {frame.py(other):.1f}")
            if not pen_down:
                steps.append("h0")
        pen_down = math.isfinite(other)
    return Markup('<path class="{}" d="{}"/>').format(style, "".join(steps)) if steps else Markup("")


def between(frame: Frame, x: Floats, low: Floats, high: Floats) -> Markup:
    """Fill a band; points of which an end is NaN are left out."""
    known = np.isfinite(low) & np.isfinite(high)
    if known.sum() < 2:
        return Markup("")
    there = [f"{frame.px(a):.1f} {frame.py(b):.1f}" for a, b in zip(x[known], high[known], strict=True)]
    back = [f"{frame.px(a):.1f} {frame.py(b):.1f}" for a, b in zip(x[known], low[known], strict=True)]
    return Markup('<path class="area" d="M{}Z"/>').format("L".join([*there, *reversed(back)]))


def text(x: float, y: float, words: str, *, anchor: str = "start", style: str = "") -> Markup:
    """Write a line of text."""
    markup = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>')
    return markup.format(x, y, anchor, style, words)


def svg(parts: Sequence[Markup], title: str, *, height: int = HEIGHT, style: str = "") -> Markup:
    """Put a drawing together; ``title`` says what it shows to readers who do not see it."""
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="{}">')
    return opening.format(WIDTH, height, title, style) + Markup("").join(parts) + Markup("</svg>")
