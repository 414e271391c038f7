"""The torture of broken packs and folders, cut short: all is read or refused, and what is wrong is seen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
START = "import sys; sys.path.insert(0, {folder!r}); import fuzz; {sabotage}; sys.exit(fuzz.main(sys.argv[1:]))"


def tortured(*options: str, sabotage: str = "pass") -> subprocess.CompletedProcess[str]:
    code = START.format(folder=str(ROOT / "torture"), sabotage=sabotage)
    return subprocess.run(
        [sys.executable, "-c", code, "--seconds", "250", *options],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip


def test_broken_packs_and_folders_are_read_or_refused() -> None:
    done = tortured("--cases", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [int(count) for count in re.findall(r"(\d+) cases", done.stdout)]
    assert counts == [40, 20]
    assert re.search(r"pack .* \d+ refused", done.stdout)
    assert re.search(r"folder .* \d+ read, .* \d+ refused in part", done.stdout)


@pytest.mark.parametrize(
    ("sabotage", "said"),
    [
        ("fuzz.read_pack = lambda path: 1 / 0", "error ZeroDivisionError"),
        ("import os; fuzz.read_pack = lambda path: os.kill(os.getpid(), 11)", "crash"),
        ("fuzz.read_pack = lambda path: [0 for _ in iter(int, 1)]", "crash|MemoryError"),
        ("fuzz.read_pack = lambda path: bytearray(1 << 40)", "error MemoryError"),
    ],
)
def test_a_reader_that_dies_of_a_file_or_takes_all_is_seen(sabotage: str, said: str) -> None:
    done = tortured("--cases", "1", "--time-limit", "2", sabotage=sabotage)
    assert re.search(f"WRONG: case 0, .*({said})", done.stdout), done.stdout + done.stderr
    assert done.returncode == 1
