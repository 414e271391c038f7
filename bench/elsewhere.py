"""Packing photographs from a server of S3 that answers late, against the same photographs here; read ahead, or not.

python bench/elsewhere.py FOLDER [--photographs 60] [--late 0.05] [--rounds 3] [--quick] [--csv CSV]

The server is moto's, on this machine, behind a proxy that waits before it passes each request on: of a network only the
latency is like that, and server, proxy and workers share the cores. Needs the extras `remote` and `dev`.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import measuring

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from prebake.packing import pack
from prebake.sources import reading, scan
from remote_helpers import Server, environment, s3

WORKERS = 2
OPTIONS = {"recipe": "crop", "codec": "zstd", "workers": WORKERS, "progress": False}


def begin(ahead: int) -> None:
    """Settle how many photographs a worker reads ahead."""
    reading.AHEAD = ahead


def packing(source: str, folder: Path, ahead: int) -> Callable[[], float]:
    """Return what packs and tells the photographs a second, processes being there already."""
    context = multiprocessing.get_context("spawn")

    def run() -> float:
        target = folder / "pack.h5"
        with ProcessPoolExecutor(WORKERS, context, begin, (ahead,)) as executor:
            list(executor.map(scan, [source] * WORKERS))  # they are started, and have loaded what they need
            found = measuring.rate(lambda: len(pack(source, target, executor=executor, **OPTIONS)))
        target.unlink()
        for left in target.with_name(f".{target.name}.prebake").iterdir():
            left.unlink()
        return found

    return run


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = measuring.parser(__doc__, quick="8 photographs, 1 round", rounds=3)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photographs", type=int, default=60)
    parser.add_argument("--late", type=float, default=0.05, help="seconds that each answer takes longer")
    options = parser.parse_args()
    if options.quick:
        options.photographs, options.rounds = 8, 1
    with tempfile.TemporaryDirectory() as scratch, s3() as proxy:
        folder = Path(scratch)
        os.environ.update(environment(proxy, folder / "cache"))
        server, here = Server(proxy, "s3://bucket"), folder / "eyes"
        server.ask("PUT", "/bucket")
        here.mkdir()
        for number, path in enumerate(sorted(options.folder.rglob("*.jpg"))[: options.photographs]):
            (here / f"{number:04}.jpg").write_bytes(path.read_bytes())
        url = server.upload(here, "eyes")
        server.harm(delay=options.late)
        there = f"S3, {1000 * options.late:g} ms late"
        arms = {
            "here": packing(str(here), folder, reading.AHEAD),
            f"{there}, {reading.AHEAD} read ahead": packing(url, folder, reading.AHEAD),
            f"{there}, one by one": packing(url, folder, 1),
        }
        found = measuring.interleaved(arms, rounds=options.rounds, warmup=0)
    lines = measuring.results(
        found,
        row="remote",
        what=f"packing {options.photographs} photographs, crop",
        unit="photographs/s",
        against="here",
        packages=("numpy", "fsspec", "s3fs", "moto"),
    )
    measuring.show(lines)
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
