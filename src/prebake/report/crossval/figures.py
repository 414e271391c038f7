"""Charts of how predictions do out of fold: ROC, reliability, referral."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from prebake.metrics.ranking import SENSITIVITY, SPECIFICITY
from prebake.report.drawing import (
    BOTTOM,
    LEFT,
    ROOM,
    WIDTH,
    Frame,
    across,
    between,
    horizontal,
    nice_ticks,
    svg,
    text,
    through,
    upwards,
)

if TYPE_CHECKING:
    from prebake.metrics import OperatingPoint, ReferralCurve, Reliability, Roc

__all__ = ["SHAPES", "referral_chart", "reliability_chart", "roc_chart"]

RIGHT = 14
NAMES = 96  # room for the names of lines
SQUARE = WIDTH - LEFT - RIGHT + ROOM + BOTTOM  # height with which the plot is a square
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SHAPES = ("circle", "square", "diamond")
"""Of operating points, in the order in which they are given."""


def roc_chart(curve: Roc, points: Sequence[OperatingPoint], *, title: str) -> Markup:
    """Draw a ROC curve with its band, the corner that meets both endpoints of the trial, and operating points.

    Parameters
    ----------
    curve
        With corners.
    points
        Up to three, each drawn with its own of :data:`SHAPES`; what is NaN is left out.
    title
        What the chart shows, for readers who do not see it.
    """
    frame = Frame((0.0, 1.0), (0.0, 1.0), RIGHT, SQUARE, ROOM)
    corner = Markup('<rect class="target" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        frame.px(0), frame.py(1), frame.px(1 - SPECIFICITY) - frame.px(0), frame.py(SENSITIVITY) - frame.py(1)
    )
    diagonal = Markup('<path class="cut" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
        frame.px(0), frame.py(0), frame.px(1), frame.py(1)
    )
    parts = [corner, horizontal(frame, SHARES), _percents(frame, "false alarms: 1 \N{MINUS SIGN} specificity")]
    parts += [upwards("sensitivity"), diagonal, between(frame, curve.band_rate, curve.low, curve.high)]
    parts.append(through(frame, curve.false_positive_rate, curve.sensitivity, "line val"))
    for shape, point in zip(SHAPES, points, strict=False):
        if np.isfinite([point.sensitivity, point.specificity]).all():
            parts.append(_marker(shape, frame.px(1 - point.specificity), frame.py(point.sensitivity)))
    return svg(parts, title, height=SQUARE)


def reliability_chart(table: Reliability, *, title: str) -> Markup:
    """Draw what happened against what was promised, with intervals; on the diagonal a promise is kept."""
    frame = Frame((0.0, 1.0), (0.0, 1.0), RIGHT, SQUARE, ROOM)
    parts = [horizontal(frame, SHARES), _percents(frame, "promised probability"), upwards("share that happened")]
    parts.append(
        Markup('<path class="cut" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
            frame.px(0), frame.py(0), frame.px(1), frame.py(1)
        )
    )
    for promised, low, high in zip(table.promised, table.low, table.high, strict=True):
        if np.isfinite([low, high]).all():
            place = frame.px(promised), frame.py(low), frame.py(high)
            parts.append(Markup('<path class="whisker" d="M{:.1f} {:.1f}V{:.1f}"/>').format(*place))
    parts.append(through(frame, table.promised, table.happened, "line val thin"))
    dot = Markup('<circle class="end val" cx="{:.1f}" cy="{:.1f}" r="4.5"/>')
    parts += [dot.format(frame.px(x), frame.py(y)) for x, y in zip(table.promised, table.happened, strict=True)]
    return svg(parts, title, height=SQUARE)


def referral_chart(curve: ReferralCurve, *, title: str) -> Markup:
    """Draw kappa of the photographs that are left against the share referred, and of a referral at random."""
    every = np.concatenate([curve.kappa, curve.kappa_low, curve.kappa_high, curve.random_kappa])
    known = every[np.isfinite(every)]
    heights = nice_ticks(float(known.min()), min(1.0, float(known.max()))) if known.size else nice_ticks(0.0, 1.0)
    frame = Frame((float(curve.shares[0]), float(curve.shares[-1])), (heights[0], heights[-1]), NAMES, top=ROOM)
    ticks = curve.shares[::2]
    parts = [horizontal(frame, heights), upwards("kappa of the rest")]
    parts.append(
        across(frame, ticks.tolist(), [f"{100 * tick:.0f}\N{NO-BREAK SPACE}%" for tick in ticks], "referred to a human")
    )
    parts.append(between(frame, curve.shares, curve.kappa_low, curve.kappa_high))
    parts.append(through(frame, curve.shares, curve.random_kappa, "line train"))
    parts.append(through(frame, curve.shares, curve.kappa, "line val"))
    ends = [("least certain", "val", curve.kappa), ("at random", "train", curve.random_kappa)]
    places = sorted(
        (frame.py(float(values[np.isfinite(values)][-1])), name, style)
        for name, style, values in ends
        if np.isfinite(values).any()
    )
    floor = -np.inf
    for end, name, style in places:
        floor = max(end, floor + 15)
        parts.append(text(WIDTH - NAMES + 6, floor + 4, name, style=f"name small {style}"))
    return svg(parts, title)


def _percents(frame: Frame, name: str) -> Markup:
    return across(frame, SHARES, [f"{share:.1f}" for share in SHARES], name)


def _marker(shape: str, x: float, y: float) -> Markup:
    if shape == "circle":
        return Markup('<circle class="marker" cx="{:.1f}" cy="{:.1f}" r="5.5"/>').format(x, y)
    turned = Markup(' transform="rotate(45 {:.1f} {:.1f})"').format(x, y) if shape == "diamond" else Markup("")
    markup = Markup('<rect class="marker" x="{:.1f}" y="{:.1f}" width="10" height="10"{}/>')
    return markup.format(x - 5, y - 5, turned)
