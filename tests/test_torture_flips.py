"""The torture of flipped bits, cut short: it holds for small packs, and it sees what it is there to see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from store.packs import FAILURES, images, kernel_2019, write

ROOT = Path(__file__).resolve().parents[1]
START = "import sys; sys.path.insert(0, {folder!r}); import flips; from prebake.store import Pack; {sabotage}; "
START += "sys.exit(flips.main(sys.argv[1:]))"


def tortured(*paths: Path, sabotage: str = "pass", flips: int = 60) -> subprocess.CompletedProcess[str]:
    code = START.format(folder=str(ROOT / "torture"), sabotage=sabotage)
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, paths), "--flips", str(flips), "--time-limit", "4"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip


def test_no_flipped_bit_goes_untold(tmp_path: Path) -> None:
    packs = [write(tmp_path / f"{codec}.h5", images(6), codec, failures=FAILURES) for codec in ("raw", "zstd", "gzip")]
    done = tortured(*packs, kernel_2019(tmp_path / "kernel.h5", images(6)))
    assert done.returncode == 0, done.stdout + done.stderr
    for codec in ("raw", "zstd", "gzip"):
        refused, named, *others = re.search(rf"{codec}.h5 +pixels +(.*)", done.stdout).group(1).split()
        assert (refused, named, {*others}) == ("-", "20", {"-"})
        assert re.search(rf"{codec}.h5 +columns +20 ", done.stdout)


@pytest.mark.parametrize(
    ("sabotage", "said"),
    [
        ("Pack.verify = lambda self: []", "pixels, .*not told"),
        ("Pack.verify = lambda self: self.ids", "named wrongly"),
        ("import os; Pack.verify = lambda self: os.kill(os.getpid(), 11)", "crash"),
        ("import time; Pack.verify = lambda self: time.sleep(60)", "hang"),
        ("Pack.verify = lambda self: 1 / 0", "error ZeroDivisionError"),
    ],
)
def test_a_reader_that_does_not_tell_or_does_not_live_is_seen(tmp_path: Path, sabotage: str, said: str) -> None:
    path = write(tmp_path / "raw.h5", images(6), "raw")
    done = tortured(path, sabotage=sabotage, flips=1)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(f"WRONG: raw.h5, .*{said}", done.stdout)
