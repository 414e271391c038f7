"""What it costs to compare images with their checksums while they are loaded. The table of docs/reliability.md.

python bench/verifying.py SOURCE [--quick] [--rounds 5] [--images 3304] [--scratch DIR] [--csv OUT.csv]

SOURCE is a pack, or a folder of photographs that is baked first. Its images are turned and mirrored until there are
enough. ``verify="first"`` is measured in later epochs: in the first one it does what ``verify=True`` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import enlarged
import measuring

from prebake import Augment, Loader

BATCH = 32
AUGMENT = Augment.kernel((128, 128, 128), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KINDS = {"raw": ("raw", None), "zstd": ("zstd", None), "raw, flipped, rotated, normalised": ("raw", AUGMENT)}
ARMS = {"not compared": False, "verify=True": True, 'verify="first", later epochs': "first"}
PACKAGES = ("numpy", "torch", "xxhash", "cramjam")


def epoch_of(loader: Loader) -> Callable[[], float]:
    """Return what goes through all batches of an epoch and gives images per second."""
    return lambda: measuring.rate(lambda: sum(len(batch[1]) for batch in loader))


def main() -> None:
    """Measure each kind of reading with and without checksums."""
    parser = measuring.parser(__doc__, quick="few images, two rounds")
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, default=3304)
    parser.add_argument("--scratch", type=Path, help="folder for the files that are made")
    options = parser.parse_args()
    count, rounds = (320, 2) if options.quick else (options.images, options.rounds)
    lines: list[measuring.Result] = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        scratch = Path(folder)
        pack = enlarged.opened(options.source, scratch)
        paths = {codec: enlarged.write_pack(pack, scratch / f"{codec}.h5", count, codec) for codec in ("raw", "zstd")}
        for kind, (codec, augment) in KINDS.items():
            arms = {
                name: epoch_of(Loader(paths[codec], BATCH, shuffle=True, augment=augment, verify=verify))
                for name, verify in ARMS.items()
            }
            found = measuring.interleaved(arms, rounds=rounds)
            lines += measuring.results(
                found, row=kind, what="checksums while loading", unit="images/s", against="not compared",
                packages=PACKAGES,
            )  # fmt: skip
            measuring.show(lines[-len(arms) :])
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
