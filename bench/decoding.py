"""Decoders on one thread: JPEG whole and at a quarter, and PNG; prebake against OpenCV and others that are installed.

python bench/decoding.py FOLDER [--photographs 10] [--rounds 5] [--quick] [--csv OUT.csv]
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import measuring
import numpy as np
from packing import chosen

from prebake.decode import decode

QUARTER = cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB
OTHERS = {
    "JPEG": {"simplejpeg": ("simplejpeg", "decode_jpeg"), "imagecodecs": ("imagecodecs", "jpeg8_decode")},
    "PNG": {"pyspng": ("pyspng", "load"), "imagecodecs": ("imagecodecs", "png_decode")},
}


def opencv(data: bytes, flags: int = cv2.IMREAD_COLOR_RGB) -> Any:
    """Decode with OpenCV."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def others(kind: str) -> dict[str, Callable[[bytes], Any]]:
    """Return the other decoders that are installed."""
    found = {}
    for name, (module, function) in OTHERS[kind].items():
        try:
            found[name] = getattr(importlib.import_module(module), function)
        except ImportError:
            print(f"{name} is not installed: left out")
    return found


def milliseconds(decoder: Callable[[bytes], Any], files: Sequence[bytes]) -> float:
    """Return the mean time of one file."""
    start = time.perf_counter()
    for data in files:
        decoder(data)
    return 1000 * (time.perf_counter() - start) / len(files)


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = measuring.parser(__doc__, quick="3 photographs, 2 rounds")
    parser.add_argument("folder", type=Path, help="with JPEG files; PNG copies are made in memory")
    parser.add_argument("--photographs", type=int, default=10)
    options = parser.parse_args()
    if options.quick:
        options.photographs, options.rounds = 3, 2
    cv2.setNumThreads(1)
    jpegs = [path.read_bytes() for path in chosen(options.folder, options.photographs)]
    pngs = [cv2.imencode(".png", cv2.imdecode(np.frombuffer(data, np.uint8), 1))[1].tobytes() for data in jpegs]
    shorter = min(opencv(jpegs[0], QUARTER).shape[:2])
    quarter = partial(decode, min_side=shorter, exact=False)
    lines = []
    for what, files, arms in (
        ("JPEG", jpegs, {"prebake": decode, "OpenCV": opencv, **others("JPEG")}),
        ("JPEG at a quarter", jpegs, {"prebake": quarter, "OpenCV": partial(opencv, flags=QUARTER)}),
        ("PNG", pngs, {"prebake": decode, "OpenCV": opencv, **others("PNG")}),
    ):
        calls = {name: partial(milliseconds, decoder, files) for name, decoder in arms.items()}
        found = measuring.interleaved(calls, rounds=options.rounds)
        lines += measuring.results(
            found, row="4", what=f"decoding {what}", unit="ms", against="OpenCV",
            packages=("opencv-python-headless", "kornia-rs"),
        )  # fmt: skip
    measuring.show(lines)
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
