"""Where something was measured, and with what."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from prebake.files import human_bytes
from prebake.machine import usable_cores
from prebake.packing.probe import machine_memory
from prebake.version import __version__

__all__ = ["machine", "versions"]

PACKAGES = ("numpy", "opencv-python-headless", "h5py", "torch", "timm")


def machine() -> str:
    """Name processor, usable cores and memory."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = usable_cores()
    name = names[0] if names else platform.machine()
    return f"{name}, {cores} core{'s' if cores > 1 else ''}, {human_bytes(machine_memory())} memory"


def versions() -> str:
    """Name prebake, Python and what does the work, with versions."""
    found = [f"prebake {__version__}", f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
