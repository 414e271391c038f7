"""The eight ways to hold a square picture: exact, for no pixel is computed anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["VIEWS", "views"]

VIEWS = 8


def views(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield pictures as they are and turned by one, two, three quarters; then the same of their mirror images.

    Parameters
    ----------
    images
        (B, C, S, S).

    Yields
    ------
    :data:`VIEWS` tensors (B, C, S, S) of the same pixels, one at a time; the first is ``images`` itself.
    """
    yield images
    for turns in (1, 2, 3):
        yield images.rot90(turns, (2, 3))
    mirrored = images.flip(3)
    yield mirrored
    for turns in (1, 2, 3):
        yield mirrored.rot90(turns, (2, 3))
