"""Decoders of one image of a pack, into one buffer, on one thread and on two: ours beside others that are installed.

python bench/decoders.py SOURCE [--images 413] [--rounds 5] [--quick] [--scratch DIR] [--csv OUT.csv]

SOURCE is a pack, or a folder of photographs that is baked first. Its images are encoded anew in memory, as a pack does.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import enlarged
import measuring
import numpy as np

from prebake.store import codec_named

PASSES = 4  # over all images in one round

Decoder = Callable[[np.ndarray, np.ndarray], Any]


def numcodecs(data: np.ndarray, out: np.ndarray) -> None:
    """Decode zstd into the buffer."""
    importlib.import_module("numcodecs.zstd").decompress(data, out)


def zstandard(data: np.ndarray, out: np.ndarray) -> None:
    """Decode zstd, and copy."""
    pixels = importlib.import_module("zstandard").ZstdDecompressor().decompress(data)
    np.copyto(out.reshape(-1), np.frombuffer(pixels, np.uint8))


def zlib_like(module: str, data: np.ndarray, out: np.ndarray) -> None:
    """Decode a zlib stream with a module that has the interface of zlib, and copy."""
    pixels = importlib.import_module(module).decompress(data, bufsize=out.nbytes)
    np.copyto(out.reshape(-1), np.frombuffer(pixels, np.uint8))


# For each codec: the modules that others need, and the decoder. Ours comes first, and all are compared with it.
OTHERS: dict[str, dict[str, tuple[str, Decoder]]] = {
    "zstd": {"numcodecs": ("numcodecs.zstd", numcodecs), "zstandard": ("zstandard", zstandard)},
    "gzip": {
        "zlib": ("zlib", partial(zlib_like, "zlib")),
        "isal": ("isal.isal_zlib", partial(zlib_like, "isal.isal_zlib")),
        "zlib-ng": ("zlib_ng.zlib_ng", partial(zlib_like, "zlib_ng.zlib_ng")),
    },
    "raw": {},
}
OURS = {"zstd": "cramjam (ours)", "gzip": "deflate (ours)", "raw": "np.copyto (ours)"}


def decoders_of(codec: str) -> dict[str, Decoder]:
    """Return the decoders of a codec that are installed."""
    found: dict[str, Decoder] = {OURS[codec]: codec_named(codec).decode}
    for name, (module, decoder) in OTHERS[codec].items():
        try:
            importlib.import_module(module)
            found[name] = decoder
        except ImportError:
            print(f"{name} is not installed: left out")
    return found


def checked(decoder: Decoder, encoded: Sequence[np.ndarray], images: np.ndarray) -> None:
    """Stop when a decoder does not give the pixels."""
    for data, image in zip(encoded, images, strict=True):
        out = np.zeros_like(image)
        decoder(data, out)
        if not np.array_equal(out, image):
            raise SystemExit(f"{decoder} does not decode to the pixels")


def images_per_second(decoder: Decoder, encoded: Sequence[np.ndarray], shape: tuple[int, ...], threads: int) -> float:
    """Decode all images a few times, each thread its share into a buffer of its own."""

    def decode(number: int) -> int:
        share, out = encoded[number::threads] * PASSES, np.empty(shape, np.uint8)
        for data in share:
            decoder(data, out)
        return len(share)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: None, range(threads)))
        return measuring.rate(lambda: sum(pool.map(decode, range(threads))))


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = measuring.parser(__doc__, quick="100 images, 2 rounds")
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, default=413)
    parser.add_argument("--scratch", type=Path, help="folder for the pack, if one is made")
    options = parser.parse_args()
    count, rounds = (100, 2) if options.quick else (options.images, options.rounds)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        images = enlarged.images_of(enlarged.opened(options.source, Path(scratch)), count)
    lines: list[measuring.Result] = []
    for codec in OTHERS:
        encoded = [np.frombuffer(codec_named(codec).encode(image), np.uint8) for image in images]
        decoders = decoders_of(codec)
        for decoder in decoders.values():
            checked(decoder, encoded, images)
        for threads in (1, 2):
            arms = {
                name: partial(images_per_second, decoder, encoded, images.shape[1:], threads)
                for name, decoder in decoders.items()
            }
            found = measuring.interleaved(arms, rounds=rounds)
            lines += measuring.results(
                found, row="6", what=f"decoding {codec}, {threads} threads", unit="images/s", against=OURS[codec],
                packages=("numpy", "cramjam", "deflate"),
            )  # fmt: skip
            measuring.show(lines[-len(arms) :])
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
