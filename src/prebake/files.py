"""Writing files so that they are whole or absent, digests, and the room that is left on a disk."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import xxhash

from prebake.errors import NoSpace
from prebake.interrupts import removed_at_end

__all__ = [
    "atomic_path",
    "check_space",
    "count_bytes",
    "digest",
    "human_bytes",
    "is_full",
    "remove_leftovers",
    "scratch_folder",
    "sync_folder",
    "write_json",
    "write_text",
]

UNITS = ("B", "kB", "MB", "GB", "TB")


def digest(data: bytes | bytearray | memoryview) -> str:
    """Return the XXH3-128 digest of bytes as 32 hexadecimal characters (for identity, not for security)."""
    return xxhash.xxh3_128_hexdigest(data)


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``target``; on leaving, sync it to disk and move it over ``target``.

    When the block raises, the temporary file is removed and ``target`` stays what it was. Without ``sync`` a loss of
    power may leave a ``target`` that is empty or full of zeros: only for what is looked at before it is used.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    target = Path(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    with removed_at_end(temporary):
        try:
            yield temporary
            if sync:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            temporary.replace(target)
            if sync:
                sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder(what: str) -> Iterator[Path]:
    """Give an empty folder for a block, where the system keeps what is temporary; ``what`` is in its name."""
    with tempfile.TemporaryDirectory(prefix=f"prebake-{what}-") as name, removed_at_end(name):
        yield Path(name)


def remove_leftovers(folder: str | os.PathLike[str], names: Container[str]) -> None:
    """Remove what processes that were killed left of files of these names; nobody else may be writing them.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in (".a.txt.0f1e2d3c.tmp", ".b.txt.0f1e2d3c.tmp", ".a.txt.tmp"):
    ...     _ = (folder / name).write_text("cut off")
    >>> remove_leftovers(folder, {"a.txt"})
    >>> sorted(path.name for path in folder.iterdir())
    ['.a.txt.tmp', '.b.txt.0f1e2d3c.tmp']
    """
    for path in Path(folder).glob(".*.tmp"):
        found = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}\.tmp", path.name)
        if found and found[1] in names:
            path.unlink(missing_ok=True)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make a rename in ``folder`` survive a loss of power, on systems that can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(target: str | os.PathLike[str], text: str, *, sync: bool = True) -> None:
    """Write UTF-8 text atomically; ``sync`` as for :func:`atomic_path`."""
    with atomic_path(target, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write indented JSON atomically; NaN and infinity are refused, for no other reader would take them."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def human_bytes(count: float) -> str:
    """Format a number of bytes: ``1.5 GB`` (powers of 1000, as disks are sold).

    Examples
    --------
    >>> human_bytes(1_500_000_000)
    '1.5 GB'
    """
    for unit in UNITS[:-1]:
        if abs(count) < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {UNITS[-1]}"


def count_bytes(text: str) -> int | None:
    """Read a number of bytes (powers of 1000, as disks are sold); ``None`` where it is none.

    Examples
    --------
    >>> count_bytes("50GB"), count_bytes("1.5 mb"), count_bytes("800"), count_bytes("big")
    (50000000000, 1500000, 800, None)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?b)?", text.strip().lower())
    if found is None:
        return None
    power = [unit.lower() for unit in UNITS].index(found[2] or "b")
    return int(float(found[1]) * 1000.0**power)


def is_full(error: OSError) -> bool:
    """Tell whether an error means that the disk is full, or a quota or a limit of the file size is reached."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_space(folder: str | os.PathLike[str], needed: int) -> None:
    """Raise :class:`prebake.errors.NoSpace` when the disk under ``folder`` has less than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoSpace(
            f"the disk of {folder} will not hold the pack",
            expected=f"{human_bytes(needed)} free (pack and its parts while packing)",
            got=f"{human_bytes(free)} free",
            do="free some space, choose another disk with -o, or a smaller --size, or --codec zstd",
        )
