"""Work done ahead by threads and delivered in order, and the memory it is done in."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from prebake.augment import import_torch
from prebake.errors import PrebakeError

if TYPE_CHECKING:
    import torch

__all__ = ["BatchMemory", "in_order"]

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

    Page-locked memory comes from PyTorch each time: its own allocator keeps it, and knows when a copy to the GPU that
    was not waited for is through.

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

    def take(self) -> torch.Tensor:
        """Return a tensor that shares memory with no tensor that is alive; its values are arbitrary."""
        if self._pinned:
            pinned: torch.Tensor = _pinned(self._shape, self._dtype)
            return pinned
        for number, (base, view) in enumerate(self._kept):
            if view() is None:
                del self._kept[number]
                return self._lend(base)
        return self._lend(np.empty(self._shape, self._dtype))

    def _lend(self, base: npt.NDArray[Any]) -> torch.Tensor:
        """Return a tensor of memory; a view that only the tensor's storage holds tells when all of it is gone."""
        view = base.view()
        self._kept.append((base, weakref.ref(view)))
        lent: torch.Tensor = import_torch().from_numpy(view)
        return lent


def _pinned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:  # a tensor
    torch = import_torch()
    return torch.empty(shape, dtype=getattr(torch, dtype.name), pin_memory=True)
