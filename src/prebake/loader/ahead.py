"""Work done ahead by threads and delivered in order, the memory it is done in, and what the disk is asked for."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import resource
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from prebake.augment import import_torch
from prebake.errors import PrebakeError

if TYPE_CHECKING:
    import torch

__all__ = ["BatchMemory", "ReadAhead", "in_order"]

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], tasks: Iterator[T], *, threads: int, depth: int) -> Generator[R, None, None]:
    """Yield ``work(task)`` for each task, in order, while threads work on up to ``depth`` tasks ahead.

    Tasks are taken, one at a time, by the thread that consumes. The threads end when the generator is through, closed
    or collected. An error in a thread is raised here, at the place of its result.

    Raises
    ------
    PrebakeError
        The process was forked since the generator began: its threads are not there any more.
    """
    process = os.getpid()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prebake-loader")
    ahead: deque[Future[R]] = deque()

    def fill() -> None:
        while len(ahead) < depth and (task := next(tasks, None)) is not None:
            ahead.append(pool.submit(work, task))

    try:
        fill()
        while ahead:
            result = [ahead.popleft().result()]
            fill()
            if not ahead:
                pool.shutdown(wait=False)  # a consumer that never asks for the end leaves no threads
            yield result.pop()
            if os.getpid() != process:
                raise PrebakeError(
                    "this iteration began in another process", do="begin a new one after the fork: iter(loader)"
                )
    finally:
        if os.getpid() == process:
            pool.shutdown(wait=True, cancel_futures=True)


class BatchMemory:
    """Memory of batches, used again when the consumer has let go of a batch and of everything that shares its memory.

    What was used last is used first, while it is still in the processor's cache. Page-locked memory comes from PyTorch
    each time: its own allocator keeps it, and knows when a copy to the GPU that was not waited for is through.

    Parameters
    ----------
    shape, dtype
        Of a whole batch.
    pinned
        Whether it is page-locked.
    keep
        How many batches to keep memory for; a consumer that holds on to more gets new memory for every batch.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, pinned: bool, keep: int) -> None:
        self._shape, self._dtype, self._pinned = shape, np.dtype(dtype), pinned
        self._kept: deque[tuple[npt.NDArray[Any], weakref.ref[npt.NDArray[Any]]]] = deque(maxlen=keep)
        self._lock = threading.Lock()

    def take(self) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Return a tensor that shares memory with none that is alive, and the same as an array. Safe in threads."""
        if self._pinned:
            torch = import_torch()
            tensor = torch.empty(self._shape, dtype=getattr(torch, self._dtype.name), pin_memory=True)
            return tensor, tensor.numpy()
        with self._lock:
            for number in reversed(range(len(self._kept))):
                base, view = self._kept[number]
                if view() is None:
                    del self._kept[number]
                    return self._lend(base)
            return self._lend(_at_a_page(self._shape, self._dtype))

    def _lend(self, base: npt.NDArray[Any]) -> tuple[torch.Tensor, npt.NDArray[Any]]:
        """Lend memory as a view; the storage of the tensor holds it, and it goes when the last tensor goes."""
        view = base.view()
        self._kept.append((base, weakref.ref(view)))
        return import_torch().from_numpy(view), view


class ReadAhead:
    """Asks the system for what will be read soon, once something had to come from the disk.

    A pack that is in memory costs nothing then; one that is not, or is larger than memory, streams.

    Parameters
    ----------
    advise
        Called in threads with the rows that are coming.
    steps
        The rows of each batch, in order.
    horizons
        For each batch, the number of batches from the first whose rows should have been asked for when it is read.
        Ascending.
    """

    def __init__(
        self,
        advise: Callable[[npt.NDArray[np.int64]], None],
        steps: Sequence[npt.NDArray[np.int64]],
        horizons: Sequence[int],
    ) -> None:
        self._advise, self._steps, self._horizons = advise, steps, horizons
        self._asked = 0
        self._cold = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def reading(self, step: int) -> Generator[None, None, None]:
        """Wrap what reads rows of a batch."""
        before = _fetched()
        with self._lock:
            start = max(self._asked, step)
            stop = self._asked = max(self._asked, self._horizons[step] if self._cold else 1)
        if start < stop:
            self._advise(np.concatenate(self._steps[start:stop]))
        yield
        if _fetched() > before:
            self._cold = True


def _at_a_page(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a new array that begins where a page does, as raw images in a pack do.

    A processor tells reads from earlier writes by the last 12 bits of their addresses first: copying from the start of
    a page to 16 bytes behind one, where large arrays of NumPy begin, takes a tenth longer.
    """
    size = math.prod(shape) * dtype.itemsize
    block = np.empty(size + mmap.PAGESIZE, np.uint8)
    start = -block.ctypes.data % mmap.PAGESIZE
    return block[start : start + size].view(dtype).reshape(shape)


def _fetched() -> int:
    """Return how much this thread has had fetched from disks, in no unit; 0 where the system does not tell."""
    thread = getattr(resource, "RUSAGE_THREAD", None)
    if thread is None:
        return 0
    usage = resource.getrusage(thread)
    return usage.ru_inblock + usage.ru_majflt
