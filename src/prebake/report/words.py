"""Numbers and small facts of a run as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from prebake.metrics import Number
    from prebake.runs import Run

__all__ = ["best_epoch", "duration", "if_there", "interval_of", "number", "percent", "short", "with_interval"]

T = TypeVar("T")
NOTHING = "\N{EN DASH}"


def number(value: float, digits: int = 2) -> str:
    """Format a number for reading: a real minus sign, and a dash for what is undefined.

    Examples
    --------
    >>> number(0.128), number(1.0, 0)
    ('0.13', '1')
    """
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Format a share as whole per cent; never 0 % or 100 % for what is not exactly that.

    Examples
    --------
    >>> percent(0.612).split(), percent(0.999).split(), percent(1.0).split()
    (['61', '%'], ['>99', '%'], ['100', '%'])
    """
    if not math.isfinite(share):
        return NOTHING
    if 0 < share < 0.005:
        return "<1\N{NO-BREAK SPACE}%"
    if 0.995 <= share < 1:
        return ">99\N{NO-BREAK SPACE}%"
    return f"{share * 100:.0f}\N{NO-BREAK SPACE}%"


def with_interval(found: Number, form: Callable[[float], str] = number) -> str:
    """Return a number with its interval: ``0.81 (0.75 to 0.86)``; why there is none where it is undefined.

    Parameters
    ----------
    found
        As :func:`prebake.metrics.judge` gives it.
    form
        How its value and ends are written.
    """
    if found["value"] is None:
        return f"undefined: {found['reason']}"
    return f"{form(found['value'])} ({interval_of(found, form)})"


def interval_of(found: Number, form: Callable[[float], str] = number) -> str:
    """Return the interval of a number: ``0.75 to 0.86``; the reason where there is none."""
    if found["low"] is None or found["high"] is None:
        return found["reason"]
    return f"{form(found['low'])} to {form(found['high'])}"


def short(value: float) -> str:
    """Format a number of a table with four significant digits."""
    return f"{value:.4g}" if math.isfinite(value) else NOTHING


def duration(seconds: float) -> str:
    """Format a time: ``12 minutes``."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def best_epoch(run: Run) -> int | None:
    """Return the best epoch, or ``None`` where the run does not tell it."""
    best = run.info.get("best_epoch")
    return best if isinstance(best, int) and best > 0 else None


def if_there(run: Run, name: str, read: Callable[[], T]) -> T | None:
    """Read a part of the run, or return ``None`` when its file is not there (yet)."""
    return read() if (run.path / name).is_file() else None
