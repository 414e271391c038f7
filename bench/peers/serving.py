"""What every arm shares: its process answers requests on standard input, one JSON object a line, until that ends.

An arm is a script that calls :func:`serve` with how it writes its format and how it reads it. All arms are given the
same images, ``images.npy``: uint8 (N, H, W, C); the label of an image is its row. Needs nothing but numpy.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32

Batches = Iterable[tuple[Any, Any]]  # images uint8 (B, H, W, C), array or tensor, C-contiguous; labels (B,)
Epoch = Callable[[], Batches]
Write = Callable[[np.ndarray, Path], None]  # images, and the folder for the format's own files


def serve(write: Write | None, settings: Mapping[str, Callable[[Path], Epoch]], packages: Sequence[str]) -> None:
    """Answer until standard input ends.

    ``write`` is ``None`` where another arm writes what this one reads. ``settings`` are ways to read, the best known
    first: each opens the folder and returns what begins an epoch. Requests are ``{"do": NAME, ...}``; what libraries
    print goes to standard error.
    """
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    versions = ", ".join([f"Python {platform.python_version()}", *(_version(name) for name in packages)])
    epoch: Epoch | None = None
    for line in requests:
        request = json.loads(line)
        match request["do"]:
            case "tell":
                answer = {"settings": list(settings), "versions": versions, "writes": write is not None}
            case "write":
                answer = _write(write, Path(request["images"]), Path(request["folder"]))
            case "open":
                start = time.perf_counter()
                epoch = settings[request["setting"]](Path(request["folder"]))
                consume(epoch())
                answer = {"seconds": time.perf_counter() - start}
            case "check":
                answer = check(epoch(), np.load(request["images"], mmap_mode="r"))
            case "turn":
                answer = turn(epoch, request["seconds"])
        answers.write(json.dumps(answer) + "\n")
    sys.stderr.flush()
    os._exit(0)  # the threads and workers of some do not end by themselves


def _version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"


def _write(write: Write, images: Path, folder: Path) -> dict[str, float]:
    source = np.load(images, mmap_mode="r")
    start = time.perf_counter()
    write(source, folder)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


def consume(batches: Batches) -> int:
    """Take every batch and touch its first and last byte; return how many images there were."""
    count = touched = 0
    for images, _ in batches:
        array = np.asarray(images)
        touched += int(array[0, 0, 0, 0]) + int(array[-1, -1, -1, -1])
        count += len(array)
    return count


def turn(epoch: Epoch, seconds: float) -> dict[str, float]:
    """Read whole epochs, one after the other, for at least ``seconds``; return images per second.

    An epoch that does not count goes before: while others had their turns, the system may have given away memory that
    was not used, and the cache would not be warm.
    """
    consume(epoch())
    start = time.perf_counter()
    count, taken = 0, 0.0
    while taken < seconds:
        count += consume(epoch())
        taken = time.perf_counter() - start
    return {"rate": count / taken}


def check(batches: Batches, source: np.ndarray) -> dict[str, float]:
    """Compare every image with the row of ``source`` that its label names; require every row once, whole batches.

    Returns
    -------
    ``spread``: mean distance of neighbours in the order, 1 where every order is as likely as any other, about 0 where
    the order is that of the file.
    """
    order: list[int] = []
    sizes: list[int] = []
    for images, labels in batches:
        array, rows = np.asarray(images), np.asarray(labels).reshape(-1).astype(int)
        if array.dtype != np.uint8 or not array.flags.c_contiguous or array.shape != (len(rows), *source.shape[1:]):
            raise ValueError(f"not a batch: {array.dtype} {array.shape} {array.strides}")
        for image, row in zip(array, rows, strict=True):
            if not np.array_equal(image, source[row]):
                raise ValueError(f"the image with label {row} is another")
        order += rows.tolist()
        sizes.append(len(rows))
    if sorted(order) != list(range(len(source))):
        raise ValueError(f"not every image once: {len(order)} images, {len(set(order))} different, of {len(source)}")
    if sum(size != BATCH for size in sizes) > 2:  # each of two workers may end with a smaller one
        raise ValueError(f"batches of other sizes: {sorted(set(sizes))}")
    return {"spread": float(np.abs(np.diff(order)).mean() / (len(source) / 3))}
