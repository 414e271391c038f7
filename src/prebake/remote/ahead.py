"""Work done ahead in threads, so that one does not wait for a server with every thing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")
U = TypeVar("U")


def in_order(
    work: Callable[[T], U], things: Iterable[T], weight: Callable[[T], int], *, most: int, heaviest: int
) -> Generator[Callable[[], U]]:
    """Give the results of ``work`` in the order of ``things``, each as a call that waits for it, or raises its error.

    Parameters
    ----------
    work
        What is done in threads.
    things
        Are taken as there is room for them.
    weight
        How heavy each is, as in bytes.
    most, heaviest
        How many are under way or wait to be asked for, and how heavy all of these are together; one alone may be
        heavier.

    Examples
    --------
    >>> [result() for result in in_order(str, [1, 2, 3], lambda _: 1, most=2, heaviest=10)]
    ['1', '2', '3']
    """
    waiting: deque[tuple[Future[U], int]] = deque()
    load = 0
    threads = ThreadPoolExecutor(most)
    try:
        for thing in things:
            heavy = weight(thing)
            while waiting and (len(waiting) >= most or load + heavy > heaviest):
                first, its = waiting.popleft()
                yield first.result
                load -= its
            waiting.append((threads.submit(work, thing), heavy))
            load += heavy
        while waiting:
            yield waiting.popleft()[0].result
    finally:
        threads.shutdown(cancel_futures=True)
