"""Pictures and small drawings that stand in the page itself."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

import cv2

from prebake.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["bar", "data_uri"]

MARK = 1.4  # width of a value on its scale of 100


def data_uri(image: npt.NDArray[np.uint8], quality: int) -> str:
    """Return a picture, (H, W, 3) uint8 RGB, as a JPEG in a ``data:`` address.

    Raises
    ------
    RunError
        It cannot be encoded.
    """
    done, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RunError("a picture could not be encoded", got=f"shape {image.shape}")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def bar(
    value: float, low: float, high: float, *, ends: tuple[float, float] = (0.0, 1.0), chance: float = math.nan
) -> dict[str, str]:
    """Return places on a scale of 100 for the drawing: the interval, the value, and what chance reaches.

    Parameters
    ----------
    value, low, high
        A number and its interval; ends that are NaN lie at the value.
    ends
        Of the scale.
    chance
        Marked by a thin line; NaN for none.
    """

    def place(number: float) -> float:
        return 100 * min(max((number - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)

    start, stop = (place(value if math.isnan(end) else end) for end in (low, high))
    return {
        "low": f"{min(start, 99.5):.1f}",
        "width": f"{max(stop - start, 0.5):.1f}",
        "value": f"{min(place(value), 100 - MARK):.1f}",
        "chance": "" if math.isnan(chance) else f"{place(chance):.1f}",
    }
