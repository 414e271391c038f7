"""Memory that stays with the process for a block, and goes back after it."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from prebake.memory import kept_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")

IN_A_NEW_PROCESS = """
import resource
from pathlib import Path

import torch

from prebake.memory import kept_memory

FLOATS = 1 << 24  # 64 MiB: 16,384 pages


def pages_cleared(floats):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(floats)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


pages_cleared(8)  # what torch loads at its first tensor
before = resident()
with kept_memory():
    assert pages_cleared(FLOATS + 1024) > 0
    assert pages_cleared(FLOATS) < 100
    assert resident() - before > FLOATS * 2
assert resident() - before < FLOATS * 2
"""


def test_within_the_block_freed_memory_is_used_again_and_after_it_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with kept_memory():
        pass
