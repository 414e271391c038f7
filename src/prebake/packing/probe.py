"""Measure what the choice of a codec is made from: memory, a few baked images, the speeds of this machine."""

from __future__ import annotations

import errno
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from prebake.machine import usable_cores
from prebake.store import codec_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.packing.codec_choice import CodecFacts

__all__ = ["machine_memory", "measured", "spread"]

T = TypeVar("T")
PROBED = 16
FILE_BYTES = 32 << 20  # of the file that is read to see how fast the disk is
CGROUPS = Path("/sys/fs/cgroup")


def spread(samples: Sequence[T]) -> list[T]:
    """Return up to 16 of the samples, evenly spread over all of them; the same ones each time."""
    last = len(samples) - 1
    return [samples[place] for place in sorted({turn * last // (PROBED - 1) for turn in range(PROBED)})]


def measured(facts: CodecFacts, images: Sequence[NDArray[np.uint8]], folder: Path) -> CodecFacts:
    """Add to the facts what zstd makes of a few images, and what is faster on this machine: decoding or reading.

    Parameters
    ----------
    facts
        Sizes and room.
    images
        Baked images of the pack, uint8 (H, W, C), all of one shape. Where there is none, nothing is measured.
    folder
        On the disk of the pack; a file of 32 MB is written there and removed.
    """
    if not images:
        return facts
    zstd = codec_named("zstd")
    frames = [zstd.encode(image) for image in images]
    share = sum(map(len, frames)) / sum(image.nbytes for image in images)
    facts = replace(facts, share=share, photographs=len(images))
    try:
        read_rate = _read_rate(frames, images[0].nbytes, folder)
    except OSError:  # the disk is nearly full, or cannot do that: sizes decide
        return facts
    return replace(facts, decode_rate=_decode_rate(frames, images[0]), read_rate=read_rate)


def _decode_rate(frames: Sequence[bytes], like: NDArray[np.uint8], passes: int = 8) -> float:
    """Return the bytes of pixels that all cores decode in a second."""
    zstd, encoded = codec_named("zstd"), [np.frombuffer(frame, np.uint8) for frame in frames]

    def decode(out: NDArray[np.uint8]) -> None:
        for data in encoded * passes:
            zstd.decode(data, out)

    outs = [np.zeros_like(like) for _ in range(usable_cores())]
    return len(outs) * passes * len(frames) * like.nbytes / _seconds(decode, outs)


def _read_rate(frames: Sequence[bytes], block: int, folder: Path) -> float:
    """Return the bytes that the disk gives in a second, in random order, not from memory."""
    path = folder / f".speed-{secrets.token_hex(4)}"
    size, once = max(1, FILE_BYTES // block) * block, b"".join(frames)
    content = (once * (1 + size // len(once)))[:size]
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        path.unlink()
        if os.pwrite(file, content, 0) < size:
            raise OSError(errno.ENOSPC, "the disk holds only a part", str(path))
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        order = list(range(0, size, block))
        random.Random(0).shuffle(order)
        return size / _seconds(lambda start: os.pread(file, block, start), order)
    finally:
        os.close(file)


def _seconds(work: Callable[[T], object], items: Sequence[T]) -> float:
    """Return how long all cores take for all items."""
    with ThreadPoolExecutor(usable_cores()) as threads:
        start = time.perf_counter()
        for _ in threads.map(work, items):
            pass
        return time.perf_counter() - start


def machine_memory() -> int:
    """Return the bytes of memory that this machine has, or that the container or batch job allows."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _limits():
        try:
            memory = min(memory, int(limit.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such limit, or the word "max"
            continue
    return memory


def _limits() -> Iterator[Path]:
    """Give the files that may hold a limit of memory: of the groups that this process is in, and what those are in."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, own = line.split(":", 2)
        inner = PurePosixPath(own.lstrip("/"))
        for group in (inner, *inner.parents):
            if number == "0":
                yield CGROUPS / group / "memory.max"
            elif "memory" in controllers.split(","):
                yield CGROUPS / "memory" / group / "memory.limit_in_bytes"
