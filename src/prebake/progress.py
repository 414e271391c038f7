"""Progress with rate and time left on a terminal; silence elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Progress", "progress"]

Progress: TypeAlias = "tqdm[Any]"


def progress(what: str, total: int, *, unit: str = "img", enabled: bool = True, initial: int = 0) -> Progress:
    """Return a progress bar on standard error: a context manager with ``update(n)``.

    Parameters
    ----------
    what
        The work, as a present participle: ``"packing"``.
    total
        The number of units of the whole work.
    unit
        What is counted.
    enabled
        ``False`` keeps quiet in any case; standard error that is no terminal keeps quiet by itself.
    initial
        Units that were done before (resumed work).
    """
    from tqdm import tqdm  # noqa: PLC0415 - slow to load, and opening a pack shows no progress

    return tqdm(
        desc=what,
        total=total,
        unit=f" {unit}",
        initial=initial,
        disable=not (enabled and sys.stderr.isatty()),
        dynamic_ncols=True,
        smoothing=0.1,
        file=sys.stderr,
    )
