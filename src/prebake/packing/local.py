"""Worker processes on this machine, each on its own: one that dies or is ended takes nothing from the others.

A thread for each process hands it one call after the other through a pipe. So no semaphore is needed, and a process can
be killed at any moment: nothing that another one waits for is lost with it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import resource
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from multiprocessing import Pipe, context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from prebake.errors import PrebakeError
from prebake.interrupts import deaf_children
from prebake.memory import keep_memory

__all__ = ["LocalPool", "WorkerLost"]

LOOK_SECONDS = 1.0  # how often a process is looked at that says nothing: its own children may hold its pipes open
FIRST_TO_GO = 500
"""Added to a worker's badness when the system chooses what to kill for memory (proc(5), oom_score_adj)."""


class WorkerLost(BrokenExecutor):
    """A worker process ended during a call.

    Attributes
    ----------
    exit_code
        Its exit code; a negative one is the number of the signal that ended it.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"a worker process ended with exit code {exit_code}")
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class _Call:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: Future[Any] = field(default_factory=Future)


class LocalPool(Executor):
    """A pool of spawned processes that end with the process that started them, and at once when told so.

    A call whose process dies raises :class:`WorkerLost`; the pool goes on with a new process.

    Raises
    ------
    OSError
        Processes cannot be started here.
    """

    def __init__(self, workers: int) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lanes: list[_Lane] = []
        try:
            for _ in range(workers):
                self._lanes.append(_Lane(self._calls))
        except BaseException:
            self.kill()
            raise
        atexit.register(self.kill)  # or the interpreter waits for processes that wait for it

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` in one of the processes."""
        call = _Call(fn, args, kwargs)
        self._calls.put(call)
        return call.future

    def running(self) -> list[tuple[int, Future[Any] | None]]:
        """Return the number of each process and the call that it is at; ``None`` where it waits for one."""
        return [(number, lane.future) for lane in self._lanes if (number := lane.process.pid)]

    def end(self, number: int, future: Future[Any] | None) -> None:
        """End a process, unless it is at another call by now."""
        for lane in self._lanes:
            lane.end(number, future)

    def kill(self) -> None:
        """End all workers now, whatever they are doing."""
        self._cancel()
        for lane in self._lanes:
            lane.kill()
        self.shutdown()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - of Executor
        """End the workers when they have done what they were given."""
        if cancel_futures:
            self._cancel()
        for _ in self._lanes:
            self._calls.put(None)
        for lane in self._lanes if wait else ():
            lane.thread.join()
        atexit.unregister(self.kill)

    def _cancel(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if call := self._calls.get_nowait():
                    call.future.cancel()


class _Lane:
    """A thread that hands calls to a process of its own, and starts another one where that has died."""

    def __init__(self, calls: queue.SimpleQueue[_Call | None]) -> None:
        self._calls, self._lock, self._killed, self._ended = calls, threading.Lock(), False, False
        self.future: Future[Any] | None = None
        self.process, self._pipe = _start()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def end(self, number: int, future: Future[Any] | None) -> None:
        with self._lock:
            if self.process.pid == number and self.future is future:
                self._ended = True
                self.process.kill()

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            self.process.kill()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            try:
                answer = self._ask(call)
            except BaseException as error:  # noqa: BLE001 - it is raised again where the future is asked
                self.future = None
                call.future.set_exception(error)
            else:
                self.future = None
                call.future.set_result(answer)
        self._pipe.close()
        self.process.join()

    def _ask(self, call: _Call) -> Any:
        with self._lock:
            if (self._ended or self.process.exitcode is not None) and not self._killed:
                self._pipe.close()
                self.process, self._pipe = _start()
                self._ended = False
            self.future = call.future
        lost, answer, error = False, None, None
        try:
            self._pipe.send((call.function, call.args, call.kwargs))
            while not wait([self._pipe, self.process.sentinel], LOOK_SECONDS) and self.process.exitcode is None:
                pass
            if self._pipe.poll():
                answer, error = self._pipe.recv()
            else:
                lost = True
        except (EOFError, OSError):  # it died before it could be told, or while it answered
            lost = True
        if lost:
            raise WorkerLost(self._exit_code())
        if error is not None:
            raise error
        return answer

    def _exit_code(self) -> int:
        while (code := self.process.exitcode) is None:  # another thread may be the one that is told it first
            self.process.join(LOOK_SECONDS)
        return code


def _start() -> tuple[context.SpawnProcess, Connection]:
    ours, theirs = Pipe()
    process = _Worker(target=_serve, args=(theirs,))
    try:
        process.start()
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours


def _serve(pipe: Connection) -> None:
    """Do what comes through the pipe, in the worker, until its other end is closed."""
    _settle_in()
    while True:
        answer: tuple[Any, Exception | None]
        try:
            function, args, kwargs = pipe.recv()
            answer = (function(*args, **kwargs), None)
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - it is raised again where it is received
            if not isinstance(error, PrebakeError):
                error.add_note(f"in a worker process:\n{''.join(traceback.format_exception(error))}")
            answer = (None, error)
        try:
            pipe.send(answer)
        except ConnectionError:
            return
        except Exception as error:  # noqa: BLE001 - what cannot be pickled says so in many ways
            pipe.send((None, TypeError(f"an answer of a worker process cannot be sent: {error}")))


def _settle_in() -> None:
    _end_with_driver()
    keep_memory()  # or the next photograph waits for as many pages to be cleared again
    _hush()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):  # where memory runs out it shall be a worker that goes, not the driver
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO), encoding="ascii")


def _hush() -> None:
    """Keep what C libraries write to standard error to themselves; what Python writes there still comes.

    libjpeg and libpng complain there about broken files, at length, and libpng quotes names that stand in them.
    """
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


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
        with deaf_children(), _without_main():
            super().start()


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
