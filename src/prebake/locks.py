"""One process at a time: locks that end with the process, however it ends.

A file is locked (``flock``); that it is there says nothing. The kernel knows who holds it, on a network file system
the server, so what a dead process has left behind, here or on another machine, never blocks. It is a file, open for
writing: on NFS only such a one is locked for all machines, a folder for one's own alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from prebake.interrupts import removed_at_end

__all__ = ["Held", "held_lock"]

LOG = logging.getLogger(__name__)
TAKEN = (errno.EAGAIN, errno.EACCES)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What is said where the file system has no locks, or its lock service does not answer."""


class Held(Exception):
    """Another process holds the lock; the text tells its number and machine."""


@contextlib.contextmanager
def held_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Make and lock a file for a block; afterwards it is gone.

    Where the file system has no locks a warning says so, and the block is run all the same.

    Parameters
    ----------
    path
        The file. Its folder is made, and stays.
    wait
        Whether to wait for whoever holds it.

    Raises
    ------
    Held
        Another process holds it.
    OSError
        It cannot be made.
    """
    lock = _take(path, wait=wait)
    with removed_at_end(path):
        try:
            yield
        finally:
            _HELD.discard(lock)
            path.unlink(missing_ok=True)
            os.close(lock)


def _take(path: Path, *, wait: bool) -> int:
    """Lock the file, note in it who holds it, and return its descriptor."""
    while True:
        lock = _open(path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip() or "unknown"
            if error.errno not in NO_LOCKS:
                os.close(lock)
                if error.errno in TAKEN:
                    raise Held(holder) from None
                raise
            LOG.warning("%s cannot be locked (%s): let no other process write there", path.parent, error.strerror)
        if _is_file(lock, path):
            break
        os.close(lock)  # whoever held it before has removed it meanwhile: try the new one
    with contextlib.suppress(OSError):  # a full disk; the lock is held all the same
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    _register_after_fork()
    _HELD.add(lock)
    return lock


def _open(path: Path, attempts: int = 20) -> int:
    """Make the folder and open its lock file; again when another process removes the empty folder at that moment."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except (FileExistsError, FileNotFoundError):
        if attempts == 1:  # something else is in the way, and stays there
            raise
    return _open(path, attempts - 1)


def _is_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


_HELD: set[int] = set()  # descriptors of the locks that this process holds


@functools.cache
def _register_after_fork() -> None:
    """See to it that a process forked from this one does not share its locks, and keep them after its death."""

    def let_go() -> None:
        for lock in _HELD:
            os.close(lock)
        _HELD.clear()

    os.register_at_fork(after_in_child=let_go)
