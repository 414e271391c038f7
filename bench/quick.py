"""Every measurement once, short, to see that it runs: on photographs of your own, or on drawn ones.

python bench/quick.py [FOLDER]

Its numbers are too few to be told to anybody; docs/performance.md says how to measure in earnest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

import prebake
from prebake.fundus_art import generate

HERE = Path(__file__).parent
ON_PHOTOGRAPHS = ("packing", "fidelity", "decoding", "memory")
ON_A_PACK = ("loading", "verifying", "decoders", "cold", "waiting")
ON_NOTHING = ("opening", "many_packs")


def drawn(folder: Path) -> Path:
    """Draw photographs and keep them as JPEG, which all scripts take."""
    generate(folder / "drawings", count=24)
    photographs = folder / "photographs"
    photographs.mkdir()
    for path in (folder / "drawings" / "train_images").iterdir():
        cv2.imwrite(str(photographs / f"{path.stem}.jpg"), cv2.imread(str(path)))
    return photographs


def main() -> None:
    """Run all scripts with ``--quick``; the first that fails ends it."""
    with tempfile.TemporaryDirectory() as scratch:
        photographs = Path(sys.argv[1]) if len(sys.argv) > 1 else drawn(Path(scratch))
        pack = Path(scratch) / "pack.h5"
        prebake.pack(photographs, pack, recipe="kernel", on_error="skip")
        runs = [(name, [str(photographs)]) for name in ON_PHOTOGRAPHS]
        runs += [(name, [str(pack)]) for name in ON_A_PACK]
        runs += [(name, []) for name in ON_NOTHING]
        for name, arguments in runs:
            print(f"\n{name}", flush=True)
            target = str(Path(scratch) / f"{name}.csv")
            command = [sys.executable, str(HERE / f"{name}.py"), *arguments, "--quick", "--csv", target]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
