"""Size and speed of every codec on the user's own baked images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prebake.bench.result import CodecSpeed
from prebake.store import CODECS, codec_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["codec_speeds"]

SECONDS, PASSES = 0.15, 3


def codec_speeds(images: NDArray[np.uint8]) -> tuple[CodecSpeed, ...]:
    """Encode and decode images with every codec, on one core.

    Parameters
    ----------
    images
        uint8 (N, H, W, C).
    """
    out = np.empty_like(images[0])
    found = []
    for name in CODECS:
        codec = codec_named(name)
        frames = [np.frombuffer(codec.encode(image), np.uint8) for image in images]
        encode = _rate(lambda image, codec=codec: codec.encode(image), images)  # type: ignore[misc]
        decode = _rate(lambda frame, codec=codec: codec.decode(frame, out), frames)  # type: ignore[misc]
        found.append(CodecSpeed(name, sum(frame.nbytes for frame in frames) / images.nbytes, encode, decode))
    return tuple(found)


def _rate(
    work: Callable[[NDArray[np.uint8]], object], things: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
) -> float:
    """Return how many things a second: the median of three passes, each long enough for the clock."""
    rates = []
    for _ in range(PASSES):
        count, start, passed = 0, time.perf_counter(), 0.0
        while passed < SECONDS:
            for thing in things:
                work(thing)
            count += len(things)
            passed = time.perf_counter() - start
        rates.append(count / passed)
    return sorted(rates)[PASSES // 2]
