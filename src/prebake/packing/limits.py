"""How long one photograph may take, and how much memory the worker processes; both are watched from outside.

A decoder that hangs or takes all memory cannot be asked to stop. A limit that the system sets on its process would
make allocations fail inside C libraries, which say so in many ways, few of them true. So the driver looks at notes and
processes a few times a second, and ends what is over a limit.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from prebake.files import human_bytes

__all__ = ["LOOK_SECONDS", "Limits", "Stopwatch", "own_memory"]

T = TypeVar("T")
LOOK_SECONDS = 0.2
LONGEST_LOOK = 5 * LOOK_SECONDS  # a longer pause is the driver's own: it was stopped, as by Ctrl-Z, or had no core


@dataclass(frozen=True, slots=True)
class Limits:
    """What is not to be exceeded.

    Parameters
    ----------
    seconds
        For one photograph: reading, baking and writing it.
    memory
        Bytes for all worker processes together.
    """

    seconds: float
    memory: int

    @property
    def too_long(self) -> str:
        """The reason of a photograph that took too long."""
        return f"it took longer than the time limit of {self.seconds:g} s"

    @property
    def too_much(self) -> str:
        """The reason of a photograph that took too much memory, alone."""
        return f"it took more memory than the limit of {human_bytes(self.memory)}"

    def largest(self, taken: Iterable[tuple[int, T]]) -> T | None:
        """Return what takes the most where all together take too much, else ``None``; given as bytes and what it is."""
        found = list(taken)
        if sum(count for count, _ in found) <= self.memory:
            return None
        return max(found, key=lambda pair: pair[0])[1]


class Stopwatch:
    """Knows how long each part has been at the same photograph, as far as it was looked at.

    Examples
    --------
    >>> watch = Stopwatch(0.1)
    >>> watch.overdue({"a": 1}), time.sleep(0.2), watch.overdue({"a": 1}), watch.overdue({"a": 1})
    ([], None, ['a'], [])
    """

    def __init__(self, seconds: float) -> None:
        self._limit, self._last = seconds, time.monotonic()
        self._at: dict[str, tuple[int, float]] = {}

    def overdue(self, begun: Mapping[str, int]) -> list[str]:
        """Return the parts whose photograph is over the limit, each once.

        Parameters
        ----------
        begun
            The number of the photograph that each part is at; without those that are at none.
        """
        now = time.monotonic()
        passed, self._last = min(now - self._last, LONGEST_LOOK), now
        before, self._at = self._at, {}
        late = []
        for name, count in begun.items():
            at, waited = before.get(name, (0, 0.0))
            self._at[name] = (count, waited + passed if at == count else 0.0)
            if at == count and waited <= self._limit < waited + passed:
                late.append(name)
        return late


def own_memory(process: int) -> int:
    """Return the bytes that a process has to itself, in memory or swapped out; 0 where that is not told.

    Pages of files, such as libraries, are not counted: they take no memory that could not be had back at once.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:", "VmSwap:")))
