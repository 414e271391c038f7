"""A command that is told to end (SIGINT, SIGTERM) is gone soon, says one line, and leaves nothing to be removed.

The first signal ends worker processes and raises KeyboardInterrupt where Python is, and what is open cleans up behind
itself; further ones change nothing, so that they do not end the clean-up. Python may be where that does not help:
inside a long call of a library, in an import that takes the exception for another one, waiting for a thread. So a
thread of its own, which the system tells of the signal, ends the process a little later, wherever it is, together with
the processes that it has started. All that prebake writes bears that: it has to bear ``kill -9``, too.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # of typing, which takes longer to load than all that is needed here
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

# This module is loaded before all others, to listen as soon as possible: what takes longer is imported where needed.
__all__ = [
    "asked",
    "deaf_children",
    "exit_code",
    "last_words",
    "promise",
    "promised",
    "removed_at_end",
    "run_until_told",
]

GRACE = 1.0  # seconds from the signal until the process is ended wherever it is
SIGNALS = (signal.SIGINT, signal.SIGTERM)
HINT = "nothing is half written; run the same command again"
TRACKER = b"multiprocessing.resource_tracker"
"""A process of Python's that tidies, and ends by itself, when all others have ended."""
SILENT = "ignore:resource_tracker:UserWarning"


_TEMPORARY: set[str] = set()


class _Watch:
    """What is known of signals in this process; at most one is made."""

    def __init__(self) -> None:
        self.promise = HINT
        self.done: int | None = None  # the exit code, where no signal can change anything any more
        self._lock, self._first = threading.Lock(), threading.Event()
        self._number, self._raised, self._told = 0, False, False
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)

    def start(self) -> None:
        """Listen, and leave the children of a fork alone."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as shells have it for what runs in the background
                signal.signal(number, self._receive)
        os.register_at_fork(after_in_child=_listen_no_more)
        atexit.register(_ignore)  # what comes last is Python's own end, which would have the system answer
        threading.Thread(target=self._wait, name="prebake-signals", daemon=True).start()

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._number != 0

    def code(self) -> int:
        """Return what a command that was interrupted ends with, as shells do: 128 and the number of the signal."""
        self._first.wait(GRACE)
        return 128 + (self._number or signal.SIGINT)

    def first_to_tell(self) -> bool:
        """Tell whether nobody has said yet that the command is interrupted."""
        with self._lock:
            before, self._told = self._told, True
            return not before

    def _receive(self, number: int, _: object) -> None:
        if self._raised or self.done is not None:
            return
        self._number, self._raised = number, True
        _be_quiet()
        _end_workers()
        raise KeyboardInterrupt

    def _wait(self) -> None:
        number = 0
        while number not in SIGNALS:
            number = os.read(self._reader, 1)[0]
        self._number = self._number or number
        self._first.set()
        time.sleep(GRACE)
        _be_quiet()
        if self.done is None and self.first_to_tell():
            line = "\n" * os.isatty(2) + f"interrupted: {self.promise}\n"  # a progress bar may stand there
            with suppress(OSError):
                os.write(2, line.encode())
        _end(128 + number if self.done is None else self.done)


_WATCH: _Watch | None = None


def run_until_told(run: Callable[[], int]) -> int:
    """Run a command in the main thread of this process; where a signal asks to end, end the process.

    Parameters
    ----------
    run
        Returns the exit code. Where it was interrupted it says so (:func:`last_words`) and returns :func:`exit_code`.

    Returns
    -------
    int
        The exit code, where no signal came.
    """
    global _WATCH  # noqa: PLW0603 - signals come to a process, not to an object
    watch = _WATCH = _Watch()
    watch.start()
    try:
        code = run()
    except BaseException:
        if not watch.asked:
            watch.done = 1
            raise
        code = watch.code()
        last_words(lambda: sys.stderr.write(f"interrupted: {watch.promise}\n"))
    if watch.asked and code == watch.code():
        atexit._run_exitfuncs()  # and nothing more: a library that is half imported does not bear to be taken apart
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        _end(code)
    watch.done = code
    return code


def asked() -> bool:
    """Tell whether a signal has asked this process to end."""
    return _WATCH is not None and _WATCH.asked


def exit_code() -> int:
    """Return what a command that was interrupted ends with: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + signal.SIGINT if _WATCH is None else _WATCH.code()


def promise(text: str) -> None:
    """Set what is said of an interruption from now on, where nothing better is known."""
    if _WATCH is not None:
        _WATCH.promise = text


def promised() -> str:
    """Return what is said of an interruption where nothing better is known."""
    return HINT if _WATCH is None else _WATCH.promise


def last_words(say: Callable[[], object]) -> None:
    """Say that the command is interrupted, unless that was said."""
    if _WATCH is None or _WATCH.first_to_tell():
        say()


@contextmanager
def deaf_children() -> Iterator[None]:
    """Have processes that are started in the block leave SIGINT, which a terminal sends to all, to this process."""
    from multiprocessing import resource_tracker  # noqa: PLC0415 - see above

    sys.warnoptions.append(SILENT)  # handed on: what it tidies after a process that was ended it need not tell
    try:
        resource_tracker.ensure_running()  # now, for it lets SIGINT through again when it is started
    finally:
        sys.warnoptions.remove(SILENT)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a new process inherits the mask
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def removed_at_end(path: str | os.PathLike[str]) -> Iterator[None]:
    """Have a file or folder removed also where the process is ended in the middle of the block."""
    name = os.fspath(path)
    _TEMPORARY.add(name)
    try:
        yield
    finally:
        _TEMPORARY.discard(name)


def _be_quiet() -> None:
    """Let nobody say anything of what comes of the interruption: one line is enough."""
    sys.unraisablehook, threading.excepthook = _say_nothing, _say_nothing
    if (logging := sys.modules.get("logging")) is not None:
        logging.disable()


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _say_nothing(_: object) -> None:
    pass


def _end_workers() -> None:
    """End the processes of multiprocessing, which would be waited for; what they were at is done again."""
    if active_children := getattr(sys.modules.get("multiprocessing"), "active_children", None):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would raise an error of its own in the clean-up
        for child in active_children():
            child.kill()


def _listen_no_more() -> None:
    global _WATCH  # noqa: PLW0603 - the thread that waits is not there in a forked process
    if _WATCH is not None:
        _WATCH = None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(code: int) -> NoReturn:
    """End this process and all that it has started, and remove what is temporary."""
    for process in _descendants():
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    for name in list(_TEMPORARY):
        _remove(name)
    os._exit(code)


def _remove(name: str) -> None:
    with suppress(OSError):
        if not os.path.isdir(name) or os.path.islink(name):
            os.unlink(name)
            return
    import shutil  # noqa: PLC0415 - see above

    shutil.rmtree(name, ignore_errors=True)


def _descendants() -> list[int]:
    """Return the processes that this one has started, and those that they have started."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found, open_ones = [], [os.getpid()]
    while open_ones:
        for child in children.get(open_ones.pop(), []):
            if not _is_tracker(child):
                found.append(child)
                open_ones.append(child)
    return found


def _is_tracker(process: int) -> bool:
    with suppress(OSError), open(f"/proc/{process}/cmdline", "rb") as file:
        return TRACKER in file.read()
    return False
