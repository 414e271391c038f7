"""Worker processes on this machine: a pool that can be ended at once, and a single process for a suspect photograph."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import context, parent_process
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from prebake.memory import keep_memory
from prebake.packing.worker import bake_part

if TYPE_CHECKING:
    from prebake.packing.folder import Receipt
    from prebake.packing.worker import Task

__all__ = ["LocalPool", "bake_alone"]


class LocalPool(ProcessPoolExecutor):
    """A pool of spawned processes that end with the process that started them, and at once when told so."""

    def __init__(self, workers: int) -> None:
        self._spawn = _Spawn()
        super().__init__(workers, mp_context=self._spawn, initializer=_settle_in)

    def kill(self) -> None:
        """End all workers now, whatever they are doing."""
        for process in self._spawn.started:
            process.kill()
        self.shutdown(cancel_futures=True)


def bake_alone(task: Task) -> Receipt | int:
    """Bake a part in a process of its own; return the receipt, or the exit code of the process when it died.

    A negative exit code is the number of the signal that ended it.

    Raises
    ------
    prebake.errors.PrebakeError
        As :func:`prebake.packing.worker.bake_part`.
    """
    spawn = _Spawn()
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_answer, args=(theirs, task), daemon=True)
    process.start()
    theirs.close()
    try:
        wait([ours, process.sentinel])
        answer = ours.recv() if ours.poll() else None
        process.join()
    except EOFError:  # it died and closed its end of the pipe
        process.join()
        answer = None
    finally:
        process.kill()
        ours.close()
    if isinstance(answer, Exception):
        raise answer
    return process.exitcode or 0 if answer is None else answer


def _answer(pipe: Connection, task: Task) -> None:
    _settle_in()
    try:
        pipe.send(bake_part(task))
    except Exception as error:  # noqa: BLE001 - it is raised again where it is received
        pipe.send(error)


def _settle_in() -> None:
    _end_with_driver()
    keep_memory()  # or the next photograph waits for as many pages to be cleared again


def _end_with_driver() -> None:
    """Make this worker end when the process that started it does."""
    driver = parent_process()
    if driver is not None:
        threading.Thread(target=_end_after, args=(driver.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


class _Worker(context.SpawnProcess):
    """A spawned process that leaves interrupts to the driver, and does not import the script of the user.

    That script may load much that no worker needs, or start packing again because it has no main guard.
    """

    def start(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the new process inherits the mask
        try:
            with _without_main():
                super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Spawn(context.SpawnContext):
    """The spawn context with :class:`_Worker`; it remembers what it started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[_Worker] = []

    def Process(self, *args: Any, **kwargs: Any) -> _Worker:  # type: ignore[override]  # noqa: N802
        worker = _Worker(*args, **kwargs)
        self.started.append(worker)
        return worker


_HIDING = threading.Lock()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the module ``__main__``: what multiprocessing does not see, it does not import again in the new process."""
    with _HIDING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
